"""A run that is cut: by a signal, by two, or by kill -9. Known results are kept, and resume completes it."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.simulator import FaultPlan
from tests.acceptance.support import (
    PROCESSING,
    Ended,
    Going,
    MassStop,
    Tenant,
    lies,
    outcomes,
    publish_schema,
    table,
    until,
    valid,
)

MakeTenant = Callable[..., Tenant]
SLOW = dict(PROCESSING | {"latency": 0.04, "latency_jitter": 0})


def _begin(mass_stop: MassStop, tenant: Tenant, *more: str, **start: Any) -> Going:
    keys = mass_stop.keys(tenant.keys)
    return mass_stop.start(
        "run", "--yes", "--out", "run", "--concurrency", "4", *more, keys, tenant=tenant, **start
    )


def _stopped(tenant: Tenant, stops: int) -> bool:
    return tenant.answered("stop") >= stops


def _cut_midway(mass_stop: MassStop, tenant: Tenant, number: int, **start: Any) -> Ended:
    going = _begin(mass_stop, tenant, **start)
    until(lambda: tenant.answered("stop") >= 5, "five stops")
    going.signal(number)
    return going.end()


@pytest.mark.parametrize("started", [True, False], ids=["started", "forked"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_its_status_and_a_report(
    mass_stop: MassStop, make_tenant: MakeTenant, number: int, status: int
) -> None:
    tenant = make_tenant(**SLOW, actions=20)
    ended = _cut_midway(mass_stop, tenant, number)
    assert ended.status == status, ended
    report = ended.report
    assert (report["run"]["state"], report["run"]["exit_status"]) == ("interrupted", status)
    assert [action["bulk_key"] for action in report["actions"]] == tenant.keys
    assert lies(report, tenant) == []


@pytest.mark.parametrize(
    ("handler", "status", "outcome"),
    [(signal.SIG_DFL, 129, "interrupted"), (signal.SIG_IGN, 0, "finished")],
    ids=["as usual", "under nohup"],
)
def test_a_terminal_that_goes_away_ends_the_run_with_a_report_unless_nohup_says_otherwise(
    mass_stop: MassStop, make_tenant: MakeTenant, handler: signal.Handlers, status: int, outcome: str
) -> None:
    tenant = make_tenant(**SLOW, actions=20)
    before = partial(signal.signal, signal.SIGHUP, handler)
    ended = _cut_midway(mass_stop, tenant, signal.SIGHUP, preexec_fn=before)
    assert ended.status == status, ended
    run = ended.report["run"]
    assert (run["state"], run["exit_status"]) == (outcome, status)
    assert lies(ended.report, tenant) == []


@dataclass
class Twice:
    """An interrupted run and its resume, used by several tests."""

    tenant: Tenant
    cut: dict[str, Any]
    sent_when_cut: int
    ended: Ended


@pytest.fixture(scope="module")
def resumed(mass_stop_command: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twice]:
    publish_schema(mass_stop_command)
    mass_stop = MassStop(mass_stop_command, tmp_path_factory.mktemp("resumed"))
    with Tenant(**SLOW, actions=20) as tenant:
        cut = _cut_midway(mass_stop, tenant, signal.SIGINT).report
        sent = tenant.sent("stop")
        yield Twice(tenant, cut, sent, mass_stop("resume", "run", "--concurrency", "20", tenant=tenant))
    mass_stop.close()


def test_calls_in_flight_finish_and_none_starts_after_a_signal(resumed: Twice) -> None:
    accepted = [action for action in resumed.cut["actions"] if action["stop"]["accepted_at"]]
    first = [call for call in resumed.tenant.log if call.kind == "stop"][: resumed.sent_when_cut]
    assert [call for call in first if call.http != 200] == []
    assert len(accepted) == resumed.sent_when_cut < 20


def test_an_interrupted_run_is_resumed_to_one_whole_report(resumed: Twice) -> None:
    ended, keys = resumed.ended, resumed.tenant.keys
    assert ended.status == 0, ended
    run = ended.report["run"]
    assert (run["state"], run["resumed"], run["exit_status"]) == ("finished", 1, 0)
    assert run["id"] == resumed.cut["run"]["id"]
    assert outcomes(ended.report) == dict.fromkeys(keys, "stopped")
    assert lies(ended.report, resumed.tenant) == []


def test_a_resumed_run_sends_each_key_one_stop_in_all(resumed: Twice) -> None:
    tenant = resumed.tenant
    assert {key: len(tenant.truth(key).stops_received) for key in tenant.keys} == dict.fromkeys(
        tenant.keys, 1
    )


def test_a_resumed_run_has_the_records_of_both_sessions(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**SLOW | {"records": (100, 200)}, actions=16)
    going = _begin(mass_stop, tenant)
    until(lambda: tenant.answered("file") >= 3, "three results")
    going.signal(signal.SIGINT)
    going.end()
    ended = mass_stop("resume", "run", tenant=tenant)
    truths = [tenant.truth(key) for key in tenant.keys]
    lines = [
        len(table(mass_stop.home / "run" / "remediation" / f"{name}.csv"))
        for name in ("succeeded", "failed", "unprocessed")
    ]
    assert lines == [
        sum(truth.succeeded for truth in truths),
        sum(truth.failed for truth in truths),
        sum(truth.total - truth.processed for truth in truths),
    ], ended


def test_a_second_signal_cuts_the_calls_and_still_leaves_a_report(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**PROCESSING | {"latency": 30, "latency_jitter": 0}, actions=8)
    keys = mass_stop.keys(tenant.keys)
    token = "ready-token-4711"
    env = {"ZUORA_TOKEN": token}
    tenant.simulated._tenant._tokens[token] = float("inf")
    going = mass_stop.start("run", "--yes", "--out", "run", keys, tenant=tenant, env=env)
    until(lambda: tenant.sent("stop") == 8, "eight stops under way")
    going.signal(signal.SIGINT)
    stderr = going.process.stderr
    assert stderr is not None
    until(lambda: b"second signal" in os.read(stderr.fileno(), 65_536), "a word on the first signal")
    going.signal(signal.SIGINT)
    ended = going.end()  # long before the calls would come back
    assert ended.status == 130, ended
    assert ended.report["run"]["reason"] == "A second signal cancelled the calls in flight."
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "unconfirmed")


def test_a_signal_while_standard_input_waits_ends_promptly_with_a_report(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    going = mass_stop.start("run", "--yes", "--out", "run", tenant=tenant, stdin=subprocess.PIPE)
    going.feed(tenant.keys[:3])
    until(lambda: tenant.answered("file") == 3, "three results")
    going.signal(signal.SIGINT)
    ended = going.end()
    assert ended.status == 130, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys[:3], "stopped")


def test_a_signal_before_the_first_key_ends_promptly(mass_stop: MassStop, tenant: Tenant) -> None:
    going = mass_stop.start("run", "--yes", "--out", "run", tenant=tenant, stdin=subprocess.PIPE)
    until(lambda: tenant.sent("token"), "the token")
    going.signal(signal.SIGINT)
    ended = going.end()
    assert ended.status == 130, ended
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_the_first_stop_has_its_exit_status(
    mass_stop: MassStop, tenant: Tenant, number: int, status: int
) -> None:
    arguments = ("run", "--yes", "--strict", "--out", "run")
    going = mass_stop.start(*arguments, tenant=tenant, stdin=subprocess.PIPE)
    going.feed(tenant.keys)
    until((mass_stop.home / "run" / "journal.db").exists, "the journal")
    going.signal(number)
    ended = going.end()
    assert (ended.status, ended.sentences) == (status, ["mass-stop: interrupted; nothing was sent."])
    assert tenant.nothing_sent()


def _cut_while_reading(mass_stop: MassStop, tenant: Tenant, number: int) -> Ended:
    going = mass_stop.start("run", "--yes", "--out", "run", tenant=tenant, stdin=subprocess.PIPE)
    going.feed(tenant.keys[:5])
    until(lambda: tenant.answered("file") == 5, "five results")
    going.signal(number)
    return going.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_resume_with_standard_input_again_has_every_row_once(
    mass_stop: MassStop, tenant: Tenant, number: int
) -> None:
    _cut_while_reading(mass_stop, tenant, number)
    ended = mass_stop("resume", "run", mass_stop.keys(tenant.keys), tenant=tenant)
    assert ended.status == 0, ended
    assert [(action["row"], action["bulk_key"]) for action in ended.report["actions"]] == list(
        enumerate(tenant.keys, 1)
    )
    assert {len(tenant.truth(key).stops_received) for key in tenant.keys} == {1}


def test_the_input_of_a_resume_may_be_standard_input_again(mass_stop: MassStop, tenant: Tenant) -> None:
    _cut_while_reading(mass_stop, tenant, signal.SIGINT)
    ended = mass_stop("resume", "run", "-", tenant=tenant, stdin="\n".join(tenant.keys).encode())
    assert ended.status == 0, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


def test_a_resume_asks_for_standard_input_that_is_missing(mass_stop: MassStop, tenant: Tenant) -> None:
    _cut_while_reading(mass_stop, tenant, signal.SIGINT)
    ended = mass_stop("resume", "run", tenant=tenant)
    assert ended.status == 2, ended
    assert "SOURCE" in ended.sentences[-1]
    assert len(ended.report["actions"]) == 5


def test_another_input_than_the_first_is_refused_on_resume(mass_stop: MassStop, tenant: Tenant) -> None:
    _cut_while_reading(mass_stop, tenant, signal.SIGINT)
    ended = mass_stop("resume", "run", mass_stop.keys(reversed(tenant.keys)), tenant=tenant)
    assert ended.status == 2, ended
    assert tenant.sent("stop") == 5


def test_the_input_of_a_resume_is_not_overwritten(mass_stop: MassStop, tenant: Tenant) -> None:
    _cut_while_reading(mass_stop, tenant, signal.SIGINT)
    keys = mass_stop.keys(tenant.keys)
    ended = mass_stop("resume", "run", keys, "--report", keys, tenant=tenant)
    assert ended.status == 2, ended
    assert "which is its input" in ended.sentences[-1]
    assert tenant.sent("stop") == 5


MOMENTS: dict[str, Callable[[Tenant], bool]] = {
    "with the token": lambda tenant: tenant.sent("token") > 0,
    "with the first stop under way": lambda tenant: tenant.sent("stop") > 0,
    "amid the stops": lambda tenant: tenant.answered("stop") >= 9,
    "amid the statuses": lambda tenant: tenant.answered("status") >= 10,
    "amid the files": lambda tenant: tenant.answered("file") >= 10,
    "with the last file": lambda tenant: tenant.answered("file") >= 16,
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_run_killed_at_any_moment_is_reported_truly_and_resumed(
    mass_stop: MassStop, make_tenant: MakeTenant, moment: str
) -> None:
    tenant = make_tenant(**SLOW | {"latency": 0.02}, actions=16, repeat_stop="mixed")
    going = _begin(mass_stop, tenant, "--save-responses")
    until(lambda: MOMENTS[moment](tenant), moment)
    going.signal(signal.SIGKILL)
    going.end()

    report = valid(mass_stop("report", "run", "--report", "-").out)
    assert report["run"]["state"] in ("running", "finished")
    assert lies(report, tenant) == []
    assert {action["bulk_key"] for action in report["actions"]} <= set(tenant.keys)
    known = [action["bulk_key"] for action in report["actions"] if action["stop"]["accepted_at"]]

    ended = mass_stop("resume", "run", "--concurrency", "20", tenant=tenant)
    assert ended.status == 0, ended
    assert [action["bulk_key"] for action in ended.report["actions"]] == tenant.keys
    assert lies(ended.report, tenant) == []
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
    assert {len(tenant.truth(key).stops_received) for key in known} <= {1}


def test_a_run_killed_before_its_journal_was_complete_ends_in_a_sentence(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    # A file system that kept the name and not yet the content: what a kill or a power cut may leave.
    (mass_stop.home / "run").mkdir(mode=0o700)
    (mass_stop.home / "run" / "journal.db").touch(mode=0o600)
    ended = mass_stop("resume", "run", tenant=tenant)
    assert ended.status == 5, ended
    assert len(ended.sentences) == 1
    assert "form 0" not in ended.err


def test_a_killed_resume_is_resumed_once_more(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**SLOW, actions=20)
    for stops in (5, 14):  # up to four of the first were on their way when it was killed
        going = _begin(mass_stop, tenant) if stops == 5 else mass_stop.start("resume", "run", tenant=tenant)
        until(partial(_stopped, tenant, stops), f"{stops} stops")
        going.signal(signal.SIGKILL)
        going.end()
    ended = mass_stop("resume", "run", "--concurrency", "20", tenant=tenant)
    assert ended.status == 0, ended
    assert ended.report["run"]["resumed"] == 2
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


def test_a_run_with_only_its_journal_left_is_resumed(
    mass_stop: MassStop, make_tenant: MakeTenant, tmp_path: Path
) -> None:
    tenant = make_tenant(**SLOW, actions=20)
    _cut_midway(mass_stop, tenant, signal.SIGINT)
    shutil.copytree(tmp_path / "run", tmp_path / "bare", ignore=lambda _, names: [
        name for name in names if not name.startswith("journal.db")
    ])  # fmt: skip
    ended = mass_stop("resume", "bare", tenant=tenant)
    assert ended.status == 0, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


def test_a_finished_run_that_is_resumed_sends_nothing_and_ends_in_zero(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    before = mass_stop.run(tenant, mass_stop.keys(tenant.keys)).report
    calls = {kind: tenant.sent(kind) for kind in ("stop", "status", "file")}
    ended = mass_stop("resume", "run", "--concurrency", "20", tenant=tenant)
    assert ended.status == 0, ended
    assert {kind: tenant.sent(kind) for kind in calls} == calls
    assert ended.report["actions"] == before["actions"]
    assert ended.report["summary"]["records"] == before["summary"]["records"]


def test_a_resume_without_credentials_leaves_the_run_unchanged(mass_stop: MassStop, tenant: Tenant) -> None:
    before = mass_stop.run(tenant, mass_stop.keys(tenant.keys)).report
    ended = mass_stop("resume", "run", tenant=tenant, env={"ZUORA_CLIENT_SECRET": ""})
    assert (ended.status, "No credentials" in ended.err) == (2, True), ended
    assert mass_stop("report", "run").report["run"] == before["run"]


def test_a_refused_resume_leaves_the_refused_keys_unchanged(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**PROCESSING, actions=4, denied=1.0)
    before = mass_stop.run(tenant, mass_stop.keys(tenant.keys)).report
    assert set(outcomes(before).values()) == {"rejected"}

    assert (
        mass_stop("resume", "run", "--retry-rejected", tenant=tenant, env={"ZUORA_CLIENT_SECRET": ""}).status
        == 2
    )
    assert mass_stop("report", "run").report == before

    ended = mass_stop(
        "resume", "run", "--retry-rejected", tenant=tenant, env={"ZUORA_CLIENT_SECRET": "wrong" * 8}
    )
    assert (ended.status, ended.report["actions"]) == (3, before["actions"]), ended

    again = mass_stop("resume", "run", "--retry-rejected", tenant=tenant)
    assert (again.status, set(outcomes(again.report).values())) == (1, {"rejected"})


@pytest.mark.parametrize("again", [(), ("nowhere.txt",)])
def test_a_resume_without_its_input_leaves_the_run_unchanged(
    mass_stop: MassStop, tenant: Tenant, again: tuple[str, ...]
) -> None:
    before = _cut_while_reading(mass_stop, tenant, signal.SIGINT).report
    assert mass_stop("resume", "run", *again, tenant=tenant).status == 2
    assert mass_stop("report", "run").report == before


def test_a_run_killed_while_it_read_its_order_is_resumed_in_that_order(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    rows = [f"{key},{weight}\n".encode() for weight, key in enumerate(tenant.keys)]
    arguments = ("run", "--yes", "--order", "2", "--concurrency", "1", "--out", "run")
    going = mass_stop.start(*arguments, tenant=tenant, stdin=subprocess.PIPE)
    assert going.process.stdin is not None
    going.process.stdin.write(b"".join(rows[:5]))
    going.process.stdin.flush()
    print_report = partial(mass_stop, "report", "run", "--report", "-")
    until(lambda: print_report().out.count(b'"bulk_key"') == 5, "five rows in the journal")
    going.signal(signal.SIGKILL)
    going.end()
    ended = mass_stop("resume", "run", "-", tenant=tenant, stdin=b"".join(rows))
    assert ended.status == 0, ended
    assert [call.key for call in tenant.log if call.kind == "stop"] == tenant.keys[::-1]


def test_remediation_survives_the_resume_of_a_finished_run(mass_stop: MassStop, tenant: Tenant) -> None:
    mass_stop.run(tenant, mass_stop.keys(tenant.keys))
    path = mass_stop.home / "run" / "remediation" / "succeeded.csv"
    before = path.read_bytes()
    mass_stop("resume", "run", tenant=tenant)
    assert path.read_bytes() == before


def test_resume_retries_what_was_unreachable(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**PROCESSING, actions=4, faults=FaultPlan({"lock": 1}, max_consecutive=1000))
    mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--max-attempts", "1")
    tenant.simulated.set_faults(FaultPlan())
    ended = mass_stop("resume", "run", "--max-attempts", "8", tenant=tenant)
    assert ended.status == 0, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


def test_an_interrupt_during_the_imports_ends_without_a_traceback(
    mass_stop: MassStop, tmp_path: Path
) -> None:
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    ended = mass_stop("--version", env={"PYTHONPATH": str(tmp_path)})
    assert (ended.status, ended.err) == (130, "mass-stop: interrupted; nothing was sent.\n")


@pytest.mark.parametrize("options", [(), ("--strict",)], ids=["as it is read", "read ahead"])
def test_a_deadline_ends_a_run_whose_input_never_ends(
    mass_stop: MassStop, tenant: Tenant, options: tuple[str, ...]
) -> None:
    keys = mass_stop.keys(tenant.keys)
    os.mkfifo(mass_stop.home / "pipe")
    writer = os.open(mass_stop.home / "pipe", os.O_RDWR)
    try:
        os.write(writer, Path(keys).read_bytes())
        ended = mass_stop("run", "--yes", "--out", "run", "--deadline", "2s", *options, "pipe", tenant=tenant)
    finally:
        os.close(writer)
    assert (ended.status, "--deadline" in ended.err) == (4, True), ended
    assert tenant.nothing_sent() if options else lies(ended.report, tenant) == []


def test_one_signal_ends_a_run_whose_input_never_ends(mass_stop: MassStop, tenant: Tenant) -> None:
    keys = mass_stop.keys(tenant.keys)
    os.mkfifo(mass_stop.home / "pipe")
    writer = os.open(mass_stop.home / "pipe", os.O_RDWR)
    try:
        os.write(writer, Path(keys).read_bytes())
        going = mass_stop.start("run", "--yes", "--out", "run", "--no-results", "pipe", tenant=tenant)
        until(lambda: tenant.sent("status") >= len(tenant.keys), "a status of each key")
        going.signal(signal.SIGTERM)
        ended = going.end()
    finally:
        os.close(writer)
    assert (ended.status, ended.report["run"]["state"]) == (143, "interrupted"), ended
