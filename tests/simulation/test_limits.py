"""The limits in every run: slots, waits, rates, room."""

import asyncio
import gc
from itertools import pairwise

import pytest

from orchestrator.action import Action as ActionInMemory
from orchestrator.engine import gate
from orchestrator.engine.polling import WIDEST
from orchestrator.errors import Kind
from orchestrator.model import Outcome, Status
from orchestrator.settings import Rate
from tests.simulation.tenant import (
    Action,
    Fault,
    VirtualTenant,
    actions_of,
    bulk_key,
    fault,
    ideal,
    scripted,
    throttled,
)
from tests.simulation.virtual import now, virtually
from tests.simulation.watched import jittery, little_room, sometimes, stops, watched
from tests.simulation.world import Session, World, rows_of, settings

# Limits and work


@pytest.mark.parametrize("slots", [1, 3, 40])
def test_never_more_calls_are_in_flight_than_there_are_slots(run_seed, slots):
    script = sometimes(run_seed, 0.2, Kind.LOCKED, Kind.TIMEOUT, Kind.WRONG_STATE)
    tenant = VirtualTenant(actions_of(150), latency=jittery(run_seed), script=script)
    watched(World(tenant, settings(concurrency=slots)), 150)
    assert 0 < tenant.most_in_flight <= slots


@pytest.mark.parametrize(("keys", "slots"), [(100, 10), (101, 10), (7, 40), (1_000, 40), (50, 1)])
def test_the_stops_take_no_longer_than_their_slots_make_them(keys, slots):
    world = World(VirtualTenant(actions_of(keys), latency=lambda: 0.08), settings(concurrency=slots))
    watched(world, keys)
    assert max(call.ended_at or 0 for call in stops(world)) == pytest.approx(ideal(keys, slots, 0.08))


def test_a_stop_that_waits_for_its_next_try_holds_no_slot():
    script = scripted(stop={1: [fault(Kind.LOCKED)] * 7})
    world = World(VirtualTenant(actions_of(50), script=script), settings(concurrency=1))
    watched(world, 50)
    others = [call for call in stops(world) if call.bulk_key != bulk_key(1)]
    assert max(call.at for call in others) < 50 * 0.08 + 8 * 0.08


def test_a_retried_stop_waits_no_longer_than_full_jitter_allows():
    world = World(VirtualTenant(actions_of(1), script=scripted(stop={1: [fault(Kind.LOCKED)] * 7})))
    watched(world, 1)
    waits = [later.at - (earlier.ended_at or 0) for earlier, later in pairwise(stops(world))]
    assert all(0 <= wait <= 0.5 * 2**n + 1e-6 for n, wait in enumerate(waits))


def test_a_retry_after_applies_to_the_call_that_received_it():
    world = World(VirtualTenant(actions_of(1), script=scripted(stop={1: [throttled(7.0)]})))
    watched(world, 1)
    assert stops(world)[1].at >= (stops(world)[0].ended_at or 0) + 7


def test_a_retry_after_closes_the_gate_for_every_call():
    script = scripted(stop={1: [throttled(20.0)]})
    world = World(VirtualTenant(actions_of(100), script=script), settings(concurrency=5))
    watched(world, 100)
    answered_at = stops(world)[0].ended_at or 0
    assert [call.at for call in world.tenant.calls if answered_at < call.at < answered_at + 20 - 1e-6] == []


def test_the_end_of_a_pause_is_shown_as_the_time_of_the_next_call():
    """The tenant asks for an hour, and the next call starts after five minutes."""
    shown: list[float] = []

    async def main() -> None:
        session = world.session(rows_of(1))

        async def look() -> None:
            await asyncio.sleep(1.0)
            shown.append(session.progress.closed_until - session.clock.now() + now())

        await asyncio.gather(session.run(), look())
        assert session.progress.closed_until < session.clock.now()

    world = World(VirtualTenant(actions_of(1), script=scripted(stop={1: [throttled(3_600.0)]})))
    virtually(main())
    assert shown == [pytest.approx(stops(world)[1].at)]


def test_a_rate_of_the_operators_own_is_kept():
    world = World(VirtualTenant(actions_of(60)), settings(rate=Rate(60, 60), no_results=True))
    watched(world, 60)
    times = [call.at for call in world.tenant.calls]
    assert max(sum(start <= time < start + 60 for time in times) for start in times) <= 60


def test_the_polling_interval_grows_to_its_maximum():
    world = World(VirtualTenant([Action(bulk_key(1), stopping_for=500)]))
    watched(world, 1)
    times = [call.at for call in world.tenant.of("status")]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert (waits[0] < 1, max(waits) <= WIDEST + 0.1, min(waits[10:]) >= 0.8 * WIDEST) == (True, True, True)


def test_an_action_that_stops_at_once_is_polled_once():
    world = World(VirtualTenant([Action(bulk_key(1), stopping_for=0)]))
    watched(world, 1)
    assert len(world.tenant.of("status")) == 1


@pytest.mark.parametrize("stopping_for", [0.0, 40.0])
def test_no_more_polled_keys_are_in_memory_than_allowed(monkeypatch, stopping_for):
    little_room(monkeypatch, 100)
    tenant = VirtualTenant(actions_of(500, stopping_for=stopping_for, has_file=False))
    world = World(tenant, settings(concurrency=40))
    watched(world, 500)
    assert 0 < world.most_held <= 100


def test_no_more_refused_keys_are_in_memory_than_allowed(monkeypatch):
    little_room(monkeypatch, 100)
    tenant = VirtualTenant(actions_of(300, born=Status.COMPLETED, has_file=False))
    world = World(tenant, settings(concurrency=40))
    watched(world, 300)
    assert 0 < world.most_held <= 100


def test_parked_keys_are_completed_too(monkeypatch):
    little_room(monkeypatch, 100)
    keys = 300
    tenant = VirtualTenant(actions_of(keys, stopping_for=10.0, has_file=False))
    world = World(tenant, settings(concurrency=40))
    watched(world, keys)
    assert world.most_held == 100
    assert world.report().summary.outcomes == {Outcome.STOPPED: keys}


def test_keys_parked_while_the_journal_is_read_stay_counted(monkeypatch):
    """The journal has lost earlier parked keys. Keys that are parked during its query are polled."""
    little_room(monkeypatch, 10)
    world = World(VirtualTenant(actions_of(30, stopping_for=5.0, has_file=False)), settings(concurrency=1))
    lost: list[int] = []

    async def main() -> None:
        session = world.session(rows_of(30))
        claim = session.journal.claim_parked

        async def lossy(most: int) -> list[ActionInMemory]:
            if lost:
                return await claim(most)
            parked = "UPDATE action SET claimed = 1 WHERE stage = 2 AND claimed = 0"
            lost.append(world.connection.execute(parked).rowcount)
            await asyncio.sleep(20.0)
            return []

        monkeypatch.setattr(session.journal, "claim_parked", lossy)
        await session.run()

    virtually(main())
    assert world.report().summary.outcomes[Outcome.STOPPED] == 30 - lost[0] > 0


def test_parked_keys_do_not_wait_for_slow_keys_in_memory(monkeypatch):
    little_room(monkeypatch, 50)
    slow = actions_of(50, stopping_for=500.0, has_file=False)
    quick = actions_of(20, first=51, stopping_for=0.0, has_file=False)
    world = World(VirtualTenant([*slow, *quick]))
    watched(world, 70)
    last = {call.bulk_key: call.at for call in world.tenant.of("status")}
    assert max(last[action.bulk_key] for action in quick) < 60


def test_parked_keys_are_polled_no_longer_than_others(monkeypatch):
    little_room(monkeypatch, 20)
    world = World(VirtualTenant(actions_of(60, stopping_for=1e9)), settings(settle=60.0))
    watched(world, 60)
    assert max(call.at for call in world.tenant.of("status")) < 100


def always_locked(monkeypatch, keys: int, most: int) -> Session:
    """A run whose first ten stops are taken and whose others are refused for a lock until their tries run out."""
    monkeypatch.setattr(gate, "MOST_RETRIES_WAITING", most)
    locked = scripted(stop={n: [fault(Kind.LOCKED)] * 8 for n in range(11, keys + 1)})
    return watched(World(VirtualTenant(actions_of(keys), script=locked)), keys)


def test_while_too_many_stops_wait_for_their_next_try_no_fresh_key_is_taken(monkeypatch):
    session = always_locked(monkeypatch, keys=200, most=20)
    assert session.gate.most_later < 100


def test_while_too_many_stops_wait_for_their_next_try_results_are_read(monkeypatch):
    session = always_locked(monkeypatch, keys=200, most=20)
    assert any(grant.to == "result" and grant.stops_waiting for grant in session.gate.grants)


def test_parked_refused_keys_that_still_run_get_another_stop(monkeypatch):
    little_room(monkeypatch, 100)
    script: dict[int, list[Fault]] = {n: [fault(Kind.WRONG_STATE)] for n in range(1, 301)}
    world = World(VirtualTenant(actions_of(300, has_file=False), script=scripted(stop=script)))
    watched(world, 300)
    assert world.report().summary.outcomes == {Outcome.STOPPED: 300}


def test_every_call_has_a_track_id_of_its_own():
    world = World(VirtualTenant(actions_of(50)))
    watched(world, 50)
    assert len({call.track_id for call in world.tenant.calls}) == len(world.tenant.calls)


def test_each_completed_key_is_reported_once():
    world = World(VirtualTenant(actions_of(50)))
    watched(world, 50)
    assert sorted(seq for seq, _ in world.settled) == list(range(1, 51))


def test_the_counts_of_calls_are_those_the_tenant_received(run_seed):
    script = sometimes(run_seed, 0.2, Kind.LOCKED, Kind.TIMEOUT, Kind.THROTTLED)
    world = World(VirtualTenant(actions_of(60), script=script))
    watched(world, 60)
    calls = world.report().summary.calls
    tenant = [len(world.tenant.of(name)) for name in ("stop", "status", "file")]
    throttles = sum(call.answer == Kind.THROTTLED for call in world.tenant.calls)
    assert ([calls.stop, calls.status, calls.file], calls.throttled) == (tenant, throttles)


def test_no_more_stops_are_claimed_than_three_times_the_slots():
    """After a crash, it is not known whether a claimed stop was sent."""
    claimed: list[int] = []

    def count(name: str, key: str, n: int) -> None:
        query = "SELECT COUNT(*) FROM action WHERE stage = 1"
        claimed.append(world.connection.execute(query).fetchone()[0])

    world = World(VirtualTenant(actions_of(300), script=count), settings(concurrency=20))
    virtually(world.run(rows_of(300)))
    assert max(claimed) == 3 * 20


def test_the_calls_of_a_run_leave_nothing_to_the_garbage_collector():
    """Collections are rare, so that cycles of objects would fill the memory of a long run."""
    world = World(VirtualTenant(actions_of(200)))

    async def main() -> int:
        session = world.session(rows_of(200))
        gc.collect()
        gc.disable()
        try:
            await session.run()
            return gc.collect()
        finally:
            gc.enable()

    assert virtually(main()) < 200
