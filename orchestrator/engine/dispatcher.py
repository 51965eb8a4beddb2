"""The workers: each does one job after the other, as the pacer grants slots. Which job is next, the lanes say."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from math import inf

from anyio.abc import TaskGroup

from orchestrator.clock import Clock
from orchestrator.engine.lanes import Lanes
from orchestrator.pacing.pacer import Pacer

Job = Callable[[], Awaitable[Awaitable[None] | None]]
"""One call. It holds a slot until it returns; what it returns, if anything, is awaited without one."""


class Ramp:
    """Lets new workers begin: one a pass of the loop, in the order they were asked for.

    A new worker means a new connection, which costs as much as a whole call. Where answers come as fast as this process
    can take them, the next call finds a connection that is free again and needs no other; where they take their time,
    all slots are in use some passes later. One for all tenants of a process: it is the process that is short of time.
    """

    def __init__(self) -> None:
        self._asking: deque[Callable[[], None]] = deque()

    def ask(self, begin: Callable[[], None]) -> None:
        """Calls ``begin`` in a later pass."""
        self._asking.append(begin)
        if len(self._asking) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        begin = self._asking.popleft()
        if self._asking:
            asyncio.get_running_loop().call_soon(self._next)
        begin()


class Dispatcher:
    """Hands jobs to workers as the pacer grants slots. A job that waits for its time holds none."""

    def __init__(self, pacer: Pacer, clock: Clock, ramp: Ramp) -> None:
        self.lanes: Lanes[Job] = Lanes()
        self.active = 0
        self._pacer = pacer
        self._clock = clock
        self._ramp = ramp
        self._growing = False
        self._stops_are_coming: Callable[[], bool] = lambda: False
        self._on_change: Callable[[], None] = lambda: None
        self._idle: deque[asyncio.Future[Job]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._workers: TaskGroup | None = None
        self.closed = False
        self._quiet: asyncio.Event = asyncio.Event()

    def watch(self, stops_are_coming: Callable[[], bool], on_change: Callable[[], None]) -> None:
        """``stops_are_coming`` says whether stops are known that are not in their lane yet: results wait for them too.

        ``on_change`` is told whenever a job has left its lane, or has come to its end and no other follows it.
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
        if self._workers is None or self._pacer.full:
            return
        while self._free() and (job := self._take()) is not None:
            self._idle.popleft().set_result(job)
        if not (self._idle or self._growing or self._pacer.full):
            self._growing = True
            self._ramp.ask(self._grow)

    def _grow(self) -> None:
        self._growing = False
        if self._free():
            self.kick()
        elif self._workers is not None and (job := self._take()) is not None:
            self._workers.start_soon(self._work, job)
            self.kick()

    def _free(self) -> bool:
        """Whether a worker waits for a job."""
        while self._idle and self._idle[0].done():  # it was cancelled
            del self._idle[0]
        return bool(self._idle)

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
                if (job := self._take()) is not None:
                    self.kick()
                else:
                    self._on_change()
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

    def _ask_again(self, now: float, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if now < at < inf:
            self._timer = asyncio.get_running_loop().call_later(at - now, self.kick)
