"""The gate, with calls that only say when they started."""

import asyncio
import weakref
from collections.abc import Awaitable, Callable

import anyio
import pytest
from anyio.abc import TaskGroup
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.clock import Clock
from orchestrator.engine.backlog import Backlog
from orchestrator.engine.cutoff import Cutoff
from orchestrator.engine.gate import Closed, Gate
from orchestrator.engine.outage import Outage
from orchestrator.engine.pace import Pace
from orchestrator.engine.queue import Priority
from orchestrator.engine.ramp import Ramp
from orchestrator.errors import CredentialsRefused, MassStopError
from orchestrator.logs import Sink, make_log
from orchestrator.model import Answered, Limits
from orchestrator.pacing.pacer import Pacer
from orchestrator.progress import Progress
from tests.inline_writer import inline
from tests.simulation.tenant import VirtualTenant
from tests.simulation.virtual import now, virtually


class Slots:
    """As many as the test sets."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.others: float | None = None

    def answered(self, now: float, in_flight: int, answer: Answered) -> None:
        """Responses change nothing here."""

    def paused(self) -> None:
        """Nor does a pause."""


class Tenant(VirtualTenant):
    """A tenant whose token is available, or arrives when the test says so."""

    def __init__(self) -> None:
        super().__init__([])
        self.token: Callable[[], Awaitable[None]] | None = None

    @property
    def has_token(self) -> bool:
        return self.token is None

    async def authenticate(self) -> None:
        if self.token is not None:
            await self.token()


class Bench:
    """A gate with ``slots`` slots, in virtual time, and what its calls did."""

    def __init__(self, slots: int, tasks: TaskGroup, ramp: Ramp | None = None) -> None:
        clock = Clock(now)
        self.tasks = tasks
        self.slots = Slots(slots)
        self.pacer = Pacer(self.slots, 0.0)
        self.backlog = Backlog()
        self.cutoff = Cutoff()
        self.tenant = Tenant()
        log = make_log(Sink(None, None), clock, "run")
        journal = inline(clock)
        weakref.finalize(self, journal.close)
        pace = Pace(self.pacer, self.backlog, journal, Progress(), clock, log)
        outage = Outage(900.0, pace, self.cutoff, clock, answered=True)
        self.gate = Gate(pace, outage, self.backlog, self.cutoff, clock, ramp or Ramp(), self.tenant)
        self.began: list[tuple[str, float]] = []
        self.ended: list[tuple[str, float]] = []
        self.refused: list[tuple[str, float]] = []
        self.running = self.most_running = 0

    @property
    def order(self) -> list[str]:
        return [name for name, _ in self.began]

    def call(self, priority: Priority, name: str = "", due: float = 0.0, seconds: float = 1.0) -> None:
        """Starts a task that makes one call."""
        self.tasks.start_soon(self._call, priority, name or priority.name, due, seconds)

    def stop(self, name: str, seconds: float = 1.0) -> None:
        self.call(Priority.STOP, name, seconds=seconds)

    async def _call(self, priority: Priority, name: str, due: float, seconds: float) -> None:
        try:
            async with self.gate.slot(priority, due):
                self.began.append((name, round(now(), 6)))
                self.running += 1
                self.most_running = max(self.most_running, self.running)
                await asyncio.sleep(seconds)
                self.running -= 1
                self.ended.append((name, round(now(), 6)))
        except Closed:
            self.refused.append((name, round(now(), 6)))


def bench(script: Callable[[Bench], Awaitable[None] | None], slots: int = 1, seconds: float = 100.0) -> Bench:
    """Runs ``script`` on a bench, for ``seconds``."""

    async def main() -> Bench:
        async with anyio.create_task_group() as tasks:
            made = Bench(slots, tasks)
            waiting = script(made)
            if waiting is not None:
                await waiting
            await asyncio.sleep(seconds)
            tasks.cancel_scope.cancel()
        return made

    return virtually(main())


def reason() -> MassStopError:
    return MassStopError("It ends.")


def test_calls_start_by_priority():
    def script(made: Bench) -> None:
        made.stop("first")
        for priority in reversed(Priority):
            if priority is not Priority.HEDGE:  # it goes behind the stops that wait already
                made.call(priority)

    assert bench(script).order == ["first", "STOP", "RETRY", "GUARD", "POLL", "FILE"]


def test_calls_of_one_priority_start_in_the_order_they_came():
    def script(made: Bench) -> None:
        for name in "abc":
            made.stop(name)

    assert bench(script).order == ["a", "b", "c"]


def test_polls_start_when_they_are_due_the_earliest_first():
    def script(made: Bench) -> None:
        made.call(Priority.POLL, "late", 9.0)
        made.call(Priority.POLL, "early", 4.0)

    assert bench(script).began == [("early", 4.0), ("late", 9.0)]


def test_a_call_that_waits_for_its_time_holds_no_slot():
    def script(made: Bench) -> None:
        made.call(Priority.RETRY, "later", 50.0)
        made.stop("now")

    assert bench(script).began == [("now", 0.0), ("later", 50.0)]


def test_no_poll_starts_while_stops_are_coming():
    async def script(made: Bench) -> None:
        made.backlog.waiting = 1
        made.call(Priority.POLL, "poll")
        await asyncio.sleep(7)
        made.backlog.waiting = 0
        made.gate.pump()

    assert bench(lambda made: script(made)).began == [("poll", 7.0)]


@given(st.integers(1, 8), st.lists(st.floats(0.1, 5.0), min_size=1, max_size=30))
def test_exactly_as_many_calls_run_as_slots_allow(slots, lengths):
    def script(made: Bench) -> None:
        for n, seconds in enumerate(lengths):
            made.stop(str(n), seconds)

    assert bench(script, slots, seconds=1_000).most_running == min(slots, len(lengths))


@given(st.integers(1, 8), st.integers(1, 40))
def test_no_slot_is_idle_while_a_call_waits(slots, calls):
    def script(made: Bench) -> None:
        for n in range(calls):
            made.stop(str(n))

    assert bench(script, slots).ended[-1][1] == -(-calls // slots)


def test_nothing_starts_while_the_tenant_asks_for_a_pause():
    def script(made: Bench) -> None:
        made.pacer.answered(Answered(Limits(), 429, False, 20.0, 0.1), now())
        made.stop("stop")

    assert bench(script).began == [("stop", 20.0)]


def test_a_raised_limit_is_used_at_once_when_the_gate_is_pumped():
    async def script(made: Bench) -> None:
        for n in range(4):
            made.stop(str(n), 10.0)
        await asyncio.sleep(3)
        made.slots.limit = 4
        made.gate.pump()

    assert [at for _, at in bench(lambda made: script(made), slots=1).began] == [0.0, 3.0, 3.0, 3.0]


def test_a_lowered_limit_lets_calls_in_flight_end_before_more_start():
    async def script(made: Bench) -> None:
        for n in range(6):
            made.stop(str(n), 10.0)
        await asyncio.sleep(3)
        made.slots.limit = 1

    began = [at for _, at in bench(lambda made: script(made), slots=3).began]
    assert began == [0.0, 0.0, 0.0, 10.0, 20.0, 30.0]


def test_a_cut_run_refuses_every_waiting_call_at_once():
    async def script(made: Bench) -> None:
        made.stop("under way", 10.0)
        for priority in Priority:
            made.call(priority, due=50.0)
        await asyncio.sleep(3)
        made.cutoff.cancel(reason())

    made = bench(lambda made: script(made))
    assert (made.order, made.ended) == (["under way"], [("under way", 10.0)])
    assert sorted(made.refused) == sorted((priority.name, 3.0) for priority in Priority)


def test_the_end_of_sending_refuses_stops_and_guards_alone():
    async def script(made: Bench) -> None:
        made.stop("under way", 10.0)
        for priority in Priority:
            made.call(priority)
        await asyncio.sleep(3)
        made.cutoff.stop_sending(reason())

    made = bench(lambda made: script(made))
    assert made.order == ["under way", "POLL", "FILE"]
    assert {name for name, _ in made.refused} == {"STOP", "HEDGE", "GUARD", "RETRY"}


@pytest.mark.parametrize("priority", Priority)
def test_a_call_after_the_end_is_refused(priority):
    def script(made: Bench) -> None:
        made.cutoff.cancel(reason())
        made.call(priority)

    assert bench(script).refused == [(priority.name, 0.0)]


def test_a_call_that_was_granted_a_slot_does_not_start_after_the_end():
    async def script(made: Bench) -> None:
        made.stop("first")
        made.stop("second")
        await asyncio.sleep(0.5)
        asyncio.get_running_loop().call_later(0.5, made.cutoff.cancel, reason())

    assert "second" not in bench(lambda made: script(made)).order


def test_a_call_whose_task_is_cancelled_gives_its_place_to_the_next():
    async def script(made: Bench) -> None:
        made.stop("first", 10.0)
        await asyncio.sleep(1)
        waiting = asyncio.ensure_future(made._call(Priority.STOP, "cancelled", 0.0, 1.0))
        await asyncio.sleep(1)
        made.stop("next")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    assert bench(lambda made: script(made)).began == [("first", 0.0), ("next", 10.0)]


def test_a_call_waits_in_its_slot_for_a_token():
    async def late() -> None:
        await asyncio.sleep(5)

    def script(made: Bench) -> None:
        made.tenant.token = late
        made.stop("stop")

    assert bench(script).began == [("stop", 5.0)]


def test_a_call_without_a_token_leaves_its_slot_free():
    async def no_token() -> None:
        raise CredentialsRefused("No.")

    async def script(made: Bench) -> None:
        made.tenant.token = no_token
        with pytest.raises(CredentialsRefused):
            await made._call(Priority.STOP, "without", 0.0, 1.0)
        made.tenant.token = None
        made.stop("with")

    assert bench(lambda made: script(made)).order == ["with"]


def test_a_call_that_waits_for_a_token_is_refused_at_the_end():
    async def late() -> None:
        await asyncio.sleep(5)

    async def script(made: Bench) -> None:
        made.tenant.token = late
        made.stop("stop")
        await asyncio.sleep(3)
        made.cutoff.cancel(reason())

    assert bench(lambda made: script(made)).refused == [("stop", 3.0)]


def test_few_connections_serve_calls_that_take_no_time():
    def script(made: Bench) -> None:
        for n in range(100):
            made.stop(str(n), seconds=0)

    made = bench(script, slots=40)
    assert len(made.ended) == 100
    assert made.most_running < 20


def test_tenants_with_one_ramp_open_connections_in_turn():
    async def main() -> list[str]:
        ramp = Ramp()
        began: list[tuple[str, float]] = []
        async with anyio.create_task_group() as tasks:
            benches = {name: Bench(3, tasks, ramp) for name in "ab"}
            for made in benches.values():
                made.began = began
            for name, made in benches.items():
                for _ in range(3):
                    made.stop(name)
            await asyncio.sleep(10)
            tasks.cancel_scope.cancel()
        return [name for name, _ in began]

    assert virtually(main()) == ["a", "b", "a", "b", "a", "b"]
