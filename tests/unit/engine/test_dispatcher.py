"""The lanes and the workers, with jobs that only say when they ran."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import pytest
from anyio.abc import TaskGroup
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.clock import Clock
from orchestrator.engine.dispatcher import Dispatcher, Job, Ramp
from orchestrator.model import Answered, Limits
from orchestrator.pacing.pacer import Pacer
from tests.simulation.virtual import now, virtually


class Slots:
    """As many as it is told."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.others: float | None = None

    def answered(self, now: float, in_flight: int, answer: Answered) -> None:
        """What an answer tells changes nothing here."""

    def paused(self) -> None:
        """Nor does a pause."""


class Bench:
    """A dispatcher with ``slots`` slots, in virtual time, and what its jobs did."""

    def __init__(self, slots: int, workers: TaskGroup) -> None:
        clock = Clock(now)
        self.workers = workers
        self.slots = Slots(slots)
        self.pacer = Pacer(self.slots, 0.0)
        self.dispatcher = Dispatcher(self.pacer, clock, Ramp())
        self.began: list[tuple[str, float]] = []
        self.ended: list[tuple[str, float]] = []
        self.running = self.most_running = 0

    @property
    def order(self) -> list[str]:
        return [name for name, _ in self.began]

    def job(self, name: str, seconds: float = 1.0, after: Callable[[], Awaitable[None]] | None = None) -> Job:
        async def job() -> Awaitable[None] | None:
            self.began.append((name, round(now(), 6)))
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            await asyncio.sleep(seconds)
            self.running -= 1
            self.ended.append((name, round(now(), 6)))
            return None if after is None else after()

        return job

    def stop(
        self, name: str, seconds: float = 1.0, after: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self.dispatcher.lanes.stops.append(self.job(name, seconds, after))

    def result(self, name: str, due: float = 0.0) -> None:
        self.dispatcher.lanes.results.push(due, self.job(name))


def bench(script: Callable[[Bench], Awaitable[None] | None], slots: int = 1, seconds: float = 100.0) -> Bench:
    """Lets ``script`` put jobs into the lanes, starts, and looks on for ``seconds``."""

    async def main() -> Bench:
        async with anyio.create_task_group() as workers:
            made = Bench(slots, workers)
            waiting = script(made)
            made.dispatcher.start(workers)
            if waiting is not None:
                await waiting
            await asyncio.sleep(seconds)
            workers.cancel_scope.cancel()
        return made

    return virtually(main())


def test_a_stop_leaves_before_a_guard_and_a_guard_before_a_result():
    def script(made: Bench) -> None:
        made.result("result")
        made.dispatcher.lanes.guards.append(made.job("guard"))
        made.stop("stop")

    assert bench(script).order == ["stop", "guard", "result"]


def test_jobs_of_one_lane_leave_in_the_order_they_came():
    def script(made: Bench) -> None:
        for name in "abc":
            made.stop(name)

    assert bench(script).order == ["a", "b", "c"]


def test_results_leave_when_they_are_due_the_earliest_first():
    def script(made: Bench) -> None:
        made.result("late", 9.0)
        made.result("early", 4.0)

    assert bench(script).began == [("early", 4.0), ("late", 9.0)]


def test_a_stop_that_is_due_again_leaves_before_what_came_meanwhile():
    async def script(made: Bench) -> None:
        made.dispatcher.lanes.again(5.0, made.job("again"))
        await asyncio.sleep(4.5)
        made.result("result", 4.5)
        made.result("another", 4.6)
        made.dispatcher.kick()

    assert bench(lambda made: script(made)).order == ["result", "again", "another"]


def test_a_job_that_waits_for_its_time_holds_no_slot():
    def script(made: Bench) -> None:
        made.dispatcher.lanes.again(50.0, made.job("later"))
        made.stop("now")

    assert bench(script).began == [("now", 0.0), ("later", 50.0)]


def test_no_result_leaves_while_stops_are_coming():
    coming = True

    async def script(made: Bench) -> None:
        nonlocal coming
        made.dispatcher.watch(lambda: coming, lambda: None)
        made.result("result")
        made.dispatcher.kick()
        await asyncio.sleep(7)
        coming = False
        made.dispatcher.kick()

    assert bench(lambda made: script(made)).began == [("result", 7.0)]


@given(st.integers(1, 8), st.lists(st.floats(0.1, 5.0), min_size=1, max_size=30))
def test_never_more_jobs_run_than_there_are_slots_and_never_fewer_than_can(slots, lengths):
    def script(made: Bench) -> None:
        for n, seconds in enumerate(lengths):
            made.stop(str(n), seconds)

    assert bench(script, slots, seconds=1_000).most_running == min(slots, len(lengths))


@given(st.integers(1, 8), st.integers(1, 40))
def test_no_slot_is_idle_while_a_job_waits(slots, jobs):
    def script(made: Bench) -> None:
        for n in range(jobs):
            made.stop(str(n))

    assert bench(script, slots).ended[-1][1] == -(-jobs // slots)


def test_what_follows_a_job_is_awaited_without_a_slot():
    async def slowly() -> None:
        await asyncio.sleep(30)

    def script(made: Bench) -> None:
        made.stop("first", after=slowly)
        made.stop("second")

    assert bench(script).began == [("first", 0.0), ("second", 1.0)]


def test_a_job_counts_as_active_until_what_follows_it_is_over():
    async def slowly() -> None:
        await asyncio.sleep(30)

    seen: list[int] = []

    async def script(made: Bench) -> None:
        made.stop("first", after=slowly)
        made.dispatcher.kick()
        await asyncio.sleep(15)
        seen.append(made.dispatcher.active)
        await asyncio.sleep(30)
        seen.append(made.dispatcher.active)

    bench(lambda made: script(made))
    assert seen == [1, 0]


def test_nothing_leaves_while_the_gate_is_closed():
    def script(made: Bench) -> None:
        made.pacer.answered(Answered(Limits(), 429, False, 20.0, 0.1), now())
        made.stop("stop")

    assert bench(script).began == [("stop", 20.0)]


def test_a_raised_limit_is_used_at_once_when_it_is_told():
    async def script(made: Bench) -> None:
        for n in range(4):
            made.stop(str(n), 10.0)
        made.dispatcher.kick()
        await asyncio.sleep(3)
        made.slots.limit = 4
        made.dispatcher.kick()

    assert [at for _, at in bench(lambda made: script(made), slots=1).began] == [0.0, 3.0, 3.0, 3.0]


def test_a_lowered_limit_lets_what_runs_come_to_its_end_before_more_leaves():
    async def script(made: Bench) -> None:
        for n in range(6):
            made.stop(str(n), 10.0)
        made.dispatcher.kick()
        await asyncio.sleep(3)
        made.slots.limit = 1

    assert [at for _, at in bench(lambda made: script(made), slots=3).began] == [
        0.0,
        0.0,
        0.0,
        10.0,
        20.0,
        30.0,
    ]


def test_nothing_leaves_once_it_is_closed():
    async def script(made: Bench) -> None:
        for n in range(4):
            made.stop(str(n))
        made.result("result", 9.0)
        made.dispatcher.kick()
        await asyncio.sleep(1.5)
        made.dispatcher.close()

    assert bench(lambda made: script(made)).order == ["0", "1"]


def test_what_is_under_way_when_it_is_closed_comes_to_its_end():
    async def script(made: Bench) -> None:
        made.stop("under way", 10.0)
        made.dispatcher.kick()
        await asyncio.sleep(1)
        made.dispatcher.close()
        await made.dispatcher.quiet()
        assert made.ended == [("under way", 10.0)]

    bench(lambda made: script(made))


def test_it_is_quiet_at_once_where_nothing_is_under_way():
    async def script(made: Bench) -> None:
        made.dispatcher.close()
        await made.dispatcher.quiet()
        assert now() == 0.0

    bench(lambda made: script(made))


def test_it_is_not_quiet_before_what_follows_a_job_is_over():
    async def slowly() -> None:
        await asyncio.sleep(30)

    async def script(made: Bench) -> None:
        made.stop("stop", after=slowly)
        made.dispatcher.kick()
        await asyncio.sleep(0.5)
        made.dispatcher.close()
        await made.dispatcher.quiet()
        assert now() == pytest.approx(31.0)

    bench(lambda made: script(made))


def test_results_go_on_once_the_stops_are_closed():
    async def script(made: Bench) -> None:
        made.stop("stop")
        made.dispatcher.lanes.guards.append(made.job("guard"))
        made.dispatcher.lanes.again(5.0, made.job("again"))
        made.result("result", 3.0)
        made.dispatcher.lanes.close_stops()
        made.dispatcher.kick()

    async def main() -> Bench:
        async with anyio.create_task_group() as workers:
            made = Bench(1, workers)
            await script(made)
            made.dispatcher.start(workers)
            await asyncio.sleep(50)
            workers.cancel_scope.cancel()
        return made

    assert virtually(main()).order == ["result"]


def test_each_leaving_is_told_and_each_end_that_no_leaving_follows():
    active: list[int] = []

    def script(made: Bench) -> None:
        made.dispatcher.watch(lambda: False, lambda: active.append(made.dispatcher.active))
        for name in "abc":
            made.stop(name)

    bench(script)
    assert active == [1, 1, 1, 0]


def test_there_are_no_more_workers_than_slots():
    tasks: list[int] = []

    async def script(made: Bench) -> None:
        before = len(asyncio.all_tasks())
        for n in range(50):
            made.stop(str(n))
        made.dispatcher.kick()
        await asyncio.sleep(5.5)
        tasks.append(len(asyncio.all_tasks()) - before)

    bench(lambda made: script(made), slots=3)
    assert tasks == [3]


def test_a_worker_that_was_idle_takes_the_next_job():
    async def script(made: Bench) -> None:
        made.stop("first")
        made.dispatcher.kick()
        await asyncio.sleep(10)
        made.stop("second")
        made.dispatcher.kick()

    assert bench(lambda made: script(made)).began == [("first", 0.0), ("second", 10.0)]


def test_where_jobs_take_no_time_few_workers_do_them_all():
    def script(made: Bench) -> None:
        for n in range(100):
            made.stop(str(n), seconds=0)

    made = bench(script, slots=40)
    assert len(made.ended) == 100
    assert made.most_running < 20


def test_dispatchers_with_one_ramp_begin_in_turn():
    began: list[str] = []

    async def main() -> None:
        ramp = Ramp()
        async with anyio.create_task_group() as workers:
            for name in "ab":
                dispatcher = Dispatcher(Pacer(Slots(3), 0.0), Clock(now), ramp)
                for _ in range(3):
                    dispatcher.lanes.stops.append(partial(note, name))
                dispatcher.start(workers)
            await asyncio.sleep(10)
            workers.cancel_scope.cancel()

    async def note(name: str) -> None:
        began.append(name)
        await asyncio.sleep(1)

    virtually(main())
    assert began == ["a", "b", "a", "b", "a", "b"]
