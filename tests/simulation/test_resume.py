"""A resumed run: one complete end after any cut."""

import asyncio

import pytest
from msgspec import structs

from orchestrator.engine.cutoff import Ending, Interrupted
from orchestrator.errors import Kind
from orchestrator.model import ActionState, Outcome, Status
from tests.simulation.tenant import (
    Action,
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

# Resume


async def two_sessions(world: World, keys: int, seconds: float, **resumed: object) -> Ending:
    session = world.session(rows_of(keys))
    asyncio.get_running_loop().call_later(seconds, session.cut, Interrupted("SIGINT", 130))
    await session.run()
    return await world.run(rows_of(keys), **resumed)


def test_a_resumed_run_ends_with_one_complete_report():
    world = World(VirtualTenant(actions_of(100), latency=lambda: 0.5), settings(concurrency=5))
    virtually(two_sessions(world, 100, 3.0))
    assert (world.report().summary.outcomes, world.report().run.resumed) == ({Outcome.STOPPED: 100}, 1)


def test_a_resumed_run_sends_no_accepted_stop_again():
    world = World(VirtualTenant(actions_of(100), latency=lambda: 0.5), settings(concurrency=5))
    virtually(two_sessions(world, 100, 3.0))
    assert len(stops(world)) == 100


def test_a_deadline_belongs_to_one_session_and_a_resume_has_its_own():
    world = World(VirtualTenant(actions_of(40), latency=lambda: 0.5), settings(concurrency=5, deadline=2.0))

    async def main() -> Ending:
        await world.run(rows_of(40))
        return await world.run(rows_of(40), deadline=None)

    assert virtually(main()) == Ending("finished")


def test_a_resumed_run_polls_an_unconfirmed_key_again():
    world = World(VirtualTenant(actions_of(3, stopping_for=200)), settings(settle=60.0))

    async def main() -> None:
        await world.run(rows_of(3))
        await world.run(rows_of(3), settle=600.0)

    virtually(main())
    assert (world.report().summary.outcomes, len(stops(world))) == ({Outcome.STOPPED: 3}, 3)


class ForgetfulTenant(VirtualTenant):
    """Accepts each stop. Stops of the first 100 seconds have no effect."""

    async def stop(self, bulk_key: str, track_id: str) -> str | None:
        if now() >= 100.0:
            return await super().stop(bulk_key, track_id)
        await asyncio.sleep(0.05)
        return None


@pytest.mark.parametrize(
    ("then", "outcome"),
    [
        ({}, Outcome.STOPPED),
        ({"others_stop_at": 110.0}, Outcome.STOPPED),
        ({"speed": 0.9}, Outcome.COMPLETED_BEFORE_STOP),
        ({"refuses": Kind.NO_PERMISSION}, Outcome.UNCONFIRMED),
    ],
)
def test_an_action_that_runs_despite_an_accepted_stop_is_stopped_again_by_a_resume(then, outcome):
    tenant = ForgetfulTenant(actions_of(3))
    world = World(tenant, settings(settle=60.0))

    async def main() -> Ending:
        await world.run(rows_of(3))
        assert world.report().summary.outcomes == {Outcome.UNCONFIRMED: 3}
        await asyncio.sleep(60.0)
        for action in tenant.actions.values():
            for name, value in then.items():
                setattr(action, name, value)
        return await world.run(rows_of(3))

    assert virtually(main()).state == "finished"
    assert world.report().summary.outcomes == {outcome: 3}


def test_a_key_that_was_unreachable_is_sent_again_by_a_resumed_run():
    world = World(VirtualTenant(actions_of(1), script=scripted(stop={1: [fault(Kind.LOCKED)] * 8})))

    async def main() -> None:
        await world.run(rows_of(1))
        await world.run(rows_of(1))

    virtually(main())
    assert (entry(world.report(), 1).outcome, entry(world.report(), 1).stop.attempts) == (Outcome.STOPPED, 9)


def test_a_key_whose_tries_had_run_out_before_the_cut_is_sent_again_by_a_resumed_run():
    """Its attempts belong to an earlier session; a resume at a healthy tenant must stop it."""
    script = scripted(stop={1: [fault(Kind.LOCKED)] * 8}, status={1: [throttled(300.0)]})
    world = World(VirtualTenant(actions_of(1), script=script))
    virtually(two_sessions(world, 1, 200.0))
    assert (entry(world.report(), 1).outcome, len(stops(world))) == (Outcome.STOPPED, 9)


def test_a_stop_in_flight_at_a_crash_is_unconfirmed_whatever_came_before():
    async def main(world: World) -> Outcome:
        running = asyncio.ensure_future(world.session(rows_of(1)).run())
        await asyncio.sleep(20.0)
        assert [stop.ended_at for stop in stops(world)][1:] == [None]
        at_that_moment = entry(world.report(), 1).outcome
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return at_that_moment

    script = scripted(stop={1: [fault(Kind.LOCKED), lost()]})
    world = World(VirtualTenant(actions_of(1), script=script), settings(hedge=0.0))
    assert virtually(main(world)) is Outcome.UNCONFIRMED


def test_a_stop_that_may_have_been_sent_before_the_crash_is_never_called_skipped():
    """Resumed with other guards, an action that our own stop put to Stopping is not skipped."""
    script = scripted(stop={1: [lost(seconds=500.0)]})
    world = World(
        VirtualTenant(actions_of(1, stopping_for=900.0), script=script),
        settings(expect_action_type=("MPU",), hedge=0.0),
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


def test_a_resumed_run_without_results_leaves_a_missing_response_file():
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


class StoppingAtFirst(VirtualTenant):
    """The first status of an action is out of date: it shows an earlier stop, which had no effect in the end."""

    async def status(self, bulk_key: str, track_id: str) -> ActionState:
        state = await super().status(bulk_key, track_id)
        return structs.replace(state, status=Status.STOPPING) if len(self.of("status")) == 1 else state


def test_a_possibly_stopped_key_that_runs_after_all_is_stopped_again():
    tenant = StoppingAtFirst(actions_of(1), script=scripted(stop={1: [lost(works=False)]}))
    world = World(tenant, settings(expect_action_type=()))
    virtually(two_sessions(world, 1, 0.1, expect_action_type=("MPU",)))
    assert (entry(world.report(), 1).outcome, len(stops(world))) == (Outcome.STOPPED, 2)
