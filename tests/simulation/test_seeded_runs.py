"""Runs drawn from a seed: the report and the tenant's truth agree, and every key is over once the faults have ended.

``pytest tests/simulation/test_seeded_runs.py --seeds 500`` tries more of them.
"""

import asyncio
import weakref
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from orchestrator.engine.cutoff import Ending, Interrupted
from orchestrator.model import OVER
from tests.simulation.dice import Dice, lies, rows_reported
from tests.simulation.memory import snapshot
from tests.simulation.virtual import now, virtually
from tests.simulation.world import World

one_for_all_tests = lru_cache(maxsize=8)
"""Several tests look at the same run of a seed."""


@dataclass(frozen=True)
class Run:
    """A run that is over.

    ``accepted`` are the keys whose stop the journal knew to be accepted when the process was killed.
    """

    dice: Dice
    world: World
    ended_at: float
    ending: Ending | None = None
    accepted: frozenset[str] = frozenset()


@one_for_all_tests
def whole(seed: int) -> Run:
    """A run in one session, whose faults go on."""
    dice = Dice(seed)
    world = dice.world(seed)

    async def main() -> Run:
        ending = await world.run(dice.batches())
        return Run(dice, world, now(), ending)

    return virtually(main())


@one_for_all_tests
def healed(seed: int) -> Run:
    """A run whose faults end, with enough attempts and time."""
    dice = Dice(seed)
    dice.faults_end = dice.random.choice([1.0, 10.0, 100.0])
    world = dice.world(seed)

    async def main() -> Run:
        ending = await world.run(dice.batches(), max_attempts=10_000, settle=1_000.0)
        return Run(dice, world, now(), ending)

    return virtually(main())


@one_for_all_tests
def interrupted(seed: int) -> Run:
    """A session that a signal cuts, and one that resumes it."""
    dice = Dice(seed)
    world = dice.world(seed)

    async def main() -> Run:
        batches = dice.batches()
        session = world.session(batches)
        when = dice.random.uniform(0.0, 20.0)
        asyncio.get_running_loop().call_later(when, session.cut_if_running, Interrupted("SIGINT", 130))
        await session.run()
        ending = await world.run(batches)
        return Run(dice, world, now(), ending)

    return virtually(main())


@one_for_all_tests
def killed(seed: int) -> Run:
    """A session that kill -9 ends, and one that resumes it. Only the content of the disk survives."""
    dice = Dice(seed)
    world = dice.world(seed, lagging=True)

    async def main() -> Run:
        batches = dice.batches()
        running = asyncio.ensure_future(world.run(batches))
        await asyncio.sleep(dice.random.uniform(0.0, 20.0))
        world.connection, dead = snapshot(world.connection), world.connection
        weakref.finalize(world, world.connection.close)
        known = "SELECT bulk_key FROM action WHERE accepted_at IS NOT NULL"
        accepted = frozenset(key for (key,) in world.connection.execute(known))
        world.tenant.cut_off = True
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await asyncio.sleep(1.0)
        dead.close()
        world.tenant.cut_off = False
        world.first_call_after_crash = len(world.tenant.calls)
        if world.connection.execute("SELECT COUNT(*) FROM source").fetchone()[0]:
            await world.run(batches)
        return Run(dice, world, now(), accepted=accepted)

    return virtually(main())


def reports_each_row_once(run: Run) -> bool:
    return rows_reported(run.world.report()) == sorted(row.number for row in run.dice.rows)


def test_a_seeded_run_reports_the_truth(run_seed):
    run = whole(run_seed)
    assert lies(run.world, run.ended_at, crashed=False) == []


def test_a_seeded_run_reports_each_row_once(run_seed):
    assert reports_each_row_once(whole(run_seed))


def test_a_seeded_run_counts_the_calls_that_the_tenant_received(run_seed):
    world = whole(run_seed).world
    calls = world.report().summary.calls
    received = Counter(call.name.removesuffix(" status") for call in world.tenant.calls)
    assert [calls.stop, calls.status, calls.file] == [received[name] for name in ("stop", "status", "file")]


def test_a_seeded_run_stays_within_its_slots(run_seed):
    run = whole(run_seed)
    assert run.world.tenant.most_in_flight <= run.world.most_open(run.dice.slots)


def _refused_for_good(world: World, bulk_key: str) -> bool:
    """Whether the tenant refuses every call for the key, or the row has no key."""
    action = world.tenant.actions.get(bulk_key)
    return action is None or action.refuses is not None


def test_a_seeded_run_completes_every_key_once_its_faults_end(run_seed):
    """A true report of a run that gave up is not enough."""
    run = healed(run_seed)
    left = {
        action.bulk_key: action.outcome
        for action in run.world.report().actions
        if action.outcome not in OVER and not _refused_for_good(run.world, action.bulk_key)
    }
    assert (run.ending and run.ending.state, left) == ("finished", {})


def test_a_seeded_run_sends_its_stops_soon_after_its_faults_end(run_seed):
    run = healed(run_seed)
    latest = run.dice.faults_end + run.dice.soon
    assert [call for call in run.world.tenant.of("stop") if call.at > latest] == []


def test_an_interrupted_seeded_run_reports_the_truth_in_the_end(run_seed):
    run = interrupted(run_seed)
    assert lies(run.world, run.ended_at, crashed=False) == []


def test_an_interrupted_seeded_run_is_complete_in_the_end(run_seed):
    assert reports_each_row_once(interrupted(run_seed))


def test_a_killed_seeded_run_reports_the_truth_in_the_end(run_seed):
    run = killed(run_seed)
    assert lies(run.world, run.ended_at, crashed=True) == []


def test_a_killed_seeded_run_is_complete_in_the_end(run_seed):
    assert reports_each_row_once(killed(run_seed))


def test_a_killed_seeded_run_sends_no_accepted_stop_again(run_seed):
    run = killed(run_seed)
    after = run.world.tenant.calls[run.world.first_call_after_crash :]
    assert [call for call in after if call.name == "stop" and call.bulk_key in run.accepted] == []


def test_two_runs_of_one_seed_are_the_same(run_seed):
    def calls(run: Run) -> list[tuple[str, str, float]]:
        return [(call.name, call.bulk_key, call.at) for call in run.world.tenant.calls]

    assert calls(whole.__wrapped__(run_seed)) == calls(whole(run_seed))
