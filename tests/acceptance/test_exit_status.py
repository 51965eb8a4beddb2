"""The end of a command for a script: the exit status, one sentence, and the calls until then."""

import socket
import subprocess
from collections.abc import Callable, Iterator

import pytest

from orchestrator.simulator import FaultPlan
from tests.acceptance.support import PROCESSING, QUICK, Ended, MassStop, Tenant, lies, outcomes, until

MakeTenant = Callable[..., Tenant]


@pytest.fixture
def dead_address() -> Iterator[str]:
    """An address of this machine without a server, which no server can bind."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_a_run_with_all_actions_stopped_ends_in_zero_and_says_so(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys))
    assert ended.status == 0, ended
    assert ended.report["run"]["exit_status"] == 0
    assert "All over: none of the 12 mass actions processes records any more." in ended.err
    assert "run/report.json" in ended.err


def test_actions_that_were_over_already_end_in_zero(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**QUICK | {"mix": {"Completed": 1, "Stopped": 1, "Failed": 1}}, actions=15)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys))
    assert ended.status == 0, ended
    assert set(outcomes(ended.report).values()) == {"already_completed", "already_stopped", "already_failed"}
    assert lies(ended.report, tenant) == []


def test_an_unknown_key_ends_in_one(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(tenant, mass_stop.keys([*tenant.keys, "f" * 32]))
    assert ended.status == 1, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped") | {"f" * 32: "rejected"}
    error = ended.report["actions"][-1]["error"]
    assert (error["kind"], error["code"]) == ("not_found", 53900040)


def test_an_action_that_a_guard_skipped_ends_in_one(mass_stop: MassStop, tenant: Tenant) -> None:
    wanted = tenant.truth(tenant.keys[0]).action_type
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--expect-action-type", wanted)
    assert ended.status == 1, ended
    assert outcomes(ended.report) == {
        key: "stopped" if tenant.truth(key).action_type == wanted else "skipped_by_guard"
        for key in tenant.keys
    }


def test_an_action_that_a_guard_skipped_got_no_stop(mass_stop: MassStop, tenant: Tenant) -> None:
    mass_stop.run(
        tenant, mass_stop.keys(tenant.keys), "--no-results", "--expect-uploaded-by", "close.team@example.com"
    )
    stopped = {key for key in tenant.keys if tenant.truth(key).stops_received}
    assert stopped == {
        key for key in tenant.keys if tenant.truth(key).uploaded_by == "close.team@example.com"
    }


def test_a_wrong_secret_ends_in_three(mass_stop: MassStop, tenant: Tenant) -> None:
    wrong = {"ZUORA_CLIENT_SECRET": "wrong" * 8}
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), env=wrong)
    assert ended.status == 3, ended
    assert tenant.nothing_sent()
    assert "wrong" * 8 not in ended.err
    assert "Traceback" not in ended.err


def test_an_unreachable_tenant_ends_in_three(mass_stop: MassStop, tenant: Tenant, dead_address: str) -> None:
    keys = mass_stop.keys(tenant.keys)
    ended = mass_stop.run(tenant, keys, "--base-url", dead_address, "--wait-for-tenant", "1s")
    assert ended.status == 3, ended
    assert "Traceback" not in ended.err


def test_a_run_that_reached_no_tenant_can_be_resumed(mass_stop: MassStop, tenant: Tenant) -> None:
    wrong = {"ZUORA_CLIENT_SECRET": "wrong" * 8}
    mass_stop.run(tenant, mass_stop.keys(tenant.keys), env=wrong)
    ended = mass_stop("resume", "run", tenant=tenant)
    assert ended.status == 0, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


USAGE: dict[str, tuple[tuple[str, ...], dict[str, str], str]] = {
    "an unknown environment": (("--env", "us9-prod"), {"ZUORA_BASE_URL": ""}, "us9-prod"),
    "a plain http address": (("--base-url", "http://rest.zuora.com"), {}, "http://rest.zuora.com"),
    "no tenant": ((), {"ZUORA_BASE_URL": ""}, "ZUORA_BASE_URL"),
    "no credentials": ((), {"ZUORA_CLIENT_ID": "", "ZUORA_CLIENT_SECRET": ""}, "ZUORA_CLIENT_SECRET"),
    "no secret": ((), {"ZUORA_CLIENT_SECRET": ""}, "ZUORA_CLIENT_SECRET"),
    "an open secret file": (("--client-secret-file", "open"), {"ZUORA_CLIENT_SECRET": ""}, "chmod 600 open"),
    "an open token file": (("--token-file", "open"), {}, "chmod 600 open"),
    "a missing secret file": (("--client-secret-file", "none"), {"ZUORA_CLIENT_SECRET": ""}, "none"),
    "a number that is none": (("--concurrency", "many"), {}, "--concurrency"),
    "no slots at all": (("--concurrency", "0"), {}, "--concurrency"),
    "a wrong variable": ((), {"MASS_STOP_HEADROOM": "200"}, "MASS_STOP_HEADROOM"),
    "a duration that is none": (("--deadline", "soon"), {}, "--deadline"),
    "an unknown option": (("--force",), {}, "--force"),
    "a plan that is none": (("--plan", "nowhere"), {}, "nowhere"),
    "a config file that is none": (("--config", "none.toml"), {}, "none.toml"),
    "a report below a file": (("--report", "open/report.json"), {}, "open is a file"),
}


@pytest.mark.parametrize("wrong", USAGE)
def test_wrong_usage_ends_in_two_with_a_sentence_and_sends_nothing(
    mass_stop: MassStop, tenant: Tenant, wrong: str
) -> None:
    (mass_stop.home / "open").write_text("a secret")
    (mass_stop.home / "open").chmod(0o644)
    options, env, named = USAGE[wrong]
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), *options, env=env)
    assert ended.status == 2, ended
    assert tenant.sent("token") == 0
    assert tenant.nothing_sent()
    assert len(ended.sentences) == 1, ended
    assert named in ended.sentences[0]
    assert not ended.directory.exists(), "the run directory is not free again"


def test_without_a_terminal_yes_is_required(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop("run", "--out", "run", mass_stop.keys(tenant.keys), tenant=tenant)
    assert ended.status == 2, ended
    assert "--yes" in ended.err
    assert tenant.sent("token") == 0
    assert not ended.directory.exists()


def test_too_many_failures_stop_the_sending_and_end_in_four(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**PROCESSING, actions=60, denied=1)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--max-failures", "3", "--concurrency", "2")
    assert ended.status == 4, ended
    assert ended.report["run"]["state"] == "aborted"
    assert "--max-failures" in ended.report["run"]["reason"]
    assert 3 <= tenant.sent("stop") <= 3 + 2
    assert ended.report["summary"]["outcomes"]["not_attempted"] >= 60 - 5


def test_the_deadline_ends_in_four_and_the_rest_is_not_attempted(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**PROCESSING | {"latency": 0.1}, actions=60)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--concurrency", "2", "--deadline", "1s")
    assert ended.status == 4, ended
    assert ended.report["summary"]["outcomes"].get("not_attempted", 0) >= 30
    assert lies(ended.report, tenant) == []


@pytest.mark.parametrize(
    ("options", "env", "sentence"),
    [
        (("--deadline", "1ms"), {}, "The deadline does not apply then, unless you give a new --deadline."),
        ((), {"MASS_STOP_DEADLINE": "1ms"}, "applies again: give a longer --deadline."),
    ],
)
def test_the_summary_says_whether_the_deadline_holds_for_the_resume(
    mass_stop: MassStop, tenant: Tenant, options: tuple[str, ...], env: dict[str, str], sentence: str
) -> None:
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), *options, env=env)
    assert ended.status == 4, ended
    assert sentence in ended.err


def test_a_run_cut_by_its_deadline_is_resumed_with_a_later_one(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**PROCESSING | {"latency": 0.05}, actions=40)
    mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--concurrency", "2", "--deadline", "500ms")
    ended = mass_stop("resume", "run", "--deadline", "10m", "--concurrency", "20", tenant=tenant)
    assert ended.status == 0, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


def test_a_tenant_that_becomes_unreachable_ends_in_four(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**PROCESSING | {"latency": 0.05}, actions=60)
    going = mass_stop.start(
        "run", "--yes", "--out", "run", "--concurrency", "2", "--wait-for-tenant", "2s",
        mass_stop.keys(tenant.keys), tenant=tenant,
    )  # fmt: skip
    until(lambda: tenant.answered("stop") >= 4, "some stops")
    tenant.cut()
    ended = going.end()
    assert ended.status == 4, ended
    assert lies(ended.report, tenant) == []


def test_an_action_that_never_gets_stopped_is_unconfirmed_after_the_settle_time(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**PROCESSING | {"stopping_time": (600, 601)}, actions=3)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--settle", "500ms")
    assert ended.status == 1, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "unconfirmed")


def test_keys_whose_stops_all_meet_passing_failures_are_unconfirmed_and_end_in_one(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    plan = FaultPlan({"lock": 1}, max_consecutive=1000)
    tenant = make_tenant(**PROCESSING, actions=3, faults=plan)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--max-attempts", "2")
    assert ended.status == 1, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "unconfirmed")


def test_an_out_directory_that_contains_a_run_is_refused(
    mass_stop: MassStop, over: Ended, tenant: Tenant
) -> None:
    before = over.report
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--no-results")
    assert ended.status == 2, ended
    assert "resume" in ended.sentences[0]
    assert ended.report == before


def test_a_second_command_on_one_directory_is_refused(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**PROCESSING, actions=4)
    mass_stop.keys(tenant.keys)
    # The first run has not read its input to the end: it cannot be over before the second has started.
    going = mass_stop.start("run", "--yes", "--out", "run", tenant=tenant, stdin=subprocess.PIPE)
    going.feed(tenant.keys)
    until(lambda: tenant.sent("token"), "the first run's token")
    for words in (("run", "--yes", "--out", "run", "keys.txt"), ("resume", "run")):
        second = mass_stop(*words, tenant=tenant)
        assert second.status == 2, (words, second)
        assert len(second.sentences) == 1, second
        assert "run" in second.sentences[0]
    assert going.process.stdin is not None
    going.process.stdin.close()
    assert going.end().status == 0


@pytest.mark.parametrize("command", ["resume", "report"])
def test_a_directory_without_a_run_is_refused(mass_stop: MassStop, tenant: Tenant, command: str) -> None:
    (mass_stop.home / "empty").mkdir()
    (mass_stop.home / "report.json").touch()
    for name in ("empty", "missing", "report.json"):
        ended = mass_stop(command, name, tenant=tenant)
        assert ended.status == 2, (name, ended)
        assert len(ended.sentences) == 1
        assert "Traceback" not in ended.err


def test_a_journal_that_cannot_be_read_ends_in_five(mass_stop: MassStop, over: Ended, tenant: Tenant) -> None:
    for extra in ("journal.db-wal", "journal.db-shm"):
        (mass_stop.home / "run" / extra).unlink(missing_ok=True)
    (mass_stop.home / "run" / "journal.db").write_bytes(b"this is no database " * 500)
    for command in ("resume", "report"):
        ended = mass_stop(command, "run", tenant=tenant)
        assert ended.status == 5, (command, ended)
        assert "Traceback" not in ended.err
        assert len(ended.sentences) == 1, ended


def test_another_tenant_is_not_resumed(
    mass_stop: MassStop, over: Ended, tenant: Tenant, dead_address: str
) -> None:
    ended = mass_stop("resume", "run", "--base-url", dead_address, tenant=tenant)
    assert ended.status == 2, ended


def test_an_option_precedes_the_environment_and_the_environment_the_file(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    keys = mass_stop.keys(tenant.keys[:2])
    (mass_stop.home / "mass-stop.toml").write_text('out = "by-file"\nno-results = true\nyes = true\n')
    by_variable = {"MASS_STOP_OUT": "by-variable"}
    mass_stop("run", keys, tenant=tenant)
    mass_stop("run", keys, tenant=tenant, env=by_variable)
    mass_stop("run", keys, "--out", "by-option", tenant=tenant, env=by_variable)
    for name in ("by-file", "by-variable", "by-option"):
        assert (mass_stop.home / name / "report.json").exists(), name
