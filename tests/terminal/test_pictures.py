"""The screens of given counts: the progress at one moment, and a plan of running actions."""

import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from rich.console import Console

from orchestrator.cli import display, plan_summary
from orchestrator.cli.page import Capabilities
from orchestrator.journal.digest import Named, Planned, PlanTotals, Reason
from orchestrator.model import Limits, Outcome, Window
from orchestrator.pacing.forecast import Calls
from orchestrator.progress import NeedsPerson, OutageFacts, Progress
from orchestrator.report import RunEntry, Summary
from orchestrator.report.headline import headline
from orchestrator.report.schema import CallTotals, RecordTotals, TenantEntry, Timing
from orchestrator.settings import Settings
from tests.terminal.screen import Screen

AsKept = Callable[..., None]

SHAPES = pytest.mark.parametrize(
    ("name", "capabilities"),
    [
        ("80", Capabilities(width=80, animated=True)),
        ("80-ascii", Capabilities(width=80, animated=True, unicode=False)),
        ("40", Capabilities(width=40, animated=True)),
    ],
)


def drawn(
    progress: Progress, capabilities: Capabilities, height: int = display.USUAL_HEIGHT, **changes: int
) -> str:
    """The screen ten seconds after a moment at which ``progress`` was as it is but for ``changes``."""
    picture = display.Picture(progress, capabilities, lambda seconds: f"03:00:{seconds:.0f}", lambda: height)
    later = {name: getattr(progress, name) for name in changes}
    stopped = progress.completed - changes.get("completed", progress.completed)
    progress.outcomes[Outcome.STOPPED] -= stopped
    for name, before in changes.items():
        setattr(progress, name, before)
    picture.at(100.0)
    progress.outcomes[Outcome.STOPPED] += stopped
    for name, after in later.items():
        setattr(progress, name, after)
    stream = io.StringIO()
    console = display._Console(
        capabilities,
        file=stream,
        width=(capabilities.width or 0) - display.ECHO,
        force_terminal=True,
        no_color=True,
    )
    console.print(picture.at(110.0))
    return Screen(capabilities.width or 80).show(stream.getvalue().replace("\n", "\r\n"))


def a_run(**fields: Any) -> Progress:
    progress = Progress(
        keys=12_000, accepted=4_321, confirmed=29, completed=17, slots=36, in_flight=35, **fields
    )
    progress.outcomes.update({Outcome.STOPPED: 10, Outcome.REJECTED: 7})
    for number in range(7):
        key = f"{number:032x}"
        progress.latest.append(
            NeedsPerson(key, Outcome.REJECTED, "You do not have permission\x1b[31m to do that.")
        )
    return progress


@SHAPES
def test_the_screen_shows_stops_while_the_input_is_read(
    as_kept: AsKept, name: str, capabilities: Capabilities
) -> None:
    progress = Progress(keys=500, accepted=120, slots=36, in_flight=36)
    as_kept(f"progress-reading-{name}", drawn(progress, capabilities, accepted=0), passing=False)


@SHAPES
def test_the_screen_shows_stops_and_what_needs_a_person(
    as_kept: AsKept, name: str, capabilities: Capabilities
) -> None:
    progress = a_run(read_to_end=True, retries=31, throttled=4)
    as_kept(
        f"progress-people-{name}", drawn(progress, capabilities, accepted=4_000, completed=10), passing=False
    )


def test_the_screen_before_the_first_answer(as_kept: AsKept) -> None:
    as_kept("progress-first", drawn(Progress(), Capabilities(width=80, animated=True)), passing=False)


def test_the_screen_while_the_tenant_asks_to_wait(as_kept: AsKept) -> None:
    progress = Progress(keys=5, accepted=2, read_to_end=True, slots=36, throttled=1, closed_until=138.4)
    as_kept(
        "progress-waiting", drawn(progress, Capabilities(width=80, animated=True), accepted=1), passing=False
    )


def test_a_long_wait_for_the_tenant_does_not_slow_the_forecast() -> None:
    progress = Progress(keys=500, accepted=100, read_to_end=True, slots=36, closed_until=160.0)
    picture = display.Picture(progress, Capabilities(width=80, animated=True))
    for second in range(100, 162):
        picture.at(float(second))
    progress.accepted += 40
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(picture.at(162.0))
    assert "9s left" in console.export_text()


def test_the_screen_once_every_stop_is_accepted(as_kept: AsKept) -> None:
    progress = Progress(
        keys=500, accepted=500, confirmed=400, completed=250, read_to_end=True, slots=36, in_flight=12
    )
    progress.outcomes[Outcome.STOPPED] = 250
    as_kept(
        "progress-settling",
        drawn(progress, Capabilities(width=80, animated=True), confirmed=300, completed=125),
        passing=False,
    )


def test_a_plan_reads_and_sends_no_stop(as_kept: AsKept) -> None:
    progress = Progress(keys=500, completed=250, read_to_end=True, planning=True, slots=36, in_flight=12)
    progress.outcomes[Outcome.WOULD_STOP] = 250
    as_kept(
        "progress-plan", drawn(progress, Capabilities(width=80, animated=True), completed=125), passing=False
    )


def some_tenants() -> Progress:
    """A run of twelve tenants: one dead, one with refusals, one throttled, two done, seven at work."""
    total = Progress(
        keys=12_000,
        accepted=5_200,
        confirmed=3_000,
        completed=2_100,
        read_to_end=True,
        slots=252,
        in_flight=250,
    )
    for number in range(9):
        done = 1_000 if number < 2 else number
        total.tenants[f"entity-{number}"] = Progress(
            keys=1_000, accepted=1_000 if number < 2 else 100 * number, confirmed=done, completed=done,
            read_to_end=True, slots=36, in_flight=36 - number, outcomes=Counter({Outcome.STOPPED: done}),
        )  # fmt: skip
    total.tenants["south-west-of-everywhere"] = Progress(
        keys=1_000, read_to_end=True, slots=36, closed_until=148.0
    )
    total.tenants["north"] = Progress(
        keys=1_000, accepted=640, confirmed=60, completed=40, completed_unsent=3, read_to_end=True, slots=36,
        in_flight=36, outcomes=Counter({Outcome.STOPPED: 37, Outcome.REJECTED: 3}),
    )  # fmt: skip
    total.tenants["dead"] = Progress(
        keys=1_000, read_to_end=True, given_up="The tenant does not answer any more: Connection refused."
    )
    total.outcomes.update({Outcome.STOPPED: 2_097, Outcome.REJECTED: 3})
    total.latest.append(NeedsPerson("0" * 32, Outcome.REJECTED, "You do not have permission to do that."))
    return total


NO_TOKEN = "No token from https://rest.zuora.com/oauth/token: a gateway answered 503 Service Unavailable."
STATES: dict[str, dict[str, Any]] = {
    "confirmed": {"confirmed": 500, "completed": 320, "in_flight": 9},
    "writing": {"confirmed": 500, "completed": 500, "in_flight": 0, "writing": 0.41},
    "closing": {"confirmed": 210, "completed": 90, "closing_by": 122.0},
    "confirming": {"confirmed": 210, "completed": 90, "closing_by": 122.0, "confirming": True},
    "outage": {
        "accepted": 200, "in_flight": 1,
        "outage": OutageFacts(100.0, NO_TOKEN, 111.2, 1_000.0),
    },
    "to-end": {"confirmed": 488, "completed": 488, "in_flight": 0, "polls_until": 700.0},
    "for-keys": {"confirmed": 500, "completed": 500, "in_flight": 0, "read_to_end": False},
}  # fmt: skip


@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.parametrize("state", STATES)
def test_the_state_of_a_run(as_kept: AsKept, state: str, width: int) -> None:
    fields: dict[str, Any] = {"keys": 500, "accepted": 500, "read_to_end": True, "slots": 36, "in_flight": 12}
    progress = Progress(**(fields | STATES[state]))
    progress.outcomes[Outcome.STOPPED] = progress.completed
    as_kept(
        f"progress-{state}-{width}", drawn(progress, Capabilities(width=width, animated=True)), passing=False
    )


@SHAPES
def test_tenants_that_need_a_person_come_first(
    as_kept: AsKept, name: str, capabilities: Capabilities
) -> None:
    as_kept(f"progress-tenants-{name}", drawn(some_tenants(), capabilities, accepted=5_000), passing=False)


def test_a_low_screen_sums_up_the_tenants_that_do_not_fit(as_kept: AsKept) -> None:
    capabilities = Capabilities(width=80, animated=True)
    as_kept(
        "progress-tenants-low", drawn(some_tenants(), capabilities, height=12, accepted=5_000), passing=False
    )


def test_a_plan_of_several_tenants(as_kept: AsKept) -> None:
    progress = Progress(keys=20, completed=15, read_to_end=True, planning=True, slots=72, in_flight=5)
    progress.outcomes[Outcome.WOULD_STOP] = 15
    progress.tenants["north"] = Progress(keys=10, completed=10, planning=True, read_to_end=True)
    progress.tenants["north"].outcomes[Outcome.WOULD_STOP] = 10
    progress.tenants["south"] = Progress(
        keys=10, completed=5, planning=True, read_to_end=True, slots=36, in_flight=5
    )
    progress.tenants["south"].outcomes[Outcome.WOULD_STOP] = 5
    as_kept(
        "progress-tenants-plan",
        drawn(progress, Capabilities(width=80, animated=True), completed=10),
        passing=False,
    )


SANDBOX = Limits(
    windows=(Window(2_500, 60), Window(5_000, 3_600), Window(10_000, 86_400)),
    nearest=5_000,
    remaining=900,
    reset=1_200.0,
)


def a_plan() -> plan_summary.EndedPlan:
    run = RunEntry(
        id="one", command="plan", version="0", started_at="2026-11-23T22:50:13.123Z", ended_at=None,
        duration_seconds=None, tenant=TenantEntry("https://rest.zuora.com", None, ()), sources=[],
        state="finished", reason=None, resumed=0, exit_status=1, operator=None,
    )  # fmt: skip
    outcomes = {
        Outcome.WOULD_STOP: 160,
        Outcome.ALREADY_COMPLETED: 30,
        Outcome.ALREADY_FAILED: 8,
        Outcome.REJECTED: 2,
    }
    summary = Summary(
        200,
        0,
        0,
        outcomes,
        RecordTotals(0, 0, 0, 0, 0, 0),
        CallTotals(0, 0, 0, 0, 0, 0, 0),
        Timing(None, None, None),
    )
    reason = Reason(
        Outcome.REJECTED, 2, 53900040, "There is no such action.", [Named("f" * 32, "keys.csv", 7)]
    )
    totals = PlanTotals(
        processing=120,
        pending=36,
        stopping=4,
        unprocessed=123_456,
        within_a_minute=4_321,
        still=3,
        done_in=7_500.0,
    )
    first = [
        Planned("a" * 32, "Processing", "MPU", 20_000, 1_234.5),
        Planned("b" * 32, "Processing", "MPU", 90, 12.0),
        Planned("c" * 32, "Processing", "MPU", 77, 0.0),
        Planned("d" * 32, "Pending", "ImportFXRate", None, None),
    ]
    return plan_summary.EndedPlan(
        structs.replace(run, headline=headline(run, summary, [], [], 0)),
        summary,
        Path("runs/20261124-034914-940a1b"),
        reasons=[reason],
        by_tenant={"": totals},
        first=first,
    )


@pytest.mark.parametrize("width", [80, 40])
def test_a_plan_of_actions_at_work(as_kept: AsKept, width: int) -> None:
    progress = Progress(limits=SANDBOX, slots=36, call_seconds=0.3)
    plan = a_plan()
    ahead = plan_summary.forecast_run(plan, Settings(base_url="https://rest.zuora.com"), progress, {})
    text = plan_summary.closing(plan, ahead, Capabilities(width=width)) + "\n"
    as_kept(f"plan-at-work-{width}", text, passing=False)


def calls_of(plan: plan_summary.EndedPlan, settings: Settings) -> Calls:
    progress = Progress(slots=1, call_seconds=0.3)
    return plan_summary.forecast_run(plan, settings, progress, {})[""].expected.calls


def test_the_calls_of_a_plan_are_those_of_its_run() -> None:
    """With one slot, every action is over before its first poll; every possible file is downloaded."""
    settings = Settings(base_url="https://rest.zuora.com")
    calls = calls_of(a_plan(), settings)
    assert (calls.stop, calls.status, calls.file) == (198, 160 + 38, 120 + 4 + 30)


def test_guards_and_results_count_in_the_calls_of_a_plan() -> None:
    settings = Settings(base_url="https://rest.zuora.com", expect_action_type=("MPU",), no_results=True)
    calls = calls_of(a_plan(), settings)
    assert (calls.stop, calls.status, calls.file) == (198, 160 * 2 + 38, 0)
