"""Whole runs: a quota that must last, retries that must not crowd out, a tenant that falls silent."""

from bisect import bisect_left
from itertools import pairwise
from random import Random

import pytest

from orchestrator.engine.retry import AT_START, SHARE
from orchestrator.errors import Kind, TenantUnreachable
from orchestrator.model import Answered, Limits, Outcome, Window
from orchestrator.pacing.circuit import FAILURES
from tests.simulation.tenant import Fault, VirtualTenant, actions_of, bulk_key, fault, scripted
from tests.simulation.virtual import now, virtually
from tests.simulation.world import World, rows_of, settings

SANDBOX = (Window(2_500, 60), Window(5_000, 3600), Window(10_000, 86_400))
"""The limits of an API sandbox (Zuora API, "Rate limits")."""


class Sandbox(VirtualTenant):
    """Sends its windows; each began with the run."""

    def _report_answer(self, error, seconds):
        used = {window: self._used(window) for window in SANDBOX}
        nearest = max(SANDBOX, key=lambda window: used[window] / window.quota)
        resets_in = nearest.seconds - now() % nearest.seconds
        limits = Limits(SANDBOX, nearest.quota, nearest.quota - used[nearest], resets_in, concurrency=40)
        self.answered(Answered(limits, 200, False, None, seconds))

    def _used(self, window: Window) -> int:
        began = now() - now() % window.seconds
        return len(self.calls) - bisect_left(self.calls, began, key=lambda call: call.at)


@pytest.mark.parametrize("stopping_for", [1.0, 30.0])
def test_a_sandbox_of_ten_thousand_calls_a_day_is_enough_for_a_thousand_keys(stopping_for):
    dice = Random(1)
    actions = actions_of(1_000)
    for action in actions:
        action.stopping_for = dice.uniform(0.2, stopping_for)
    tenant = Sandbox(actions, latency=lambda: 0.2)
    world = World(tenant, settings(headroom=10.0, concurrency=None))
    virtually(world.run(rows_of(1_000)))
    assert world.report().summary.outcomes == {Outcome.STOPPED: 1_000}
    assert len(tenant.calls) <= 4_500
    assert max(call.at for call in tenant.calls) < 700


def test_a_key_that_keeps_failing_delays_no_other_key():
    """A quarter of the keys is locked for good: their retries use the budget, the rest follow all other stops."""
    locked = scripted(stop={n: [fault(Kind.LOCKED)] * 8 for n in range(1, 501) if n % 4 == 0})
    world = World(VirtualTenant(actions_of(500), latency=lambda: 1.0, script=locked))
    virtually(world.run(rows_of(500)))
    stops = world.tenant.of("stop")
    first = {call.bulk_key: n for n, call in reversed(list(enumerate(stops)))}
    retried = max(first.values()) + 1 - 500
    assert 0 < retried <= AT_START + SHARE * 500
    assert len(stops) == 375 + 125 * 8


def silent_after_a_second(name: str, key: str, n: int) -> Fault | None:
    return fault(Kind.CONNECT_FAILED) if now() > 1 else None


def test_a_tenant_that_falls_silent_gets_one_probe_every_one_to_two_seconds():
    silent = VirtualTenant(actions_of(500), script=silent_after_a_second)
    world = World(silent)
    ending = virtually(world.run(rows_of(500)))
    failed = [call.at for call in silent.calls if call.answer == Kind.CONNECT_FAILED]
    probes = failed[10 + FAILURES :]
    assert isinstance(ending.cut_by, TenantUnreachable)
    assert all(1.0 <= after - before <= 2.0 for before, after in pairwise(probes))
    assert 450 <= len(probes) <= 900


def test_keys_that_were_not_sent_to_a_silent_tenant_are_not_attempted():
    silent = VirtualTenant(actions_of(500), script=silent_after_a_second)
    world = World(silent)
    virtually(world.run(rows_of(500)))
    sent = len({call.bulk_key for call in silent.of("stop")})
    assert world.report().summary.outcomes[Outcome.NOT_ATTEMPTED] == 500 - sent


def test_a_run_continues_when_the_tenant_returns():
    back = VirtualTenant(
        actions_of(200, has_file=False),
        script=lambda name, key, n: fault(Kind.CONNECT_FAILED) if 1 < now() < 6 else None,
    )
    world = World(back)
    assert virtually(world.run(rows_of(200))).state == "finished"
    assert world.report().summary.outcomes == {Outcome.STOPPED: 200}
    assert bulk_key(200) in {call.bulk_key for call in back.of("stop")}
