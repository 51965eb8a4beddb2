"""A tenant whose calls all hang for less than their timeout: it is noticed, and the calls that hung are sent again."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from orchestrator.engine.cutoff import Ending
from orchestrator.errors import Kind
from orchestrator.model import Outcome
from tests.simulation.tenant import Fault, Script, VirtualTenant, actions_of, fault, lost, scripted
from tests.simulation.virtual import now, virtually
from tests.simulation.world import World, rows_of, settings

WITHIN = 2.0
"""Seconds until a stop that hung is sent again, once the tenant answers."""


def hangs(start: float, end: float, *, works: bool = False) -> Script:
    """Every call that starts between the two times gets no answer until its timeout of 30 s."""
    return lambda name, key, n: lost(works=works) if start < now() < end else None


def last_effective_stop(tenant: VirtualTenant) -> float:
    return max(call.ended_at or 0.0 for call in tenant.of("stop") if call.took_effect)


@pytest.mark.parametrize("seconds", [0.1, 1.6, 3.0, 10.0, 60.0])
@pytest.mark.parametrize("slots", [1, 10])
def test_every_stop_that_hung_is_sent_again_as_soon_as_the_tenant_answers(seconds, slots):
    back = 0.5 + seconds
    world = World(VirtualTenant(actions_of(50), script=hangs(0.5, back)), settings(concurrency=slots))
    ending = virtually(world.run(rows_of(50)))
    assert (ending.state, world.report().summary.outcomes) == ("finished", {Outcome.STOPPED: 50})
    assert last_effective_stop(world.tenant) <= back + WITHIN + 50 * 0.08 / slots


@pytest.mark.parametrize(("keys", "slots"), [(4, 10), (10, 10)])
def test_stops_that_hang_from_the_first_call_on_are_sent_again_long_before_their_timeout(keys, slots):
    """No key waits, so a call that hangs is sent again as the probe."""
    world = World(VirtualTenant(actions_of(keys), script=hangs(-1.0, 14.0)), settings(concurrency=slots))
    ending = virtually(world.run(rows_of(keys)))
    assert (ending.state, world.report().summary.outcomes) == ("finished", {Outcome.STOPPED: keys})
    assert last_effective_stop(world.tenant) <= 14.0 + WITHIN


@pytest.mark.parametrize("keys", [2, 20])
def test_stops_that_took_effect_while_their_calls_hung_are_reported_as_stopped(keys):
    world = World(VirtualTenant(actions_of(keys), script=hangs(-1.0, 14.0, works=True)))
    ending = virtually(world.run(rows_of(keys)))
    assert (ending.state, world.report().summary.outcomes) == ("finished", {Outcome.STOPPED: keys})


@pytest.mark.parametrize(("share", "seconds"), [(0.1, 8.0), (0.2, 20.0)])
def test_a_share_of_calls_that_hang_delays_no_stop_until_its_timeout(share, seconds):
    random = Random(f"hang {share}")

    def script(name: str, key: str, n: int) -> Fault | None:
        return lost(works=False) if random.random() < share else None

    world = World(VirtualTenant(actions_of(1_000), script=script), settings(concurrency=40))
    ending = virtually(world.run(rows_of(1_000)))
    assert (ending.state, world.report().summary.outcomes) == ("finished", {Outcome.STOPPED: 1_000})
    assert last_effective_stop(world.tenant) <= seconds


class SlowFiles(VirtualTenant):
    """Each download takes a minute."""

    async def download(
        self,
        address: str,
        track_id: str,
        write: Callable[[bytes], Awaitable[object]],
        on_headers: Callable[[], object],
    ) -> None:
        on_headers()
        await asyncio.sleep(60.0)
        await super().download(address, track_id, write, on_headers)


@pytest.mark.parametrize("slots", [2, 10])
def test_hanging_stops_are_noticed_while_files_download(slots):
    tenant = SlowFiles(actions_of(40, stopping_for=0.1, speed=1.0), script=hangs(3.0, 10.0))
    world = World(tenant, settings(concurrency=slots))
    batches = [(0.0, rows_of(20)), (5.0, rows_of(20, first=21))]
    ending = virtually(world.run(batches))
    assert (ending.state, world.report().summary.outcomes) == ("finished", {Outcome.STOPPED: 40})
    assert last_effective_stop(tenant) <= 10.0 + WITHIN + 20 * 0.08 / slots


def test_a_single_slow_call_is_no_outage():
    async def main() -> tuple[Ending, float]:
        world = World(VirtualTenant(actions_of(5), script=scripted(stop={5: [lost()]})))
        session = world.session(rows_of(5))
        return await session.run(), session.pacer.circuit.outage_seconds(0.0, session.clock.now())

    ending, outage = virtually(main())
    assert (ending.state, outage) == ("finished", 0.0)


# Stops that take effect and whose answers are odd


def answers_stops_oddly(name: str, key: str, n: int) -> Fault | None:
    if name != "stop":
        return None
    return fault(Kind.MALFORMED_ANSWER, works=True, http_status=200, may_have_worked=True)


@pytest.mark.parametrize("disk", [0.0, 0.4])
@pytest.mark.parametrize(("keys", "slots"), [(1, 1), (30, 1), (30, 10), (30, 30)])
def test_keys_whose_stops_are_answered_oddly_are_settled_by_their_status(keys, slots, disk):
    """No answer to a stop comes from the API. The first probe of such a key reads its status."""
    options = settings(concurrency=slots, wait_for_tenant=3.0, max_attempts=2)
    world = World(VirtualTenant(actions_of(keys), script=answers_stops_oddly), options, disk=disk)
    ending = virtually(world.run(rows_of(keys)))
    assert (ending.state, world.report().summary.outcomes) == ("finished", {Outcome.STOPPED: keys})


def test_a_status_that_is_read_in_place_of_a_stop_is_no_stop():
    world = World(VirtualTenant(actions_of(10), script=answers_stops_oddly))
    virtually(world.run(rows_of(10)))
    assert world.report().summary.calls.stop == len(world.tenant.of("stop"))
