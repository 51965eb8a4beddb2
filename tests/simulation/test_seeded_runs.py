"""Random runs: in the end the report and the tenant's own truth must agree.

``pytest tests/simulation/test_seeded_runs.py --seeds 500`` tries more of them.
"""

import asyncio
import weakref
from collections import Counter
from contextlib import suppress
from math import inf
from random import Random

from orchestrator.engine.cutoff import Interrupted
from orchestrator.errors import Kind
from orchestrator.model import OVER, InputRow, Outcome, Status
from orchestrator.report import ActionEntry, Report
from tests.simulation.memory import snapshot
from tests.simulation.tenant import (
    UNANSWERED,
    Action,
    Call,
    Fault,
    VirtualTenant,
    bulk_key,
    fault,
    lost,
    throttled,
)
from tests.simulation.virtual import now, virtually
from tests.simulation.world import World, settings

FOR_GOOD = (Kind.NOT_FOUND, Kind.NO_PERMISSION)


class Dice:
    """One world by its seed: keys with duplicates and malformed rows, lives of actions, faults of calls."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(f"world {seed}")
        self.keys = random.randint(1, 150)
        self.share = random.choice([0.0, 0.05, 0.2, 0.5])
        self.slots = random.choice([1, 2, 5, 20, 40])
        self.slowest = random.choice([0.05, 0.5, 3.0])
        self.hedge = random.choice([None, None, 0.0, 0.3])
        self.outages = [
            (at, at + random.choice([0.5, 5.0, 60.0])) for at in random.choice([[], [], [2.0], [1.0, 90.0]])
        ]
        self.faults_end = inf
        self.rows = list(self._rows())

    def _rows(self):
        line = 2
        for number in range(1, self.keys + 1):
            yield InputRow(line, bulk_key(number))
            line += self.random.randint(1, 3)
            if self.random.random() < 0.1:
                yield InputRow(line, bulk_key(self.random.randint(1, number)))
                line += 1
            if self.random.random() < 0.05:
                yield InputRow(line, "no key", problem="That is no bulk key.")
                line += 1

    def batches(self) -> list[tuple[float, list[InputRow]]]:
        middle = self.random.randint(1, len(self.rows))
        batches = [(0.0, self.rows[:middle]), (self.random.uniform(0, 5), self.rows[middle:])]
        return [batch for batch in batches if batch[1]]

    def world(self, seed: int, *, lagging: bool = False) -> World:
        told = settings(concurrency=self.slots, settle=120.0, hedge=self.hedge)
        tenant = VirtualTenant(
            [action for n in range(1, self.keys + 1) if (action := self._action(n)) is not None],
            latency=lambda: self.random.uniform(0.01, self.slowest),
            script=self._fault_of,
        )
        return World(tenant, told, lagging=lagging, seed=seed)

    def _action(self, number: int) -> Action | None:
        random = self.random
        if random.random() < 0.03:
            return None
        return Action(
            bulk_key(number),
            starts_at=random.choice([0.0, 0.0, 30.0]),
            speed=random.choice([0.0, 1.0, 20.0, 500.0]),
            stopping_for=random.choice([0.0, 1.0, 10.0, 300.0]),
            born=random.choice([Status.PROCESSING] * 12 + [Status.STOPPED, Status.COMPLETED, Status.FAILED]),
            refuses=random.choice([None] * 30 + [Kind.NO_PERMISSION]),
            has_file=random.random() < 0.8,
        )

    def _fault_of(self, name: str, key: str, n: int) -> Fault | None:
        random = self.random
        at = now()
        if at >= self.faults_end:
            return None
        if any(start <= at < end for start, end in self.outages):
            return self._outage()
        if random.random() >= self.share:
            return None
        return random.choice(
            [
                self._page(),
                fault(Kind.LOCKED, code=50000050, http_status=200),
                fault(Kind.TEMPORARY, http_status=503, retry_after=random.choice([None, 2.0])),
                fault(Kind.INTERNAL, works=random.random() < 0.5, http_status=500, may_have_worked=True),
                fault(Kind.MALFORMED_ANSWER, works=True, http_status=200, may_have_worked=True),
                fault(Kind.CONNECTION_LOST, works=random.random() < 0.5, may_have_worked=True),
                fault(Kind.CONNECT_FAILED),
                throttled(random.choice([None, 1.0, 7.0])),
                lost(works=random.random() < 0.5),
            ]
        )

    def _page(self) -> Fault:
        """A gateway answers, before or after the tenant did what was asked."""
        works, http_status = self.random.random() < 0.5, self.random.choice([302, 403, 404, 421])
        kind = Kind.REDIRECTED if http_status == 302 else Kind.GATEWAY
        return fault(kind, works=works, http_status=http_status, may_have_worked=True)

    def _outage(self) -> Fault:
        """The tenant is down, in a way that changes from call to call."""
        return self.random.choice(
            [
                self._page(),
                fault(Kind.SERVER, works=False, http_status=503, may_have_worked=True),
                fault(Kind.CONNECTION_LOST, works=False, may_have_worked=True),
                fault(Kind.CONNECT_FAILED),
                fault(Kind.UNAUTHENTICATED, http_status=401),
                lost(works=False),
            ]
        )


def rows_reported(report: Report) -> list[int]:
    """Each row of the input as often as it is in the report."""
    return sorted(row for action in report.actions for row in (action.row, *action.duplicate_rows))


def lies(world: World, at: float, *, crashed: bool, more: int = 1, late: bool = False) -> list[str]:
    """The false statements of the report.

    ``more`` is how often the run ``crashed``; with ``late``, stops may have worked after they were given up.
    """
    return [
        f"{action.outcome} {action.stop} {why}"
        for action in world.report().actions
        if action.outcome is not Outcome.MALFORMED
        and (why := _lie(world, action, at, crashed=crashed, more=more, late=late)) is not None
    ]


def _lie(world: World, told: ActionEntry, at: float, *, crashed: bool, more: int, late: bool) -> str | None:
    stops = world.tenant.of("stop", told.bulk_key)
    action = world.tenant.actions.get(told.bulk_key)
    status = action and action.status(at)
    taken = any(stop.took_effect for stop in stops)
    accepted = any(stop.answer == "ok" for stop in stops)
    guarded = bool(world.settings.expect_action_type)
    refused = any(stop.answer == Kind.WRONG_STATE for stop in stops)
    doubtful = crashed or any(_doubtful(stop) for stop in stops)
    if not len(stops) <= told.stop.attempts <= len(stops) + more * crashed:
        # After a crash, a stop that was on its way to leaving counts as one that left.
        return f"the tenant received {len(stops)} stops"
    true = {
        Outcome.STOPPED: status is Status.STOPPED and (taken or doubtful),
        Outcome.ALREADY_STOPPED: status is Status.STOPPED and not taken,
        Outcome.ALREADY_COMPLETED: status is Status.COMPLETED and not accepted,
        Outcome.ALREADY_FAILED: status is Status.FAILED,
        Outcome.COMPLETED_BEFORE_STOP: status is Status.COMPLETED and accepted,
        # Every answer to its stops was a passing failure or a refusal because of its state. Or its status was read.
        Outcome.UNCONFIRMED: accepted
        or doubtful
        or told.status is not None
        or any(stop.answer not in UNANSWERED for stop in stops),
        # If the run is cut before the status is read, a stop refused for the action's state stays refused.
        Outcome.REJECTED: action is None or action.refuses in FOR_GOOD or (refused and not taken),
        Outcome.UNREACHABLE: bool(stops or guarded) and not accepted and (late or not taken),
        Outcome.NOT_ATTEMPTED: not taken
        and (not stops or any(stop.answer == Kind.UNAUTHENTICATED for stop in stops)),
    }
    return (
        None
        if true[told.outcome]
        else f"the tenant holds {status}, our stop was {taken=} {accepted=} {doubtful=}"
    )


def _doubtful(stop: Call) -> bool:
    return stop.answer is None or stop.answer in (
        Kind.GATEWAY, Kind.REDIRECTED, Kind.SERVER, Kind.INTERNAL, Kind.MALFORMED_ANSWER, Kind.CONNECTION_LOST,
        Kind.TIMEOUT,
    )  # fmt: skip


def test_a_seeded_run_reports_the_truth(run_seed):
    dice = Dice(run_seed)
    world = dice.world(run_seed)

    async def main() -> float:
        await world.run(dice.batches())
        return now()

    assert lies(world, virtually(main()), crashed=False) == []


def _refused_for_good(world: World, bulk_key: str) -> bool:
    """Whether the tenant refuses every call for the key, or the row has no key."""
    action = world.tenant.actions.get(bulk_key)
    return action is None or action.refuses is not None


def test_a_seeded_run_completes_every_key_once_its_faults_end(run_seed):
    """With enough attempts and time no key is left over. A true report of a run that gave up is not enough."""
    dice = Dice(run_seed)
    dice.faults_end = dice.random.choice([1.0, 10.0, 100.0])
    world = dice.world(run_seed)
    ending = virtually(world.run(dice.batches(), max_attempts=10_000, settle=1_000.0))
    left = {
        action.bulk_key: action.outcome
        for action in world.report().actions
        if action.outcome not in OVER and not _refused_for_good(world, action.bulk_key)
    }
    assert (ending.state, left) == ("finished", {})


def test_a_seeded_run_reports_each_row_once(run_seed):
    dice = Dice(run_seed)
    world = dice.world(run_seed)
    virtually(world.run(dice.batches()))
    assert rows_reported(world.report()) == sorted(row.number for row in dice.rows)


def test_a_seeded_run_counts_the_calls_that_the_tenant_received(run_seed):
    dice = Dice(run_seed)
    world = dice.world(run_seed)
    virtually(world.run(dice.batches()))
    calls = world.report().summary.calls
    received = Counter(call.name.removesuffix(" status") for call in world.tenant.calls)
    assert [calls.stop, calls.status, calls.file] == [received[name] for name in ("stop", "status", "file")]


def test_a_seeded_run_stays_within_its_slots(run_seed):
    dice = Dice(run_seed)
    world = dice.world(run_seed)
    virtually(world.run(dice.batches()))
    assert world.tenant.most_in_flight <= dice.slots + world.probes_allowed


async def interrupted(dice: Dice, world: World) -> float:
    """A session that a signal cuts, and one that continues it."""
    batches = dice.batches()
    session = world.session(batches)
    when = dice.random.uniform(0.0, 20.0)
    asyncio.get_running_loop().call_later(when, session.cut_if_running, Interrupted("SIGINT", 130))
    await session.run()
    await world.run(batches)
    return now()


async def killed(dice: Dice, world: World) -> tuple[float, set[str]]:
    """A session that kill -9 ends, and one that continues it. Only writes that are on the disk by then stay.

    Gives the time of the end, and the keys whose stop the journal knew to be accepted when the process died.
    """
    batches = dice.batches()
    running = asyncio.ensure_future(world.run(batches))
    await asyncio.sleep(dice.random.uniform(0.0, 20.0))
    world.connection, dead = snapshot(world.connection), world.connection
    weakref.finalize(world, world.connection.close)
    accepted = world.connection.execute(
        "SELECT bulk_key FROM action WHERE accepted_at IS NOT NULL"
    ).fetchall()
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
    return now(), {key for (key,) in accepted}


def test_an_interrupted_seeded_run_reports_the_truth_in_the_end(run_seed):
    dice = Dice(run_seed)
    world = dice.world(run_seed)
    assert lies(world, virtually(interrupted(dice, world)), crashed=False) == []


def test_an_interrupted_seeded_run_is_complete_in_the_end(run_seed):
    dice = Dice(run_seed)
    world = dice.world(run_seed)
    virtually(interrupted(dice, world))
    assert rows_reported(world.report()) == sorted(row.number for row in dice.rows)


def test_a_killed_seeded_run_reports_the_truth_in_the_end(run_seed):
    dice = Dice(run_seed)
    world = dice.world(run_seed, lagging=True)
    end, _ = virtually(killed(dice, world))
    assert lies(world, end, crashed=True) == []


def test_a_killed_seeded_run_is_complete_in_the_end(run_seed):
    dice = Dice(run_seed)
    world = dice.world(run_seed, lagging=True)
    virtually(killed(dice, world))
    assert rows_reported(world.report()) == sorted(row.number for row in dice.rows)


def test_a_killed_seeded_run_sends_no_accepted_stop_again(run_seed):
    dice = Dice(run_seed)
    world = dice.world(run_seed, lagging=True)
    _, accepted = virtually(killed(dice, world))
    after = world.tenant.calls[world.first_call_after_crash :]
    assert [call for call in after if call.name == "stop" and call.bulk_key in accepted] == []


def test_two_runs_of_one_seed_are_the_same(run_seed):
    def calls() -> list[tuple[str, str, float]]:
        dice = Dice(run_seed)
        world = dice.world(run_seed)
        virtually(world.run(dice.batches()))
        return [(call.name, call.bulk_key, call.at) for call in world.tenant.calls]

    assert calls() == calls()
