"""Hypothesis acts the incident: it starts, kills and resumes a run, fails calls, ends actions, asks for the report.

The seeds of `test_journeys` draw a whole journey at once. Here each step is drawn by itself, so that a failure is
reduced to the shortest journey. After each step the journal, as a kill would leave it, is compared with
the tenant's truth. In the end the run is resumed twice; the second time must send nothing and report the same.
"""

import asyncio
import weakref
from collections import deque
from contextlib import suppress

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator.engine.cutoff import Ending, Interrupted
from orchestrator.errors import Kind
from orchestrator.model import OVER, InputRow
from orchestrator.report import Report
from tests.simulation.dice import lies, rows_reported
from tests.simulation.memory import snapshot
from tests.simulation.tenant import Action, Fault, VirtualTenant, actions_of, bulk_key, fault, lost, throttled
from tests.simulation.virtual import VirtualLoop
from tests.simulation.world import Session, World, settings

FAULTS = {
    "locked": fault(Kind.LOCKED, code=50000050, http_status=200),
    "503": fault(Kind.TEMPORARY, http_status=503),
    "500, and done": fault(Kind.INTERNAL, works=True, http_status=500, may_have_worked=True),
    "cut, and done": fault(Kind.CONNECTION_LOST, works=True, may_have_worked=True),
    "cut, not done": fault(Kind.CONNECTION_LOST, works=False, may_have_worked=True),
    "no connection": fault(Kind.CONNECT_FAILED),
    "no answer, and done": lost(works=True),
    "no answer, not done": lost(works=False),
    "429": throttled(3.0),
}
MOMENTS = (0.0, 0.01, 0.05, 0.1, 0.3, 2.0, 10.0, 100.0)
"""Seconds between steps: less than a call takes, a few calls, a time-out, a pause."""


class Incident(RuleBasedStateMachine):
    """A run over any number of processes, and one tenant for all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.faults: deque[Fault] = deque()
        self.problems: list[str] = []
        self.cuts = 0
        self.session: Session | None = None
        self.running: asyncio.Task[Ending] | None = None

    @initialize(
        keys=st.integers(1, 8),
        twice=st.booleans(),
        slots=st.sampled_from([1, 3, 10]),
        disk=st.sampled_from([0.0, 0.2]),
        stopping_for=st.sampled_from([0.0, 5.0]),
        outlives=st.booleans(),
        pause=st.sampled_from([0.0, 1.0]),
    )
    def an_incident(
        self,
        keys: int,
        twice: bool,
        slots: int,
        disk: float,
        stopping_for: float,
        outlives: bool,
        pause: float,
    ) -> None:
        rows = [InputRow(number, bulk_key(number)) for number in range(1, keys + 1)]
        if twice:
            rows.append(InputRow(keys + 1, bulk_key(1)))
        middle = (len(rows) + 1) // 2
        self.rows = [row.number for row in rows]
        self.batches = [(0.0, rows[:middle])] + ([(pause, rows[middle:])] if rows[middle:] else [])
        self.world = World(
            VirtualTenant(
                actions_of(keys, total=10**9, speed=1.0, stopping_for=stopping_for),
                script=self._fault_of,
                outlives=lambda call: outlives,
            ),
            settings(concurrency=slots, settle=60.0, hedge=None),
            lagging=True,
            disk=disk,
        )

    # What the tenant does

    def _fault_of(self, name: str, key: str, n: int) -> Fault | None:
        if name == "stop":
            attempts, accepted_at = self.world.connection.execute(
                "SELECT attempts, accepted_at FROM action WHERE bulk_key = ?", (key,)
            ).fetchone()
            if attempts < n:
                self.problems.append(f"stop {n} of {key} left before its intent was written")
            if accepted_at is not None:
                self.problems.append(f"a stop of {key} left again, known to be accepted")
        return self.faults.popleft() if self.faults else None

    @rule(names=st.lists(st.sampled_from(list(FAULTS)), min_size=1, max_size=6))
    def next_calls_fail(self, names: list[str]) -> None:
        self.faults.extend(FAULTS[name] for name in names)

    @rule(number=st.integers(1, 8))
    def another_user_stops(self, number: int) -> None:
        if action := self._action(number):
            action.others_stop_at = self._now()

    @rule(number=st.integers(1, 8))
    def an_action_ends(self, number: int) -> None:
        action = self._action(number)
        if action and action.stopped_at is None:
            action.total = action.processed(self._now())

    def _action(self, number: int) -> Action | None:
        return self.world.tenant.actions.get(bulk_key(number))

    # Ends of the run

    @rule(seconds=st.sampled_from(MOMENTS))
    def time_passes(self, seconds: float) -> None:
        self.runner.run(asyncio.sleep(seconds))

    @precondition(lambda self: self.running is None)
    @rule(seconds=st.sampled_from(MOMENTS))
    def a_process_begins(self, seconds: float) -> None:
        self.running = self.runner.get_loop().create_task(self._process())
        self.time_passes(seconds)

    async def _process(self) -> Ending:
        self.session = self.world.session(self.batches)
        return await self.session.run()

    @precondition(lambda self: self.running is not None)
    @rule(seconds=st.sampled_from(MOMENTS))
    def it_gets_a_signal(self, seconds: float) -> None:
        assert self.session is not None
        self.session.cut_if_running(Interrupted("SIGINT", 130))
        self.time_passes(seconds)

    @precondition(lambda self: self.running is not None)
    @rule()
    def its_calls_are_cut_by_a_second_signal(self) -> None:
        assert self.session is not None
        self._cancel()
        self.session.writer.commit()

    @precondition(lambda self: self.running is not None)
    @rule()
    def it_is_killed(self) -> None:
        """Uncommitted writes are lost; calls in flight may arrive."""
        world = self.world
        world.connection, dead = snapshot(world.connection), world.connection
        weakref.finalize(world, world.connection.close)
        world.tenant.cut_off = True
        self._cancel()
        self.time_passes(5.0)
        dead.close()
        world.tenant.cut_off = False
        if not world.connection.execute("SELECT COUNT(*) FROM source").fetchone()[0]:
            # Killed before its first commit: the run starts again.
            world.sessions = 0
            world.connection.execute("DELETE FROM run")
            world.connection.execute("DELETE FROM session")

    def _cancel(self) -> None:
        running, self.running = self.running, None
        assert running is not None
        running.cancel()
        with suppress(asyncio.CancelledError):
            self.runner.run(_of(running))
        self.cuts += 1  # calls that were cut have no answer

    # Invariants

    @invariant()
    def the_report_is_true_at_any_time(self) -> None:
        if self.running is not None and self.running.done():
            self.running.result()
            self.running = None
        assert self.problems == []
        if not self.world.sessions or not self.world.connection.execute("SELECT 1 FROM run").fetchone():
            return
        cuts = self.cuts + (self.running is not None)  # what is under way may be cut in this very moment
        assert lies(self.world, self._now(), crashed=cuts > 0, more=cuts) == []
        reported = rows_reported(self.world.report())
        assert len(reported) == len(set(reported)), reported
        assert set(reported) <= set(self.rows), reported

    def teardown(self) -> None:
        with self.runner:
            if hasattr(self, "world"):
                self._to_its_end()

    def _to_its_end(self) -> None:
        if self.running is not None:
            self.it_is_killed()
        self.faults.clear()
        self.time_passes(1_000.0)
        report = self._resume()
        calls = len(self.world.tenant.calls)
        assert rows_reported(report) == self.rows
        assert [action for action in report.actions if action.outcome not in OVER] == []
        assert self._resume().actions == report.actions
        assert len(self.world.tenant.calls) == calls, "a resumed run that was over sent something"

    def _resume(self) -> Report:
        ending = self.runner.run(self._process())
        assert ending.state == "finished", ending
        self.the_report_is_true_at_any_time()
        return self.world.report()

    def _now(self) -> float:
        return self.runner.get_loop().time()


async def _of(task: "asyncio.Task[Ending]") -> Ending:
    return await task


TestIncident = Incident.TestCase
TestIncident.settings = hypothesis_settings(
    max_examples=hypothesis_settings().max_examples
    // 2,  # each is worth some dozens of simpler ones, and costs as much
    stateful_step_count=25,
)
