"""What holds in every run, whatever happens in it: order, limits, waits, ends."""

import asyncio
from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest

from orchestrator.engine import following, run
from orchestrator.engine.guards import DeadlineReached, TooManyFailures
from orchestrator.engine.input import InputCut
from orchestrator.engine.polling import WIDEST
from orchestrator.engine.run import Ending, Interrupted
from orchestrator.errors import CredentialsRefused, InputError, Kind, TenantUnreachable
from orchestrator.model import InputRow, Outcome, Status
from orchestrator.settings import Rate, Threshold
from tests.simulation.virtual import (
    Action,
    Call,
    Fault,
    Session,
    VirtualTenant,
    World,
    actions_of,
    bulk_key,
    entry,
    fault,
    ideal,
    lost,
    rows_of,
    scripted,
    settings,
    throttled,
    virtually,
)


def watched(world: World, keys: int) -> Session:
    """Runs ``world`` to its end and gives the session, with all that was written down."""

    async def main() -> Session:
        session = world.session(rows_of(keys))
        await session.run()
        return session

    return virtually(main())


def stops(world: World) -> list[Call]:
    return world.tenant.of("stop")


def jittery(seed: int) -> Callable[[], float]:
    random = Random(seed)
    return lambda: random.uniform(0.01, 0.4)


def sometimes(seed: int, share: float, *kinds: Kind) -> Callable[[str, str, int], Fault | None]:
    random = Random(seed)
    return lambda name, key, n: fault(random.choice(kinds)) if random.random() < share else None


# Order


@pytest.mark.parametrize("told", [{}, {"expect_action_type": ("MPU",)}], ids=["unguarded", "guarded"])
def test_no_result_is_given_a_slot_while_a_stop_waits_for_one(run_seed, told):
    script = sometimes(run_seed, 0.2, Kind.LOCKED, Kind.TEMPORARY, Kind.WRONG_STATE)
    world = World(VirtualTenant(actions_of(200), latency=jittery(run_seed), script=script), settings(**told))
    session = watched(world, 200)
    assert [
        grant for grant in session.dispatcher.grants if grant.to == "result" and grant.stops_waiting
    ] == []


def test_no_result_is_given_a_slot_while_a_stop_waits_for_a_slow_disk(run_seed):
    script = sometimes(run_seed, 0.2, Kind.LOCKED, Kind.WRONG_STATE)
    world = World(VirtualTenant(actions_of(200), latency=jittery(run_seed), script=script), disk=1.0)
    session = watched(world, 200)
    assert [
        grant for grant in session.dispatcher.grants if grant.to == "result" and grant.stops_waiting
    ] == []


def test_with_nothing_failing_every_stop_is_sent_before_the_first_status():
    world = World(VirtualTenant(actions_of(200)))
    watched(world, 200)
    assert max(call.at for call in stops(world)) <= min(call.at for call in world.tenant.of("status"))


def test_results_are_read_while_the_input_is_slow():
    world = World(VirtualTenant(actions_of(2)))
    virtually(world.run([(0.0, rows_of(1)), (60.0, rows_of(1, first=2))]))
    assert entry(world.report(), 1).outcome is Outcome.STOPPED
    assert world.tenant.of("status", bulk_key(1))[-1].at < 30


def test_the_first_stop_leaves_when_the_first_key_is_read():
    world = World(VirtualTenant(actions_of(2)))
    virtually(world.run([(0.0, rows_of(1)), (60.0, rows_of(1, first=2))]))
    assert stops(world)[0].at == 0.0


def test_the_greater_weight_is_stopped_first_and_a_row_without_one_last():
    rows = [InputRow(n + 1, bulk_key(n), weight=weight) for n, weight in enumerate([3.0, None, 9.0, -1.0], 1)]
    world = World(VirtualTenant(actions_of(4)), settings(concurrency=1))
    virtually(world.run(rows))
    assert [call.bulk_key for call in stops(world)] == [bulk_key(n) for n in (3, 1, 4, 2)]


def test_the_report_has_input_order_whatever_the_order_of_the_stops():
    rows = [InputRow(n + 1, bulk_key(n), weight=float(n)) for n in range(1, 9)]
    world = World(VirtualTenant(actions_of(8)), settings(concurrency=1))
    virtually(world.run(rows))
    assert [action.row for action in world.report().actions] == [row.number for row in rows]


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


def test_a_retry_after_is_kept_by_the_call_that_heard_it():
    world = World(VirtualTenant(actions_of(1), script=scripted(stop={1: [throttled(7.0)]})))
    watched(world, 1)
    assert stops(world)[1].at >= (stops(world)[0].ended_at or 0) + 7


def test_a_retry_after_closes_the_gate_for_every_call():
    script = scripted(stop={1: [throttled(20.0)]})
    world = World(VirtualTenant(actions_of(100), script=script), settings(concurrency=5))
    watched(world, 100)
    heard = stops(world)[0].ended_at or 0
    assert [call.at for call in world.tenant.calls if heard < call.at < heard + 20 - 1e-6] == []


def test_a_rate_of_the_operators_own_is_kept():
    world = World(VirtualTenant(actions_of(60)), settings(rate=Rate(60, 60), no_results=True))
    watched(world, 60)
    times = [call.at for call in world.tenant.calls]
    assert max(sum(start <= time < start + 60 for time in times) for start in times) <= 60


def test_polling_widens_to_its_widest_and_no_further():
    world = World(VirtualTenant([Action(bulk_key(1), stopping_for=500)]))
    watched(world, 1)
    times = [call.at for call in world.tenant.of("status")]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert (waits[0] < 1, max(waits) <= WIDEST + 0.1, min(waits[10:]) >= 0.8 * WIDEST) == (True, True, True)


def test_an_action_that_stops_at_once_is_read_once():
    world = World(VirtualTenant([Action(bulk_key(1), stopping_for=0)]))
    watched(world, 1)
    assert len(world.tenant.of("status")) == 1


def little_room(monkeypatch, room: int) -> None:
    monkeypatch.setattr(following, "ROOM", room)
    monkeypatch.setattr(run, "ROOM", room)


@pytest.mark.parametrize("stopping_for", [0.0, 40.0])
def test_no_more_followed_keys_are_held_than_there_is_room_for(monkeypatch, stopping_for):
    little_room(monkeypatch, 100)
    tenant = VirtualTenant(actions_of(500, stopping_for=stopping_for, has_file=False))
    world = World(tenant, settings(concurrency=40))
    watched(world, 500)
    assert 0 < world.most_held <= 100


def test_no_more_refused_keys_are_held_than_there_is_room_for(monkeypatch):
    little_room(monkeypatch, 100)
    tenant = VirtualTenant(actions_of(300, born=Status.COMPLETED, has_file=False))
    world = World(tenant, settings(concurrency=40))
    watched(world, 300)
    assert 0 < world.most_held <= 100


def test_keys_that_found_no_room_come_to_their_ends_too(monkeypatch):
    little_room(monkeypatch, 100)
    keys = 300
    tenant = VirtualTenant(actions_of(keys, stopping_for=10.0, has_file=False))
    world = World(tenant, settings(concurrency=40))
    watched(world, keys)
    assert world.most_held == 100
    assert world.report().summary.outcomes == {Outcome.STOPPED: keys}


def test_keys_that_found_no_room_do_not_wait_for_the_slow_ones_that_did(monkeypatch):
    little_room(monkeypatch, 50)
    slow = actions_of(50, stopping_for=500.0, has_file=False)
    quick = actions_of(20, first=51, stopping_for=0.0, has_file=False)
    world = World(VirtualTenant([*slow, *quick]))
    watched(world, 70)
    last = {call.bulk_key: call.at for call in world.tenant.of("status")}
    assert max(last[action.bulk_key] for action in quick) < 60


def test_keys_that_found_no_room_are_followed_no_longer_than_others(monkeypatch):
    little_room(monkeypatch, 20)
    world = World(VirtualTenant(actions_of(60, stopping_for=1e9)), settings(settle=60.0))
    watched(world, 60)
    assert max(call.at for call in world.tenant.of("status")) < 100


def always_locked(monkeypatch, keys: int, most: int) -> Session:
    """A run whose first ten stops are taken and whose others are refused for a lock until their tries run out."""
    monkeypatch.setattr(run, "MOST_RETRIES_WAITING", most)
    locked = scripted(stop={n: [fault(Kind.LOCKED)] * 8 for n in range(11, keys + 1)})
    return watched(World(VirtualTenant(actions_of(keys), script=locked)), keys)


def test_while_too_many_stops_wait_for_their_next_try_no_fresh_key_is_taken(monkeypatch):
    session = always_locked(monkeypatch, keys=200, most=20)
    assert session.dispatcher.most_later < 100


def test_while_too_many_stops_wait_for_their_next_try_results_are_read(monkeypatch):
    session = always_locked(monkeypatch, keys=200, most=20)
    assert any(grant.to == "result" and grant.stops_waiting for grant in session.dispatcher.grants)


def test_refused_keys_that_found_no_room_are_sent_another_stop_where_they_still_run(monkeypatch):
    little_room(monkeypatch, 100)
    script: dict[int, list[Fault]] = {n: [fault(Kind.WRONG_STATE)] for n in range(1, 301)}
    world = World(VirtualTenant(actions_of(300, has_file=False), script=scripted(stop=script)))
    watched(world, 300)
    assert world.report().summary.outcomes == {Outcome.STOPPED: 300}


def test_every_call_has_a_track_id_of_its_own():
    world = World(VirtualTenant(actions_of(50)))
    watched(world, 50)
    assert len({call.track_id for call in world.tenant.calls}) == len(world.tenant.calls)


def test_each_settled_key_is_told_once():
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


# Ends


def cut_after(seconds: float, world: World, keys: int) -> Ending:
    async def main() -> Ending:
        session = world.session(rows_of(keys))
        asyncio.get_running_loop().call_later(seconds, session.cut, Interrupted("SIGINT", 130))
        return await session.run()

    return virtually(main())


def test_a_run_whose_keys_are_all_over_is_finished():
    world = World(VirtualTenant(actions_of(3)))
    assert virtually(world.run(rows_of(3))) == Ending("finished")


def test_a_cut_run_is_interrupted():
    world = World(VirtualTenant(actions_of(30)), settings(concurrency=1))
    assert cut_after(0.5, world, 30).state == "interrupted"


def test_calls_in_flight_come_back_when_a_run_is_cut():
    world = World(VirtualTenant(actions_of(30), latency=lambda: 1.0), settings(concurrency=5))
    cut_after(0.5, world, 30)
    assert [call.answer for call in world.tenant.calls] == ["ok"] * 5


def test_the_report_of_a_cut_run_says_of_each_key_whether_a_stop_was_sent():
    world = World(VirtualTenant(actions_of(100), latency=lambda: 1.0), settings(concurrency=5))
    cut_after(0.5, world, 100)
    sent = {call.bulk_key for call in stops(world)}
    told = {
        action.bulk_key for action in world.report().actions if action.outcome is not Outcome.NOT_ATTEMPTED
    }
    assert told == sent


def test_the_report_of_a_cut_run_counts_only_stops_that_left():
    world = World(VirtualTenant(actions_of(100), latency=lambda: 1.0), settings(concurrency=5))
    cut_after(0.5, world, 100)
    assert world.report().summary.calls.stop == len(stops(world))


def test_the_report_of_a_cut_run_counts_only_retries_that_left():
    script = scripted(stop={n: [throttled(60.0)] for n in range(1, 6)})
    world = World(VirtualTenant(actions_of(5), script=script), settings(concurrency=5))
    cut_after(30.0, world, 5)
    assert (world.report().summary.calls.stop, world.report().summary.calls.retried) == (5, 0)


def test_a_key_that_waits_for_its_next_try_when_the_run_is_cut_is_unreachable():
    world = World(VirtualTenant(actions_of(1), script=scripted(stop={1: [throttled(60.0)]})))
    cut_after(30.0, world, 1)
    assert entry(world.report(), 1).outcome is Outcome.UNREACHABLE


def test_a_key_whose_tries_ran_out_when_the_run_is_cut_is_unreachable():
    script = scripted(stop={1: [fault(Kind.LOCKED)] * 8}, status={1: [throttled(300.0)]})
    world = World(VirtualTenant(actions_of(1), script=script))
    cut_after(200.0, world, 1)
    assert entry(world.report(), 1).outcome is Outcome.UNREACHABLE


def test_a_key_that_was_refused_for_its_state_and_not_read_when_the_run_is_cut_is_unreachable():
    """The state that refused it may be any: ``resume`` finds out, which it would not try for a rejected one."""
    script = scripted(stop={1: [fault(Kind.WRONG_STATE)]}, status={1: [throttled(60.0)]})
    world = World(VirtualTenant(actions_of(1), script=script))
    cut_after(30.0, world, 1)
    assert entry(world.report(), 1).outcome is Outcome.UNREACHABLE


def test_a_key_whose_stop_may_have_worked_when_the_run_is_cut_is_unconfirmed():
    script = scripted(stop={1: [lost(), throttled(60.0)]})
    world = World(VirtualTenant(actions_of(1), script=script))
    cut_after(40.0, world, 1)
    assert entry(world.report(), 1).outcome is Outcome.UNCONFIRMED


def test_a_run_that_is_cancelled_knows_which_stops_never_left():
    async def main(world: World) -> None:
        running = asyncio.ensure_future(world.session(rows_of(100)).run())
        await asyncio.sleep(0.5)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    world = World(VirtualTenant(actions_of(100), latency=lambda: 1.0), settings(concurrency=5))
    virtually(main(world))
    assert world.report().summary.outcomes == {Outcome.NOT_ATTEMPTED: 95, Outcome.UNCONFIRMED: 5}


def test_no_call_starts_after_the_deadline():
    world = World(VirtualTenant(actions_of(100), latency=lambda: 0.3), settings(concurrency=5, deadline=2.0))
    virtually(world.run(rows_of(100)))
    assert max(call.at for call in world.tenant.calls) <= 2.0


def test_no_call_starts_after_the_deadline_although_its_token_was_on_the_way():
    world = World(VirtualTenant(actions_of(20), token_at=10.0), settings(deadline=2.0))
    virtually(world.run(rows_of(20)))
    assert (world.tenant.calls, world.report().summary.outcomes) == ([], {Outcome.NOT_ATTEMPTED: 20})


def test_no_reading_starts_after_the_deadline_although_its_token_was_on_the_way():
    world = World(VirtualTenant(actions_of(20), token_at=10.0), settings(deadline=2.0), command="plan")
    virtually(world.run(rows_of(20)))
    assert world.tenant.calls == []


def test_a_run_that_reaches_its_deadline_is_aborted():
    world = World(VirtualTenant(actions_of(100), latency=lambda: 0.3), settings(concurrency=5, deadline=2.0))
    ending = virtually(world.run(rows_of(100)))
    assert (ending.state, type(ending.cut_by)) == ("aborted", DeadlineReached)


def test_so_many_failures_end_the_sending():
    refused = [Action(bulk_key(n), refuses=Kind.NOT_FOUND) for n in range(1, 101)]
    world = World(VirtualTenant(refused), settings(concurrency=1, max_failures=Threshold(count=7)))
    ending = virtually(world.run(rows_of(100)))
    assert (ending.state, type(ending.cut_by), len(stops(world))) == ("aborted", TooManyFailures, 7)


def test_a_share_of_failures_counts_from_the_twentieth_key_on():
    refused = [Action(bulk_key(n), refuses=Kind.NOT_FOUND) for n in range(1, 101)]
    world = World(VirtualTenant(refused), settings(concurrency=1, max_failures=Threshold(share=0.5)))
    virtually(world.run(rows_of(100)))
    assert len(stops(world)) == 20


def test_a_share_of_failures_is_of_all_keys_tried_and_not_only_of_those_over():
    """A refusal is over at once, an accepted stop only when it has been followed: that must not weigh the refusals."""
    some = [Action(bulk_key(n), refuses=Kind.NOT_FOUND if n % 10 == 0 else None) for n in range(1, 501)]
    world = World(VirtualTenant(some), settings(concurrency=10, max_failures=Threshold(share=0.3)))
    assert virtually(world.run(rows_of(500))).state == "finished"


def test_what_was_stopped_before_too_many_failures_is_followed_to_its_end():
    actions = [*actions_of(3), *actions_of(50, first=4, refuses=Kind.NOT_FOUND)]
    world = World(VirtualTenant(actions), settings(concurrency=1, max_failures=Threshold(count=2)))
    virtually(world.run(rows_of(53)))
    assert [action.outcome for action in world.report().actions[:3]] == [Outcome.STOPPED] * 3


def test_a_tenant_that_went_away_ends_the_run():
    world = World(VirtualTenant(actions_of(50), script=lambda name, key, n: fault(Kind.CONNECT_FAILED)))
    ending = virtually(world.run(rows_of(50)))
    assert (ending.state, type(ending.cut_by)) == ("aborted", TenantUnreachable)


def test_one_key_that_is_never_answered_does_not_end_the_run():
    script = scripted(stop={1: [lost(works=False)] * 8})
    world = World(VirtualTenant(actions_of(400, stopping_for=300), script=script), settings(concurrency=2))
    assert virtually(world.run(rows_of(400))).state == "finished"


def test_credentials_that_are_refused_end_the_run_with_nothing_sent():
    refused = CredentialsRefused("The credentials were refused.")
    world = World(VirtualTenant(actions_of(50), refuses_credentials=refused))
    ending = virtually(world.run(rows_of(50)))
    assert (ending.state, ending.cut_by, world.tenant.calls) == ("aborted", refused, [])


def test_keys_of_a_run_whose_credentials_were_refused_are_not_attempted():
    world = World(VirtualTenant(actions_of(50), refuses_credentials=CredentialsRefused("refused")))
    virtually(world.run(rows_of(50)))
    assert world.report().summary.outcomes == {Outcome.NOT_ATTEMPTED: 50}


def test_credentials_that_end_in_the_middle_are_counted_as_they_were():
    """What was sent and refused is a call; what waited for its next try when the token was gone is none."""

    class Expiring(VirtualTenant):
        async def authenticate(self) -> None:
            if any(call.answer == Kind.UNAUTHENTICATED for call in self.calls):
                raise CredentialsRefused("The token has expired.")

    def script(name: str, key: str, n: int) -> Fault | None:
        return fault(Kind.UNAUTHENTICATED, http_status=401) if key > bulk_key(10) else None

    world = World(Expiring(actions_of(50), script=script), settings(concurrency=4))
    ending = virtually(world.run(rows_of(50)))
    calls = world.report().summary.calls
    assert type(ending.cut_by) is CredentialsRefused
    assert (calls.stop, calls.retried) == (len(stops(world)), 0)
    for action in world.report().actions:
        sent = world.tenant.of("stop", action.bulk_key)
        assert (action.outcome is Outcome.NOT_ATTEMPTED) == (not sent)


def test_an_input_without_a_key_ends_the_run_as_wrong_input():
    ending = virtually(World(VirtualTenant([])).run([]))
    assert isinstance(ending.cut_by, InputError)


def test_an_input_that_breaks_off_lets_the_keys_before_it_come_to_their_ends():
    class Torn(list[InputRow]):
        def __iter__(self):
            raise InputError("keys.csv cannot be read any further")

    world = World(VirtualTenant(actions_of(5)))
    ending = virtually(world.run([(0.0, rows_of(5)), (1.0, Torn())]))
    assert (type(ending.cut_by), world.report().summary.outcomes) == (InputCut, {Outcome.STOPPED: 5})


# Resume


async def two_sessions(world: World, keys: int, seconds: float, **resumed: object) -> Ending:
    session = world.session(rows_of(keys))
    asyncio.get_running_loop().call_later(seconds, session.cut, Interrupted("SIGINT", 130))
    await session.run()
    return await world.run(rows_of(keys), **resumed)


def test_a_resumed_run_comes_to_one_whole_end():
    world = World(VirtualTenant(actions_of(100), latency=lambda: 0.5), settings(concurrency=5))
    virtually(two_sessions(world, 100, 3.0))
    assert (world.report().summary.outcomes, world.report().run.resumed) == ({Outcome.STOPPED: 100}, 1)


def test_a_resumed_run_sends_no_accepted_stop_again():
    world = World(VirtualTenant(actions_of(100), latency=lambda: 0.5), settings(concurrency=5))
    virtually(two_sessions(world, 100, 3.0))
    assert len(stops(world)) == 100


def test_a_deadline_is_one_sessions_and_a_resumed_run_has_its_own():
    world = World(VirtualTenant(actions_of(40), latency=lambda: 0.5), settings(concurrency=5, deadline=2.0))

    async def main() -> Ending:
        await world.run(rows_of(40))
        return await world.run(rows_of(40), deadline=None)

    assert virtually(main()) == Ending("finished")


def test_a_key_that_was_unconfirmed_is_followed_again_by_a_resumed_run():
    world = World(VirtualTenant(actions_of(3, stopping_for=200)), settings(settle=60.0))

    async def main() -> None:
        await world.run(rows_of(3))
        await world.run(rows_of(3), settle=600.0)

    virtually(main())
    assert (world.report().summary.outcomes, len(stops(world))) == ({Outcome.STOPPED: 3}, 3)


def test_a_key_that_was_unreachable_is_sent_again_by_a_resumed_run():
    world = World(VirtualTenant(actions_of(1), script=scripted(stop={1: [fault(Kind.LOCKED)] * 8})))

    async def main() -> None:
        await world.run(rows_of(1))
        await world.run(rows_of(1))

    virtually(main())
    assert (entry(world.report(), 1).outcome, entry(world.report(), 1).stop.attempts) == (Outcome.STOPPED, 9)


def test_a_key_whose_tries_had_run_out_before_the_cut_is_sent_again_by_a_resumed_run():
    """Its tries were an earlier session's; what is resumed at a tenant in good health must not leave it running."""
    script = scripted(stop={1: [fault(Kind.LOCKED)] * 8}, status={1: [throttled(300.0)]})
    world = World(VirtualTenant(actions_of(1), script=script))
    virtually(two_sessions(world, 1, 200.0))
    assert (entry(world.report(), 1).outcome, len(stops(world))) == (Outcome.STOPPED, 9)


def test_a_stop_sent_again_when_the_process_died_is_unconfirmed_whatever_came_of_the_one_before():
    async def main(world: World) -> Outcome:
        running = asyncio.ensure_future(world.session(rows_of(1)).run())
        await asyncio.sleep(20.0)
        assert [stop.ended_at for stop in stops(world)][1:] == [None]
        at_that_moment = entry(world.report(), 1).outcome
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return at_that_moment

    world = World(VirtualTenant(actions_of(1), script=scripted(stop={1: [fault(Kind.LOCKED), lost()]})))
    assert virtually(main(world)) is Outcome.UNCONFIRMED


def test_a_stop_that_may_have_been_sent_before_the_crash_is_never_called_skipped():
    """Resumed with other expectations, an action that our own stop put to Stopping is not one left alone."""
    script = scripted(stop={1: [lost(seconds=500.0)]})
    world = World(
        VirtualTenant(actions_of(1, stopping_for=900.0), script=script), settings(expect_action_type=("MPU",))
    )

    async def main() -> None:
        running = asyncio.ensure_future(world.session(rows_of(1)).run())
        await asyncio.sleep(400.0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await world.run(rows_of(1), expect_action_type=("ImportFXRate",))

    virtually(main())
    assert entry(world.report(), 1).outcome is Outcome.UNCONFIRMED


def test_a_response_file_that_was_missing_at_the_cut_is_fetched_by_a_resumed_run():
    script = scripted(file={1: [throttled(60.0)]})
    world = World(VirtualTenant([Action(bulk_key(1), born=Status.COMPLETED)], script=script))
    virtually(two_sessions(world, 1, 30.0))
    assert entry(world.report(), 1).records.source == "response_file"


def test_a_response_file_that_was_missing_at_the_cut_may_be_left_by_a_resumed_run():
    script = scripted(file={1: [throttled(60.0)]})
    world = World(VirtualTenant([Action(bulk_key(1), born=Status.COMPLETED)], script=script))
    virtually(two_sessions(world, 1, 30.0, no_results=True))
    assert entry(world.report(), 1).outcome is Outcome.ALREADY_COMPLETED


def test_input_that_was_cut_is_read_on_by_a_resumed_run():
    batches = [(0.0, rows_of(5)), (100.0, rows_of(5, first=6))]
    world = World(VirtualTenant(actions_of(10)))

    async def main() -> None:
        session = world.session(batches)
        asyncio.get_running_loop().call_later(50.0, session.cut, Interrupted("SIGINT", 130))
        await session.run()
        await world.run(batches)

    virtually(main())
    assert world.report().summary.outcomes == {Outcome.STOPPED: 10}
