"""Long random journeys: one run over many processes, each ended in another way, at an unreliable tenant.

One seed draws everything: lives of actions, stops of other users, latencies, faults, late and stale answers. It also
draws hours without an answer, signals, second signals, deadlines and kill -9. Repeat a failing seed with
``pytest tests/simulation/test_journeys.py --first-seed N --seeds 1``; ``make hunt SEEDS=5000`` tries others.
"""

import asyncio
import os
import subprocess
import sys
import weakref
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest

from orchestrator.engine.cutoff import Interrupted
from orchestrator.errors import Kind, TenantUnreachable
from orchestrator.model import OVER, Outcome, Status
from orchestrator.report import Report
from orchestrator.settings import Threshold
from tests.simulation.dice import Dice, lies, rows_reported
from tests.simulation.memory import Batch, snapshot
from tests.simulation.tenant import Action, Call, Fault, VirtualTenant, fault
from tests.simulation.virtual import now, virtually
from tests.simulation.world import Session, World, settings

ENDS = ("whole", "signal", "two signals", "deadline", "kill", "kill", "kill")
HEALED = 100_000.0
"""When a tenant that heals has done so; the last session begins then."""

AT_EVERY_SEED = 40
"""Journeys in one everyday test: they cost some milliseconds each."""


class Forgetful(VirtualTenant):
    """During an outage a token may expire, and no other is available."""

    def __init__(self, journey: "Journey", actions: list[Action], **given: Any) -> None:
        super().__init__(actions, **given)
        self._journey = journey

    async def authenticate(self) -> None:
        if self._journey.is_away() and self._journey.random.random() < 0.02:
            await asyncio.sleep(10.0)
            raise TenantUnreachable("No token came.")


class Journey(Dice):
    """One run by its seed, and its events."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.seed = seed
        self.random = random = Random(f"journey {seed}")
        self.keys = random.randint(1, 60)
        self.rows = list(self._rows())
        self.away = sorted(random.uniform(0.0, 600.0) for _ in range(random.choice([0, 0, 2, 4])))
        self.late = random.random() < 0.4
        self.staleness = random.choice([0.0, 0.0, 0.5, 3.0])
        self.ends = [random.choice(ENDS) for _ in range(random.randint(1, 4))]
        self.kills = 0
        self.first_call_after: dict[str, int] = {}
        self.problems: list[str] = []
        self._quiet_from: float | None = None
        self.run_settings = settings(
            concurrency=self.slots,
            settle=random.choice([20.0, 120.0]),
            no_results=random.random() < 0.2,
            max_failures=random.choice([None, None, None, Threshold(count=3)]),
            expect_action_type=random.choice([(), (), ("MPU",)]),
            hedge=random.choice([None, None, 0.0, 0.2]),
        )
        self.scene = World(
            Forgetful(
                self,
                [action for n in range(1, self.keys + 1) if (action := self._action(n)) is not None],
                latency=lambda: random.uniform(0.01, self.slowest),
                script=self._fault_of,
                stale=lambda: random.uniform(0.0, self.staleness),
                outlives=self._outlives,
            ),
            self.run_settings,
            lagging=True,
            disk=random.choice([0.0, 0.0, 0.3]),
            seed=seed,
        )

    def _action(self, number: int) -> Action | None:
        action = super()._action(number)
        if action is not None and self.random.random() < 0.1:
            action.others_stop_at = self.random.uniform(0.0, 60.0)
        return action

    def _fault_of(self, name: str, key: str, n: int) -> Fault | None:
        if now() >= HEALED:
            return None
        if self.is_away():
            kind = self.random.choice([Kind.CONNECT_FAILED, Kind.CONNECTION_LOST])
            return fault(kind, may_have_worked=kind is Kind.CONNECTION_LOST)
        if self.late and name == "stop" and self.random.random() < 0.1:
            later = self.random.uniform(0.0, 5.0)
            return Fault(fault(Kind.TIMEOUT, may_have_worked=True).error, seconds=30.0, later=later)
        return super()._fault_of(name, key, n)

    def _outlives(self, call: Call) -> bool:
        return Random(f"{self.seed} {call.name} {call.bulk_key} {call.at}").random() < 0.5

    def is_away(self) -> bool:
        return any(a <= now() < b for a, b in zip(self.away[::2], self.away[1::2], strict=True))

    async def travel(self) -> None:
        batches = self.batches()
        for end in self.ends:
            await getattr(self, "_" + end.replace(" ", "_"))(batches)
            self._look()
            await asyncio.sleep(self.random.uniform(6.0, 60.0))
        await asyncio.sleep(max(0.0, HEALED - now()))
        ending = await self._session(batches, max_failures=None).run()
        if ending.state != "finished":
            self.problems.append(f"the last session ended as {ending.state}: {ending.reason}")
        self._look(whole=True)

    def _session(self, batches: Sequence[Batch], **changes: Any) -> Session:
        return self.scene.session(batches, **changes)

    async def _whole(self, batches: Sequence[Batch]) -> None:
        await self._session(batches).run()

    async def _signal(self, batches: Sequence[Batch]) -> None:
        session = self._session(batches)
        self._cut_at(session, self.random.uniform(0.0, 60.0))
        await session.run()

    async def _two_signals(self, batches: Sequence[Batch]) -> None:
        session = self._session(batches)
        first = self.random.uniform(0.0, 60.0)
        self._cut_at(session, first)
        running = asyncio.ensure_future(session.run())
        await asyncio.wait([running], timeout=first + self.random.uniform(0.0, 3.0))
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        self.kills += 1  # calls that were cut have no answer, as after a kill
        session.writer.commit()

    async def _deadline(self, batches: Sequence[Batch]) -> None:
        seconds = self.random.uniform(0.0, 60.0)
        self._no_call_after(now() + seconds)
        await self._session(batches, deadline=seconds).run()

    async def _kill(self, batches: Sequence[Batch]) -> None:
        world = self.scene
        running = asyncio.ensure_future(self._session(batches).run())
        await asyncio.sleep(self.random.uniform(0.0, 40.0))
        world.connection, dead = snapshot(world.connection), world.connection
        weakref.finalize(world, world.connection.close)
        world.tenant.cut_off = True
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await asyncio.sleep(5.0)
        dead.close()
        world.tenant.cut_off = False
        self.kills += 1
        self._accepted_are_known()
        if not world.connection.execute("SELECT COUNT(*) FROM source").fetchone()[0]:
            # Killed before its first commit: the run starts again.
            world.sessions = 0
            self.first_call_after.clear()
            world.connection.execute("DELETE FROM run")
            world.connection.execute("DELETE FROM session")

    def _accepted_are_known(self) -> None:
        rows = self.scene.connection.execute("SELECT bulk_key FROM action WHERE accepted_at IS NOT NULL")
        for (key,) in rows:
            self.first_call_after.setdefault(key, len(self.scene.tenant.calls))

    def _cut_at(self, session: Session, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(seconds, session.cut_if_running, Interrupted("SIGINT", 130))
        self._no_call_after(now() + seconds)

    def _no_call_after(self, at: float) -> None:
        """To be looked at once this session is over."""
        self._quiet_from = at

    def _look(self, *, whole: bool = False) -> None:
        """Compares the current report with the truth of the tenant."""
        world = self.scene
        report: Report | None = None
        quiet_from, self._quiet_from = self._quiet_from, None
        if quiet_from is not None and (late := [c for c in world.tenant.calls if c.at > quiet_from + 1e-6]):
            self.problems.append(f"calls started after the end: {late[:3]}")
        if world.connection.execute("SELECT COUNT(*) FROM run").fetchone()[0]:
            report = world.report()
            self.problems += lies(world, now(), crashed=bool(self.kills), more=self.kills, late=self.late)
            rows = rows_reported(report)
            if len(rows) != len(set(rows)) or not set(rows) <= {row.number for row in self.rows}:
                self.problems.append(f"rows are reported twice: {rows}")
        again = [call for call in self._stops() if self._sent_again(call)]
        if again:
            self.problems.append(f"accepted stops were sent again: {again[:3]}")
        if world.tenant.most_in_flight > world.most_open(self.slots):
            self.problems.append(f"{world.tenant.most_in_flight} calls in flight with {self.slots} slots")
        if whole and report is not None:
            self._is_whole(report)

    def _is_whole(self, report: Report) -> None:
        """After a last session at a healthy tenant, no knowable result is open."""
        if rows_reported(report) != sorted(row.number for row in self.rows):
            self.problems.append("not every row is reported once")
        for action in report.actions:
            truth = self.scene.tenant.actions.get(action.bulk_key)
            if truth is None or truth.refuses is not None:
                continue
            if truth.status(now()) in (Status.PENDING, Status.PROCESSING):
                self.problems.append(f"still running: {action}")
            stuck = truth.stopped_at is not None and truth.stopping_for > self.run_settings.settle
            open_still = action.outcome not in OVER
            if open_still and not (stuck and action.outcome is Outcome.UNCONFIRMED):
                self.problems.append(f"left open: {action.outcome} {action.error} {truth}")

    def _stops(self) -> list[Call]:
        return [call for call in self.scene.tenant.calls if call.name == "stop"]

    def _sent_again(self, call: Call) -> bool:
        known = self.first_call_after.get(call.bulk_key)
        return known is not None and call in self.scene.tenant.calls[known:]


def problems_of(seed: int) -> list[str]:
    journey = Journey(seed)
    virtually(journey.travel())
    return journey.problems


def test_the_report_is_true_at_every_step_of_a_journey(run_seed):
    seeds = range(run_seed * AT_EVERY_SEED, (run_seed + 1) * AT_EVERY_SEED)
    assert {seed: problems for seed in seeds if (problems := problems_of(seed))} == {}


def calls_of(seed: int) -> list[str]:
    """The calls that the tenant received, one in each line."""
    journey = Journey(seed)
    virtually(journey.travel())
    return [
        f"{call.name} {call.bulk_key} {call.at} {call.answer} {call.ended_at} {call.took_effect}"
        for call in journey.scene.tenant.calls
    ]


@pytest.mark.hunt
def test_a_journey_of_one_seed_replays_exactly(run_seed):
    assert calls_of(run_seed) == calls_of(run_seed)


@pytest.mark.parametrize("seed", [30, 35, 86, 158])
def test_a_journey_of_one_seed_replays_exactly_in_another_process(seed):
    """In these, calls are cut under way. Another process has other addresses, and other hashes of strings."""
    again = subprocess.run(
        [sys.executable, "-c", f"from {__name__} import calls_of; print(*calls_of({seed}), sep='\\n')"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONHASHSEED": str(seed)},
    )
    assert again.stdout.splitlines() == calls_of(seed)


def test_surviving_requests_do_not_depend_on_the_order_of_cancellation(run_seed):
    def arrived(order: int) -> set[str]:
        """The keys that were stopped by requests cut on their way, first to last or last to first."""

        async def cut() -> None:
            senders = [asyncio.ensure_future(tenant.stop(key, "t")) for key in tenant.actions]
            await asyncio.sleep(0.001)
            for sender in senders[::order]:
                sender.cancel()
            await asyncio.gather(*senders, return_exceptions=True)
            await asyncio.sleep(60.0)

        tenant = Journey(run_seed).scene.tenant
        virtually(cut())
        return {key for key, action in tenant.actions.items() if action.stopped_at is not None}

    assert arrived(1) == arrived(-1)
