"""kill -9 at every system call that changes something, then resume, then the report against the tenant's truth."""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.acceptance.support import PROCESSING, MassStop, Tenant
from tests.hunts.crash.laws import hold_after_a_kill
from tests.hunts.crash.strace import CHANGES, Point, needs_strace, run_killed_at

MakeTenant = Callable[..., Tenant]

pytestmark = needs_strace

SMALL = PROCESSING | {"records": (400, 800), "speed": (0.2, 0.4), "repeat_stop": "mixed"}
EVERYDAY = (
    Point("journal", "fdatasync", 2),
    Point("main", "write", 8),
    Point("first", "unlinkat", 2),
)
"""Before the intent, with stops in flight, during the cleanup."""


def prepared(mass_stop: MassStop, make_tenant: MakeTenant) -> tuple[Tenant, list[str]]:
    """A tenant of four actions; their keys, one of them twice, in ``keys.txt``."""
    tenant = make_tenant(**SMALL, actions=4)
    lines = [*tenant.keys, tenant.keys[1]]
    mass_stop.keys(lines)
    return tenant, lines


@pytest.mark.parametrize("point", EVERYDAY, ids=str)
def test_a_run_killed_at_a_system_call_is_resumed_to_a_whole_and_true_report(
    mass_stop: MassStop, make_tenant: MakeTenant, point: Point
) -> None:
    tenant, lines = prepared(mass_stop, make_tenant)
    assert run_killed_at(mass_stop, tenant, point), f"the run never came to {point}"
    hold_after_a_kill(mass_stop, tenant, lines, again=False)


@pytest.mark.hunt
@pytest.mark.parametrize("thread", ["first", "journal", "main"])
@pytest.mark.parametrize("call", CHANGES)
def test_a_run_killed_at_each_system_call_in_turn_is_resumed_to_a_whole_and_true_report(
    mass_stop: MassStop, make_tenant: MakeTenant, thread: str, call: str, capsys: pytest.CaptureFixture[str]
) -> None:
    left: Counter[str] = Counter()
    for nth in range(1, 1000):
        place = mass_stop.home / str(nth)
        place.mkdir()
        here = MassStop(mass_stop.command, place)
        try:
            tenant, lines = prepared(here, make_tenant)
            if not run_killed_at(here, tenant, Point(thread, call, nth)):
                break
            left[hold_after_a_kill(here, tenant, lines)] += 1
        finally:
            here.close()
            tenant.cut()
    with capsys.disabled():
        print(f"\n{call} of {thread}: killed at {left.total()}; left: {dict(left)}; losses: none")
