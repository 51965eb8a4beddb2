"""The workers: each does one job after the other, as the pacer grants slots. Which job is next, the lanes say."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from anyio.abc import TaskGroup

from orchestrator.clock import Clock
from orchestrator.engine.lanes import Lanes
from orchestrator.pacing.pacer import Pacer

Job = Callable[[], Awaitable[Awaitable[None] | None]]
"""One call. It holds a slot until it returns; what it returns, if anything, is awaited without one."""


class Dispatcher:
    """Hands jobs to workers as the pacer grants slots. A job that waits for its time holds none."""

    def __init__(self, pacer: Pacer, clock: Clock) -> None:
        self.lanes: Lanes[Job] = Lanes()
        self.active = 0
        self._pacer = pacer
        self._clock = clock
        self._stops_are_coming: Callable[[], bool] = lambda: False
        self._on_change: Callable[[], None] = lambda: None
        self._idle: deque[asyncio.Future[Job]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._workers: TaskGroup | None = None
        self.closed = False
        self._quiet: asyncio.Event = asyncio.Event()

    def watch(self, stops_are_coming: Callable[[], bool], on_change: Callable[[], None]) -> None:
        """``stops_are_coming`` says whether stops are known that are not in their lane yet: results wait for them too.

        ``on_change`` is told whenever a job has left its lane or has come to its end.
        """
        self._stops_are_coming, self._on_change = stops_are_coming, on_change

    def start(self, workers: TaskGroup) -> None:
        """Lets jobs leave; each worker is a task of ``workers``."""
        self._workers = workers
        self.kick()

    def close(self) -> None:
        """Lets no further job leave; those under way go on."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        if not self.active:
            self._quiet.set()

    async def quiet(self) -> None:
        """Returns when, after :meth:`close`, no job is under way any more."""
        await self._quiet.wait()

    def kick(self) -> None:
        """To be called after anything that may let a job leave: a new job, a freed slot, a raised limit."""
        while self._workers is not None and (job := self._take()) is not None:
            while self._idle:
                worker = self._idle.popleft()
                if not worker.done():
                    worker.set_result(job)
                    break
            else:
                self._workers.start_soon(self._work, job)

    async def _work(self, job: Job | None) -> None:
        while True:
            while job is not None:
                try:
                    after = await job()
                finally:
                    self._pacer.release()
                if after is not None:
                    self.kick()
                    await after
                self.active -= 1
                self._on_change()
                job = self._take()
                self.kick()
            if self.closed and not self.active:
                self._quiet.set()
            waiting: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
            self._idle.append(waiting)
            job = await waiting

    def _take(self) -> Job | None:
        """The job that may leave now, with its slot taken; or None, with the timer set for when to ask again."""
        if self.closed:
            return None
        now = self._clock.now()
        opens_at = self._pacer.opens_at(now)
        if opens_at is None:
            return None
        take = self.lanes.next(now, self._stops_are_coming, probing=self._pacer.circuit.open)
        if take is None:
            self._ask_again(now, self.lanes.due())
            return None
        if opens_at > now:
            self._ask_again(now, opens_at)
            return None
        self._pacer.take(now)
        self.active += 1
        job = take()
        self._on_change()
        return job

    def _ask_again(self, now: float, at: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None and at > now:
            self._timer = asyncio.get_running_loop().call_later(at - now, self.kick)
