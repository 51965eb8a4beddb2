"""Runs through outages, gateway pages and bursts of refusals: the run finishes once the fault ends."""

import asyncio
from collections.abc import Callable
from itertools import cycle

import pytest

from orchestrator.engine.cutoff import DeadlineReached, Ending
from orchestrator.engine.outage import WRONG_ADDRESS
from orchestrator.errors import CallError, Kind, TenantUnreachable
from orchestrator.model import Outcome
from tests.simulation.tenant import (
    Fault,
    Script,
    VirtualTenant,
    actions_of,
    bulk_key,
    fault,
    lost,
    scripted,
    throttled,
)
from tests.simulation.trouble import ANSWERS, DOWN, answer, page
from tests.simulation.virtual import now, virtually
from tests.simulation.world import World, entry, rows_of, settings

KEYS = 200


def between(start: float, end: float, fails: Callable[[], Fault]) -> Script:
    """Every call that starts between the two times fails."""
    return lambda name, key, n: fails() if start < now() < end else None


def through(script: Script, keys: int = KEYS, **options: object) -> tuple[World, Ending]:
    """Run ``keys`` keys to the end."""
    world = World(VirtualTenant(actions_of(keys), script=script), settings(**options))
    return world, virtually(world.run(rows_of(keys)))


@pytest.mark.parametrize("fails", DOWN.values(), ids=DOWN)
def test_a_run_finishes_by_itself_when_an_outage_of_a_minute_ends(fails):
    world, ending = through(between(0.5, 60.5, fails))
    assert (ending.state, world.report().summary.outcomes) == ("finished", {Outcome.STOPPED: KEYS})
    assert world.tenant.counts.total() > KEYS, "there was no outage"


@pytest.mark.parametrize("fails", DOWN.values(), ids=DOWN)
def test_stops_are_sent_within_two_seconds_after_an_outage(fails):
    world, _ = through(between(0.5, 60.5, fails))
    assert min(call.at for call in world.tenant.of("stop") if call.at >= 60.5) <= 62.5 + 0.1


@pytest.mark.parametrize("fails", DOWN.values(), ids=DOWN)
def test_probes_start_at_least_a_second_apart_during_an_outage(fails):
    world, _ = through(between(0.5, 100.5, fails))
    probes = [call.at for call in world.tenant.calls if 40.0 < call.at < 100.0]
    assert 30 <= len(probes) <= 61


def test_an_outage_of_changing_kinds_is_one_outage():
    kinds = cycle(DOWN.values())
    world, ending = through(between(0.5, 120.5, lambda: next(kinds)()))
    assert (ending.state, world.report().summary.outcomes) == ("finished", {Outcome.STOPPED: KEYS})


@pytest.mark.parametrize("keys", [1, 2])
@pytest.mark.parametrize("fails", DOWN.values(), ids=DOWN)
def test_a_run_of_few_keys_survives_an_outage_with_a_single_attempt(keys, fails):
    world, ending = through(between(-1.0, 90.0, fails), keys, max_attempts=1, wait_for_tenant=300.0)
    over = {Outcome.STOPPED: keys}
    wrong = getattr(fails().error, "wrong_address", False)
    assert (ending.state, world.report().summary.outcomes == over) == (
        ("aborted", False) if wrong else ("finished", True)
    )


@pytest.mark.parametrize("works", [True, False])
@pytest.mark.parametrize("http_status", ANSWERS)
def test_half_a_second_of_a_gateway_answer_loses_no_key(http_status, works):
    world, ending = through(between(0.3, 0.8, lambda: answer(http_status, works=works)))
    assert (ending.state, world.report().summary.outcomes) == ("finished", {Outcome.STOPPED: KEYS})


def test_thirty_seconds_of_401_lose_no_key():
    refused = fault(Kind.UNAUTHENTICATED, http_status=401)
    world, ending = through(between(0.3, 30.0, lambda: refused))
    assert (ending.state, world.report().summary.outcomes) == ("finished", {Outcome.STOPPED: KEYS})


@pytest.mark.parametrize("fails", DOWN.values(), ids=DOWN)
def test_the_run_ends_when_an_outage_lasts_longer_than_the_wait_for_the_tenant(fails):
    world, ending = through(between(0.5, 1e9, fails), wait_for_tenant=120.0)
    assert (ending.state, type(ending.cut_by)) == ("aborted", TenantUnreachable)
    assert 115.0 <= max(call.at for call in world.tenant.calls) <= 152.0


def test_the_reason_says_how_long_the_run_waited_and_for_what():
    _, ending = through(between(0.5, 1e9, DOWN["503"]), wait_for_tenant=120.0)
    assert ending.reason == "The tenant did not answer for 2m (--wait-for-tenant): scripted: server_error"


def test_an_address_that_refuses_from_the_start_is_waited_for_a_minute():
    world, ending = through(between(-1.0, 1e9, DOWN["refuse"]))
    assert type(ending.cut_by) is TenantUnreachable
    assert WRONG_ADDRESS - 2.1 <= max(call.at for call in world.tenant.calls) <= WRONG_ADDRESS


def test_an_address_that_was_answered_before_is_waited_for_longer():
    _, ending = through(between(0.5, 200.0, DOWN["refuse"]))
    assert ending.state == "finished"


def test_a_tenant_that_is_down_in_another_way_from_the_start_is_waited_for_longer():
    _, ending = through(between(-1.0, 200.0, DOWN["503"]))
    assert ending.state == "finished"


def test_a_resumed_run_whose_tenant_answered_before_waits_for_the_whole_time():
    async def twice(world: World) -> Ending:
        await world.run(rows_of(KEYS), deadline=0.5)
        return await world.run(rows_of(KEYS))

    world = World(VirtualTenant(actions_of(KEYS), script=between(0.5, 200.0, DOWN["refuse"])))
    assert virtually(twice(world)).state == "finished"


def test_a_permanent_failure_ends_the_run_at_once():
    error = TenantUnreachable("The certificate is rejected.")
    world = World(VirtualTenant(actions_of(KEYS), refuses_credentials=error))
    assert virtually(world.run(rows_of(KEYS))).cut_by is error


def test_the_deadline_ends_an_outage_as_well():
    world, ending = through(between(0.5, 1e9, DOWN["503"]), deadline=30.0)
    assert type(ending.cut_by) is DeadlineReached
    assert max(call.at for call in world.tenant.calls) <= 30.0


def test_throttling_is_no_outage():
    world, ending = through(between(0.5, 600.0, throttled), 20, wait_for_tenant=10.0, max_attempts=10_000)
    assert (ending.state, world.report().summary.outcomes) == ("finished", {Outcome.STOPPED: 20})


def test_a_closed_gate_does_not_count_towards_the_wait_for_the_tenant():
    """One call asks for a wait of 300 s, and another call hangs. No probe may start before."""
    script = scripted(stop={1: [throttled(300.0)], 2: [lost(works=False)]})
    world = World(VirtualTenant(actions_of(20), script=script), settings(concurrency=2, wait_for_tenant=60.0))
    assert virtually(world.run(rows_of(20))).state == "finished"


def test_an_outage_does_not_count_towards_the_settle_time():
    script = between(5.0, 185.0, DOWN["503"])
    world = World(VirtualTenant(actions_of(5, stopping_for=200.0), script=script), settings(settle=60.0))
    virtually(world.run(rows_of(5)))
    assert world.report().summary.outcomes == {Outcome.STOPPED: 5}


# One key alone


def blocked(works: bool) -> Script:
    """A gateway answers every stop of key 1. All other calls get answers."""
    return lambda name, key, n: page(403, works=works) if (name, key) == ("stop", bulk_key(1)) else None


@pytest.mark.parametrize("keys", [1, 50])
def test_a_key_whose_stops_are_all_blocked_by_a_gateway_is_unconfirmed(keys):
    world, ending = through(blocked(works=False), keys)
    found = entry(world.report(), 1)
    assert (ending.state, found.outcome) == ("finished", Outcome.UNCONFIRMED)
    assert found.error is not None
    assert (found.error.kind, found.error.http_status, found.error.message) == (
        "gateway",
        403,
        "scripted: gateway",
    )


@pytest.mark.parametrize("keys", [1, 50])
def test_the_status_decides_if_blocked_stops_took_effect(keys):
    world, ending = through(blocked(works=True), keys)
    assert (ending.state, entry(world.report(), 1).outcome) == ("finished", Outcome.STOPPED)


def test_a_blocked_key_uses_up_its_attempts_while_other_calls_are_answered():
    world = World(
        VirtualTenant(actions_of(400, stopping_for=60.0), script=blocked(works=False)),
        settings(concurrency=2),
    )
    virtually(world.run(rows_of(400)))
    assert 8 <= len(world.tenant.of("stop", bulk_key(1))) <= 10


def test_a_resumed_run_tries_again_what_a_gateway_blocked():
    async def twice(world: World) -> Ending:
        await world.run(rows_of(50))
        return await world.run(rows_of(50))

    script = scripted(stop={1: [page(403)] * 9})
    world = World(VirtualTenant(actions_of(50, stopping_for=60.0), script=script))
    assert virtually(twice(world)).state == "finished"
    assert world.report().summary.outcomes == {Outcome.STOPPED: 50}


def test_files_that_a_gateway_blocks_do_not_end_the_run():
    world, ending = through(lambda name, key, n: page(500) if name == "file" else None, 5)
    assert (ending.state, world.report().summary.outcomes) == ("finished", {Outcome.STOPPED: 5})


# The token endpoint


class TokenEndpointThrottles(VirtualTenant):
    """Requests for a token are refused for a minute, for the tenant's limits. ``token_seconds``: when they came."""

    def __init__(self, keys: int, retry_after: float | None) -> None:
        super().__init__(actions_of(keys))
        self.token_seconds: set[int] = set()
        self._retry_after = retry_after

    async def authenticate(self) -> None:
        self.token_seconds.add(int(now()))
        await asyncio.sleep(0.05)
        if now() < 60.0:
            raise CallError(Kind.THROTTLED, "Too many.", http_status=429, retry_after=self._retry_after)


@pytest.mark.parametrize(("retry_after", "most"), [(None, 8), (0.0, 8), (25.0, 4), (86_400.0, 2)])
def test_a_throttled_token_endpoint_is_asked_seldom_and_the_run_finishes(retry_after, most):
    tenant = TokenEndpointThrottles(20, retry_after)
    ending = virtually(World(tenant).run(rows_of(20)))
    assert ending.state == "finished"
    assert len([second for second in tenant.token_seconds if second < 60]) <= most


def test_a_throttled_token_endpoint_is_asked_again_when_it_asks_for_it():
    tenant = TokenEndpointThrottles(20, retry_after=1.0)
    virtually(World(tenant).run(rows_of(20)))
    assert min(call.at for call in tenant.of("stop")) < 62.0


class TokenEndpointDown(VirtualTenant):
    """No token comes while the clock is in ``down``. A request then hangs for ``seconds``."""

    down = (0.5, 60.5)
    seconds = 0.05

    async def authenticate(self) -> None:
        start, end = self.down
        if start < now() < end:
            await asyncio.sleep(self.seconds)
            raise CallError(Kind.SERVER, "No token.", http_status=503)


@pytest.mark.parametrize("down", [(0.5, 60.5), (-1.0, 60.5)])
@pytest.mark.parametrize("seconds", [0.05, 20.0])
def test_a_run_finishes_when_the_token_endpoint_is_back(down, seconds):
    tenant = TokenEndpointDown(actions_of(KEYS))
    tenant.down, tenant.seconds = down, seconds
    world = World(tenant)
    ending = virtually(world.run(rows_of(KEYS)))
    assert (ending.state, world.report().summary.outcomes) == ("finished", {Outcome.STOPPED: KEYS})
    assert min(call.at for call in tenant.of("stop") if call.at >= 60.5) <= 62.6


def test_a_token_endpoint_that_stays_down_ends_the_run_with_nothing_sent():
    tenant = TokenEndpointDown(actions_of(KEYS))
    tenant.down = (-1.0, 1e9)
    world = World(tenant, settings(wait_for_tenant=30.0))
    ending = virtually(world.run(rows_of(KEYS)))
    assert (type(ending.cut_by), world.report().summary.outcomes) == (
        TenantUnreachable, {Outcome.NOT_ATTEMPTED: KEYS},
    )  # fmt: skip


# The progress of an outage


def test_the_progress_describes_an_outage_while_it_lasts():
    async def main() -> list[object]:
        world = World(VirtualTenant(actions_of(KEYS), script=between(0.5, 60.5, DOWN["503"])))
        session = world.session(rows_of(KEYS))
        running = asyncio.ensure_future(session.run())
        await asyncio.sleep(30.0)
        facts, at = session.progress.outage, session.clock.now()
        await running
        assert facts is not None
        assert facts.ends_at - facts.since == 900.0
        return [
            28.0 < at - facts.since < 30.0, at - 2.0 < facts.next_probe_at < at + 2.0, facts.problem,
            session.progress.outage,
        ]  # fmt: skip

    assert virtually(main()) == [True, True, "scripted: server_error", None]


# Calls that hang for less than their timeout


@pytest.mark.parametrize("seconds", [3.0, 10.0, 29.0])
@pytest.mark.parametrize("slots", [1, 10])
def test_stops_are_sent_within_two_seconds_after_all_calls_hung(seconds, slots):
    """No call has failed yet. The calls that still hang need no slot any more."""
    back = 0.5 + seconds
    world, ending = through(between(0.5, back, DOWN["hang"]), concurrency=slots)
    assert (ending.state, world.report().summary.outcomes) == ("finished", {Outcome.STOPPED: KEYS})
    assert min(call.at for call in world.tenant.of("stop") if call.at >= back) <= back + 2.1


def test_a_tenant_whose_calls_all_become_slow_is_not_sent_more_calls_than_slots():
    tenant = VirtualTenant(actions_of(100), latency=lambda: 0.5 + now() / 50)
    virtually(World(tenant, settings(concurrency=5)).run(rows_of(100)))
    assert tenant.most_in_flight <= 5
