"""How every run ends: finished, cut, at its deadline, after too many failures."""

import asyncio
import re
from typing import Any

import pytest

from orchestrator.engine.cutoff import GRACE, DeadlineReached, Ending, Interrupted
from orchestrator.engine.guards import TooManyFailures
from orchestrator.engine.input import InputCut
from orchestrator.errors import CredentialsRefused, InputError, Kind, TenantUnreachable
from orchestrator.model import OVER, InputRow, Outcome, Status
from orchestrator.settings import Threshold
from tests.simulation.tenant import (
    Action,
    Fault,
    VirtualTenant,
    actions_of,
    bulk_key,
    fault,
    lost,
    scripted,
    throttled,
)
from tests.simulation.virtual import now, virtually
from tests.simulation.watched import stops
from tests.simulation.world import World, entry, rows_of, settings

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


def test_calls_in_flight_complete_when_a_run_is_cut():
    world = World(VirtualTenant(actions_of(30), latency=lambda: 1.0), settings(concurrency=5))
    cut_after(0.5, world, 30)
    assert [call.answer for call in world.tenant.calls] == ["ok"] * 5


def test_the_report_of_a_cut_run_says_of_each_key_whether_a_stop_was_sent():
    world = World(VirtualTenant(actions_of(100), latency=lambda: 1.0), settings(concurrency=5))
    cut_after(0.5, world, 100)
    sent = {call.bulk_key for call in stops(world)}
    attempted = {
        action.bulk_key for action in world.report().actions if action.outcome is not Outcome.NOT_ATTEMPTED
    }
    assert attempted == sent


def test_the_report_of_a_cut_run_counts_only_stops_that_left():
    world = World(VirtualTenant(actions_of(100), latency=lambda: 1.0), settings(concurrency=5))
    cut_after(0.5, world, 100)
    assert world.report().summary.calls.stop == len(stops(world))


def test_the_report_of_a_cut_run_counts_only_retries_that_left():
    script = scripted(stop={n: [throttled(60.0)] for n in range(1, 6)})
    world = World(VirtualTenant(actions_of(5), script=script), settings(concurrency=5))
    cut_after(30.0, world, 5)
    assert (world.report().summary.calls.stop, world.report().summary.calls.retried) == (5, 0)


def test_a_throttled_key_that_waits_when_the_run_is_cut_is_unconfirmed():
    world = World(VirtualTenant(actions_of(1), script=scripted(stop={1: [throttled(60.0)]})))
    cut_after(30.0, world, 1)
    assert entry(world.report(), 1).outcome is Outcome.UNCONFIRMED


def test_a_key_whose_attempts_ran_out_when_the_run_is_cut_is_unconfirmed():
    script = scripted(stop={1: [fault(Kind.LOCKED)] * 8}, status={1: [throttled(300.0)]})
    world = World(VirtualTenant(actions_of(1), script=script))
    cut_after(200.0, world, 1)
    assert entry(world.report(), 1).outcome is Outcome.UNCONFIRMED


def test_a_key_refused_for_its_state_when_the_run_is_cut_has_the_words_of_the_tenant():
    """Any state may have refused it. ``resume`` reads the status."""
    script = scripted(stop={1: [fault(Kind.WRONG_STATE)]}, status={1: [throttled(60.0)]})
    world = World(VirtualTenant(actions_of(1), script=script))
    cut_after(30.0, world, 1)
    found = entry(world.report(), 1)
    assert (found.outcome, found.error and found.error.kind) == (Outcome.UNCONFIRMED, "wrong_state")


@pytest.mark.parametrize(
    ("responses", "outcome", "kind"),
    [
        ([fault(Kind.CONNECT_FAILED)] * 9, Outcome.UNREACHABLE, "connect_failed"),
        ([fault(Kind.UNAUTHENTICATED, http_status=401)] * 9, Outcome.NOT_ATTEMPTED, "unauthenticated"),
        ([fault(Kind.SERVER), *[fault(Kind.CONNECT_FAILED)] * 8], Outcome.UNCONFIRMED, "server_error"),
    ],
)
def test_the_last_response_names_the_outcome_of_a_key_in_a_cut_run(responses, outcome, kind):
    """A failure without a response does not hide the response before it."""
    world = World(
        VirtualTenant(actions_of(2), script=scripted(stop={1: responses}, status={2: [throttled(9.0)]}))
    )
    cut_after(1.5, world, 2)
    found = entry(world.report(), 1)
    assert (found.outcome, found.error and found.error.kind) == (outcome, kind)


def interrupted_after(seconds: float, world: World, keys: int) -> Ending:
    async def main() -> Ending:
        session = world.session(rows_of(keys))
        asyncio.get_running_loop().call_later(seconds, session.interrupt, Interrupted("SIGINT", 130))
        return await session.run()

    return virtually(main())


def over_and_refused(keys: int, **rest: Any) -> VirtualTenant:
    """A tenant on which every action is over already, and every stop is refused because of it."""
    actions = [Action(bulk_key(number), born=Status.STOPPED) for number in range(1, keys + 1)]
    refusals = {number: [fault(Kind.WRONG_STATE)] * 9 for number in range(1, keys + 1)}
    return VirtualTenant(actions, script=scripted(stop=refusals), latency=lambda: 0.2, **rest)


def test_an_interrupted_run_reads_each_unread_status_once():
    world = World(over_and_refused(100), settings(concurrency=5))
    assert interrupted_after(2.05, world, 100).state == "interrupted"
    outcomes = world.report().summary.outcomes
    assert outcomes == {Outcome.ALREADY_STOPPED: 55, Outcome.NOT_ATTEMPTED: 45}
    assert len(world.tenant.of("status")) == 55


def test_no_stop_leaves_after_an_interruption():
    world = World(over_and_refused(100), settings(concurrency=5))
    interrupted_after(2.05, world, 100)
    assert max(call.at for call in stops(world)) <= 2.05


def test_no_call_starts_when_the_grace_after_an_interruption_is_over():
    world = World(over_and_refused(400), settings(concurrency=1))
    interrupted_after(40.05, world, 400)
    assert 44.0 < max(call.at for call in world.tenant.calls) <= 45.05


def test_an_interrupted_run_does_not_wait_for_an_action_that_is_still_stopping():
    world = World(VirtualTenant(actions_of(5, stopping_for=60.0)))
    interrupted_after(3.0, world, 5)
    assert max(call.at for call in world.tenant.calls) <= 3.0
    assert world.report().summary.outcomes == {Outcome.UNCONFIRMED: 5}


def test_a_key_whose_stop_may_have_worked_when_the_run_is_cut_is_unconfirmed():
    script = scripted(stop={1: [lost(), throttled(60.0)]}, status={1: [throttled(60.0)]})
    world = World(VirtualTenant(actions_of(1), script=script))
    cut_after(40.0, world, 1)
    assert entry(world.report(), 1).outcome is Outcome.UNCONFIRMED


@pytest.mark.parametrize(
    "script",
    [
        {},
        {"stop": {1: [fault(Kind.WRONG_STATE)] * 2, 2: [lost()]}},
        {"stop": {1: [fault(Kind.LOCKED)] * 9, 2: [fault(Kind.NOT_FOUND)]}},
        {"status": {1: [fault(Kind.NOT_FOUND)], 2: [fault(Kind.SERVER)] * 9}},
    ],
)
def test_every_stage_of_the_progress_reaches_its_end(script: dict[str, Any]):
    world = World(VirtualTenant(actions_of(9), script=scripted(**script)))

    async def main() -> None:
        session = world.session(rows_of(9))
        await session.run()
        progress = session.progress
        stages = (progress.keys_answered, progress.keys_confirmed, progress.keys_completed)
        assert (stages, progress.deciding) == ((9, 9, 9), 0)
        over = all(action.outcome in OVER for action in world.report().actions)
        assert progress.all_over == over

    virtually(main())


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


@pytest.mark.parametrize("guards", [{}, {"expect_action_type": ("MPU",)}], ids=["unguarded", "guarded"])
@pytest.mark.parametrize("disk", [0.0, 0.2])
def test_a_run_cancelled_in_any_pass_of_the_loop_knows_which_stops_never_left(disk, guards):
    async def main(world: World, passes: int) -> None:
        running = asyncio.ensure_future(world.session(rows_of(60)).run())
        await asyncio.sleep(0)
        await asyncio.sleep(disk)
        for _ in range(passes):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    for passes in range(20):
        tenant = VirtualTenant(actions_of(60), latency=lambda: 1.0)
        world = World(tenant, settings(concurrency=5, **guards), disk=disk)
        virtually(main(world, passes))
        sent = {call.bulk_key for call in stops(world)}
        entries = world.report().actions
        assert {one.bulk_key for one in entries if one.outcome is not Outcome.NOT_ATTEMPTED} == sent


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


def end_of_interrupted(world: World, keys: int) -> float:
    """When a run ends that is interrupted after ten seconds."""

    async def main() -> float:
        session = world.session(rows_of(keys))
        asyncio.get_running_loop().call_later(10.0, session.interrupt, Interrupted("SIGINT", 130))
        await session.run()
        return now()

    return virtually(main())


@pytest.mark.parametrize("guard", [(), ("MPU",)], ids=["stop", "status"])
def test_a_call_that_waits_for_a_token_does_not_delay_the_end(guard):
    world = World(VirtualTenant(actions_of(20), token_at=5_000.0), settings(expect_action_type=guard))
    assert end_of_interrupted(world, 20) == pytest.approx(10.0)


def test_a_download_without_end_ends_with_the_calls_in_flight():
    slow = scripted(file={number: [fault(Kind.TIMEOUT, seconds=5_000.0)] * 9 for number in (1, 2)})
    world = World(VirtualTenant(actions_of(3), script=slow), settings(timeout=30.0))
    assert end_of_interrupted(world, 3) == pytest.approx(10.0 + GRACE + 30.0)
    assert world.report().summary.outcomes == {Outcome.STOPPED: 3}


def test_a_run_that_reaches_its_deadline_is_aborted():
    world = World(VirtualTenant(actions_of(100), latency=lambda: 0.3), settings(concurrency=5, deadline=2.0))
    ending = virtually(world.run(rows_of(100)))
    assert (ending.state, type(ending.cut_by)) == ("aborted", DeadlineReached)


def test_the_limit_of_failures_ends_the_sending():
    refused = [Action(bulk_key(n), refuses=Kind.NOT_FOUND) for n in range(1, 101)]
    world = World(VirtualTenant(refused), settings(concurrency=1, max_failures=Threshold(count=7)))
    ending = virtually(world.run(rows_of(100)))
    assert (ending.state, type(ending.cut_by), len(stops(world))) == ("aborted", TooManyFailures, 7)


def test_fewer_failures_than_the_limit_end_nothing():
    actions = [*actions_of(6, refuses=Kind.NOT_FOUND), *actions_of(44, first=7)]
    world = World(VirtualTenant(actions), settings(max_failures=Threshold(count=7)))
    assert virtually(world.run(rows_of(50))).state == "finished"


def test_the_failure_that_reached_the_limit_is_the_reason():
    world = World(
        VirtualTenant(actions_of(50, refuses=Kind.NOT_FOUND)),
        settings(concurrency=10, max_failures=Threshold(count=3)),
    )
    ending = virtually(world.run(rows_of(50)))
    assert len(stops(world)) > 3
    assert (ending.reason or "").startswith("3 of 3 keys")


def test_an_interruption_after_too_many_failures_keeps_both_reasons():
    actions = [*actions_of(3, stopping_for=60.0), *actions_of(50, first=4, refuses=Kind.NOT_FOUND)]
    world = World(VirtualTenant(actions), settings(concurrency=1, max_failures=Threshold(count=2)))
    ending = interrupted_after(30.0, world, 53)
    assert (ending.state, ending.cut_by and ending.cut_by.exit_status) == ("interrupted", 130)
    assert re.fullmatch("2 of 5 keys.*--max-failures.*SIGINT", ending.reason or "")


def test_a_share_of_failures_counts_from_the_twentieth_key_on():
    refused = [Action(bulk_key(n), refuses=Kind.NOT_FOUND) for n in range(1, 101)]
    world = World(VirtualTenant(refused), settings(concurrency=1, max_failures=Threshold(share=0.5)))
    virtually(world.run(rows_of(100)))
    assert len(stops(world)) == 20


def ten_are_refused_and_then(*others: Action, **options: Any) -> World:
    refused = actions_of(10, refuses=Kind.NOT_FOUND)
    half = settings(concurrency=1, max_failures=Threshold(share=0.5), **options)
    return World(VirtualTenant([*refused, *others]), half)


def test_a_share_reached_by_an_accepted_twentieth_key_ends_the_sending():
    world = ten_are_refused_and_then(*actions_of(90, first=11))
    ending = virtually(world.run(rows_of(100)))
    assert (type(ending.cut_by), len(stops(world))) == (TooManyFailures, 20)


def test_a_share_reached_by_a_finished_twentieth_key_ends_the_sending():
    over = actions_of(90, first=11, born=Status.STOPPED, has_file=False)
    world = ten_are_refused_and_then(*over, expect_action_type=("MPU",))
    ending = virtually(world.run(rows_of(100)))
    assert (type(ending.cut_by), len(world.tenant.of("status"))) == (TooManyFailures, 20)


def test_a_resumed_run_counts_a_share_of_failures_among_its_own_keys():
    """A resume counts only its own keys; a share over both sessions would end it at its first refusal, or never."""
    world = ten_are_refused_and_then(*actions_of(90, first=11))

    async def twice() -> Ending:
        await world.run(rows_of(100))
        return await world.run(rows_of(100))

    ending = virtually(twice())
    assert (ending.state, len(stops(world))) == ("finished", 100)


def test_a_share_of_failures_is_of_all_keys_tried_and_not_only_of_those_over():
    """A refused key is over at once, an accepted one after its polls. This must not raise the share of refusals."""
    some = [Action(bulk_key(n), refuses=Kind.NOT_FOUND if n % 10 == 0 else None) for n in range(1, 501)]
    world = World(VirtualTenant(some), settings(concurrency=10, max_failures=Threshold(share=0.3)))
    assert virtually(world.run(rows_of(500))).state == "finished"


def test_actions_stopped_before_too_many_failures_are_polled_to_their_end():
    actions = [*actions_of(3), *actions_of(50, first=4, refuses=Kind.NOT_FOUND)]
    world = World(VirtualTenant(actions), settings(concurrency=1, max_failures=Threshold(count=2)))
    virtually(world.run(rows_of(53)))
    assert [action.outcome for action in world.report().actions[:3]] == [Outcome.STOPPED] * 3


def test_a_tenant_that_becomes_unreachable_ends_the_run():
    world = World(VirtualTenant(actions_of(50), script=lambda name, key, n: fault(Kind.CONNECT_FAILED)))
    ending = virtually(world.run(rows_of(50)))
    assert (ending.state, type(ending.cut_by)) == ("aborted", TenantUnreachable)


def no_stop_is_answered(name: str, key: str, n: int) -> Fault | None:
    """The tenant stops the action, and its answer is too late."""
    return lost() if name == "stop" else None


@pytest.mark.parametrize("max_attempts", [1, 8])
@pytest.mark.parametrize("keys", [1, 5, 50])
def test_the_status_decides_stops_that_worked_without_an_answer(keys, max_attempts):
    """If it was sent again by this run and by every ``resume``, it would never get its outcome."""
    run_settings = settings(max_attempts=max_attempts, concurrency=4)
    world = World(VirtualTenant(actions_of(keys), script=no_stop_is_answered), run_settings)
    ending = virtually(world.run(rows_of(keys)))
    assert (ending.state, world.report().summary.outcomes) == ("finished", {Outcome.STOPPED: keys})
    assert all(action.stop.answer == "lost" for action in world.report().actions)
    assert all(
        action.stop.attempts == len(world.tenant.of("stop", action.bulk_key))
        for action in world.report().actions
    )


@pytest.mark.parametrize("keys", [1, 50])
def test_a_tenant_that_never_answers_ends_the_run_after_the_wait(keys):
    world = World(VirtualTenant(actions_of(keys), script=lambda name, key, n: lost(works=False)))
    ending = virtually(world.run(rows_of(keys)))
    assert (ending.state, type(ending.cut_by)) == ("aborted", TenantUnreachable)
    assert world.tenant.of("status"), "no key that may have been stopped was polled"
    # Probes start at most two seconds apart, and a call lasts at most 30 s.
    assert 898.0 <= max(call.at for call in world.tenant.calls) <= 930.0


def test_a_key_that_a_poll_shows_stopping_gets_no_further_stop():
    tenant = VirtualTenant(actions_of(1, stopping_for=300.0), script=no_stop_is_answered)
    virtually(World(tenant).run(rows_of(1)))
    first_poll = min(call.at for call in tenant.of("status"))
    assert [call for call in tenant.of("stop") if call.at > first_poll] == []


def test_a_retry_that_never_left_is_not_counted():
    world = World(VirtualTenant(actions_of(5), script=no_stop_is_answered))
    virtually(world.run(rows_of(5)))
    calls = world.report().summary.calls
    assert calls.retried + calls.hedged == len(stops(world)) - 5


def test_one_key_without_an_answer_does_not_end_the_run():
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


def test_credentials_that_expire_during_a_run_keep_the_earlier_results():
    """A refused stop is a call; a stop that waited for its next attempt without a token is none."""

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
        accepted = action.bulk_key <= bulk_key(10)
        assert action.outcome is (Outcome.UNCONFIRMED if accepted else Outcome.NOT_ATTEMPTED)


def test_an_input_without_a_key_ends_the_run_as_wrong_input():
    ending = virtually(World(VirtualTenant([])).run([]))
    assert isinstance(ending.cut_by, InputError)


def test_keys_before_an_input_error_are_still_completed():
    class Torn(list[InputRow]):
        def __iter__(self):
            raise InputError("keys.csv cannot be read any further")

    world = World(VirtualTenant(actions_of(5)))
    ending = virtually(world.run([(0.0, rows_of(5)), (1.0, Torn())]))
    assert (type(ending.cut_by), world.report().summary.outcomes) == (InputCut, {Outcome.STOPPED: 5})
