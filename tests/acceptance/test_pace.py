"""The pace and the order of the calls."""

import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.journal.entries import chained
from orchestrator.model import InputRow
from orchestrator.simulator import FaultPlan
from tests.acceptance.support import (
    PROCESSING,
    QUICK,
    Ended,
    MassStop,
    Tenant,
    lies,
    outcomes,
    table,
    until,
    valid,
)
from tests.journal_files import close_again

MakeTenant = Callable[..., Tenant]
EVEN = PROCESSING | {"latency": 0.03, "latency_jitter": 0}


@pytest.mark.parametrize("slots", [1, 5])
def test_concurrency_is_the_peak_of_calls_in_flight(
    mass_stop: MassStop, make_tenant: MakeTenant, slots: int
) -> None:
    tenant = make_tenant(**EVEN, actions=8)
    peak = _peak(mass_stop, tenant, slots, "--concurrency", str(slots))
    assert peak == slots


def _peak(mass_stop: MassStop, tenant: Tenant, held: int, *options: str) -> int:
    """The most calls in flight at once during a run. No call is answered before ``held`` of them are in flight."""
    tenant.hold()
    going = mass_stop.start(
        "run", "--yes", "--out", "run", *options, mass_stop.keys(tenant.keys), tenant=tenant
    )
    until(lambda: tenant.simulated.in_flight >= held, f"{held} calls in flight")
    tenant.release()
    ended = going.end()
    assert ended.status == 0, ended
    return tenant.simulated.peak_in_flight


def test_headroom_leaves_slots_to_other_callers(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**EVEN, actions=60, concurrency=40)
    peak = _peak(mass_stop, tenant, 15, "--headroom", "50", "--no-results")
    assert 15 <= peak <= 20


def test_rate_paces_the_calls(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**PROCESSING, actions=6)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--rate", "300/min", "--no-results")
    calls = sum(tenant.sent(kind) for kind in ("stop", "status"))
    # 5 calls a second, but for a small burst at the start. A slow machine makes the run longer, never shorter.
    assert ended.report["summary"]["timing"]["settled_seconds"] >= (calls - 5) / 5


def test_a_run_waits_for_a_throttling_tenant_and_stops_every_action(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**PROCESSING, actions=30, faults=FaultPlan({"limit": 0.2}))
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--no-results")
    assert ended.status == 0, ended
    refused = tenant.simulated.throttled + sum(call.fault == "limit" for call in tenant.log)
    assert ended.report["summary"]["calls"]["throttled"] == refused > 0
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


@pytest.mark.parametrize("slots", [1, 4])
def test_results_wait_for_stops(mass_stop: MassStop, make_tenant: MakeTenant, slots: int) -> None:
    tenant = make_tenant(**EVEN | {"latency": 0.015}, actions=20)
    mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--concurrency", str(slots))
    log = tenant.log
    last_stop = max(call.ended or 0 for call in log if call.kind == "stop")
    early = [call for call in log if call.kind in ("status", "file") and (call.ended or 0) < last_stop]
    assert len(early) <= slots - 1


def test_keys_are_stopped_in_input_order(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**PROCESSING, actions=15)
    mass_stop.run(tenant, mass_stop.keys(reversed(tenant.keys)), "--concurrency", "1", "--no-results")
    assert [call.key for call in tenant.log if call.kind == "stop"] == tenant.keys[::-1]


def test_order_stops_the_largest_first_and_rows_without_a_number_last(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**PROCESSING, actions=6)
    a, b, c, d, e, f = tenant.keys
    path = mass_stop.home / "keys.csv"
    path.write_text(f"key,speed\n{a},2\n{b},\n{c},100\n{d},n/a\n{e},2.5\n{f},1e3\n")
    ended = mass_stop.run(tenant, path, "--order", "speed", "--concurrency", "1", "--no-results")
    assert [call.key for call in tenant.log if call.kind == "stop"] == [f, c, e, a, b, d]
    assert [action["bulk_key"] for action in ended.report["actions"]] == tenant.keys


@pytest.mark.parametrize(
    ("weights", "warning"),
    [
        (
            ("fast", "slow", ""),
            "No row has a number in column 'speed': the keys are stopped in the order of the input.",
        ),
        (("1", "slow", ""), "Rows without a number in column 'speed': 2 of 3; they are stopped last."),
        (("1", "2", "3"), None),
    ],
)
def test_an_order_without_a_number_in_every_row_is_reported(
    mass_stop: MassStop, make_tenant: MakeTenant, weights: tuple[str, ...], warning: str | None
) -> None:
    tenant = make_tenant(**PROCESSING, actions=3)
    path = mass_stop.home / "keys.csv"
    rows = [f"{key},{weight}\n" for key, weight in zip(tenant.keys, weights, strict=True)]
    path.write_text("key,speed\n" + "".join(rows))
    ended = mass_stop.run(tenant, path, "--order", "speed", "--no-results")
    events = [json.loads(line) for line in ended.err.splitlines() if line.startswith("{")]
    assert [event["message"] for event in events if event["level"] == "warning"] == (
        [warning] if warning else []
    )


def test_an_order_by_a_plan_without_any_of_the_keys_is_reported(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**PROCESSING, actions=4)
    mass_stop("plan", "--out", "plan", mass_stop.keys(tenant.keys[:2]), tenant=tenant)
    ended = mass_stop.run(
        tenant, mass_stop.keys(tenant.keys[2:], "others.txt"), "--plan", "plan", "--no-results"
    )
    assert "The plan in plan has no speed for any key that was read" in ended.err


def test_a_missing_order_column_is_refused(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--order", "speed")
    assert ended.status == 2, ended
    assert tenant.nothing_sent()


def test_a_plan_sends_no_stop(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**QUICK, actions=30)
    ended = mass_stop("plan", "--out", "plan", mass_stop.keys(tenant.keys), tenant=tenant)
    assert ended.status == 0, ended
    assert (tenant.sent("stop"), tenant.sent("file")) == (0, 0)
    assert lies(ended.report, tenant) == []


def test_a_plan_says_what_would_be_stopped_and_what_is_over(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(
        **QUICK | {"mix": {"Processing": 3, "Completed": 1, "Failed": 1, "Stopped": 1}}, actions=18
    )
    tenant_knows = {
        "Processing": "would_stop", "Completed": "already_completed", "Failed": "already_failed",
        "Stopped": "already_stopped",
    }  # fmt: skip
    ended = mass_stop("plan", "--out", "plan", mass_stop.keys(tenant.keys), tenant=tenant)
    for action in ended.report["actions"]:
        assert action["outcome"] == tenant_knows[action["status"]]
    assert ended.report["run"]["command"] == "plan"


def test_a_plan_takes_the_command_line_of_its_run(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**PROCESSING, actions=2)
    ended = mass_stop(
        "plan", "--out", "plan", mass_stop.keys(tenant.keys), "--yes", "--settle", "1m", "--save-responses",
        "--expect-action-type", "Other", "--max-failures", "9", tenant=tenant,
    )  # fmt: skip
    assert (ended.status, tenant.sent("stop")) == (1, 0), ended
    assert {action["outcome"] for action in ended.report["actions"]} == {"skipped_by_guard"}


@pytest.fixture
def planned(mass_stop: MassStop, make_tenant: MakeTenant) -> Tenant:
    """A tenant of which there is a plan, in ``plan``."""
    tenant = make_tenant(**PROCESSING | {"speed": (20, 2000), "records": (90_000, 99_000)}, actions=8)
    mass_stop("plan", "--out", "plan", mass_stop.keys(tenant.keys), tenant=tenant)
    return tenant


def test_a_plan_shows_the_speed_of_each_action(mass_stop: MassStop, planned: Tenant) -> None:
    report = valid((mass_stop.home / "plan" / "report.json").read_bytes())
    for action in report["actions"]:
        speed = planned.truth(action["bulk_key"]).speed
        assert action["plan"]["records_per_second"] == pytest.approx(speed, rel=0.5, abs=15)
        assert action["plan"]["remaining"] == action["records"]["unprocessed"]


def test_a_run_by_a_plan_stops_the_fastest_first(mass_stop: MassStop, planned: Tenant) -> None:
    report = valid((mass_stop.home / "plan" / "report.json").read_bytes())
    speeds = {a["bulk_key"]: a["plan"]["records_per_second"] for a in report["actions"]}
    ended = mass_stop.run(planned, "--plan", "plan", "--concurrency", "1", "--no-results")
    assert ended.status == 0, ended
    stops = [call.key or "" for call in planned.log if call.kind == "stop"]
    assert [speeds[key] for key in stops] == sorted(speeds.values(), reverse=True)
    assert [action["bulk_key"] for action in ended.report["actions"]] == planned.keys


def test_a_run_by_a_plan_that_was_killed_while_reading_keys_is_resumed(
    mass_stop: MassStop, planned: Tenant
) -> None:
    """Also from another folder; the fastest first, as without the kill."""
    report = valid((mass_stop.home / "plan" / "report.json").read_bytes())
    speeds = {a["bulk_key"]: a["plan"]["records_per_second"] for a in report["actions"]}
    first = mass_stop.run(planned, "--plan", "plan", "--no-results", "--deadline", "1ms")
    took_no_more_than(3, first.directory / "journal.db")
    (mass_stop.home / "elsewhere").mkdir()
    ended = mass_stop(
        "resume", first.directory, "--concurrency", "1", tenant=planned, cwd=mass_stop.home / "elsewhere"
    )
    stops = [call.key or "" for call in planned.log if call.kind == "stop"]
    assert ended.status == 0, ended
    assert [speeds[key] for key in stops] == sorted(speeds.values(), reverse=True)
    assert [action["bulk_key"] for action in ended.report["actions"]] == planned.keys
    assert ended.report["run"]["sources"][0]["rows"] == len(planned.keys)


def took_no_more_than(rows: int, journal: Path) -> None:
    """Turns a run cut before its first stop into one that was killed while reading its source."""
    with closing(sqlite3.connect(journal)) as db:
        db.execute("DELETE FROM action WHERE seq > ?", (rows,))
        known = db.execute("SELECT row, bulk_key FROM action ORDER BY seq").fetchall()
        chain = chained("", [InputRow(row, key) for row, key in known])
        db.execute(
            "UPDATE source SET rows = ?, last_row = ?, chain = ?, sha256 = NULL, complete = 0",
            (rows, known[-1][0], chain),
        )
        db.commit()
    close_again(journal)


def test_a_plan_gives_the_order_to_the_keys_of_another_source(mass_stop: MassStop, planned: Tenant) -> None:
    report = valid((mass_stop.home / "plan" / "report.json").read_bytes())
    speeds = {a["bulk_key"]: a["plan"]["records_per_second"] for a in report["actions"]}
    some = mass_stop.keys(planned.keys[:4], "some.txt")
    ended = mass_stop.run(planned, some, "--plan", "plan", "--concurrency", "1", "--no-results")
    stops = [speeds[call.key or ""] for call in planned.log if call.kind == "stop"]
    assert ended.status == 0, ended
    assert len(stops) == 4
    assert stops == sorted(stops, reverse=True)


def test_the_keys_of_simulate_can_be_ordered_by_their_speed(mass_stop: MassStop, tenant: Tenant) -> None:
    from orchestrator.simulator.server import write_keys

    write_keys(tenant.simulated, mass_stop.home / "keys.csv")
    mass_stop.run(tenant, "keys.csv", "--order", "records_a_second", "--concurrency", "1", "--no-results")
    weights = {row["bulk_key"]: float(row["records_a_second"]) for row in table(mass_stop.home / "keys.csv")}
    stops = [call.key or "" for call in tenant.log if call.kind == "stop"]
    assert [weights[key] for key in stops] == sorted(weights.values(), reverse=True)


def test_the_first_stop_leaves_before_the_whole_of_a_long_input_is_read(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**PROCESSING, actions=3000)
    going = mass_stop.start(
        "run", "--yes", "--out", "run", "--no-results", tenant=tenant, stdin=subprocess.PIPE
    )
    going.feed(tenant.keys[:2500])
    until(lambda: tenant.sent("stop"), "the first stop")
    going.process.kill()


def slots_believed(ended: Ended) -> list[int]:
    """Each change of the limit in the log."""
    events = map(json.loads, (ended.directory / "run.log").read_text().splitlines())
    return [event["slots"] for event in events if event["event"] == "pace.limit"]


def test_the_pace_follows_a_limit_that_falls_and_rises(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**EVEN, actions=700, concurrency=40)
    keys = mass_stop.keys(tenant.keys)
    going = mass_stop.start("run", "--yes", "--out", "run", "--no-results", keys, tenant=tenant)
    until(lambda: tenant.answered() > 100, "some stops")
    tenant.simulated.set_concurrency(20)
    until(lambda: tenant.answered() > 250, "some more")
    tenant.simulated.set_concurrency(40)
    ended = going.end()
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
    believed = slots_believed(ended)
    fallen = next(n for n, slots in enumerate(believed) if n and slots <= 18)
    assert max(believed[fallen:]) > 20
    # Calls in flight at the first refusal may be refused as well; all others are paced.
    assert tenant.simulated.throttled <= 40 + 10


def test_the_daily_calls_of_a_small_sandbox_are_enough(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    """A tenth of the calls of an API sandbox for a tenth of a thousand keys: by the hour, five a key."""
    quotas = ((1000, 60), (500, 3600), (1000, 86_400))
    tenant = make_tenant(**PROCESSING | {"stopping_time": (0.2, 1.5)}, actions=100, quotas=quotas)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys))
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
    assert (
        tenant.simulated.throttled,
        sum(tenant.sent(kind) for kind in ("stop", "status", "file")) <= 500,
    ) == (0, True)


def test_the_journal_records_the_pace(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**EVEN, actions=60)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys))
    with closing(sqlite3.connect(ended.directory / "journal.db")) as journal:
        rows = journal.execute("SELECT slots, in_flight, throttled, waiting FROM pace ORDER BY at").fetchall()
    assert (rows[0][3], rows[-1]) == (60, (36, 0, 0, 0))
