"""The only way to a call: ``async with gate.slot(priority)``. Queue, pacing, token and closing behind one interface."""

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf
from types import TracebackType

from orchestrator.clock import Clock
from orchestrator.engine.backlog import Backlog
from orchestrator.engine.cutoff import Cutoff
from orchestrator.engine.outage import Outage
from orchestrator.engine.pace import Pace
from orchestrator.engine.ports import Tenant
from orchestrator.engine.queue import Priority, PriorityQueue
from orchestrator.errors import CallError

LEAST_CLAIMED = 16
"""Stops that are claimed ahead at least, however few slots there are."""

MOST_RETRIES_WAITING = 10_000
"""Retried stops in memory. While there are so many, no new key is claimed."""

DOWNLOAD_SHARE = 0.9
"""The share of the slots that downloads may take while a stop may still come."""


class Closed(Exception):
    """The call must not start: the run ends early."""


class Ramp:
    """Opens new connections one at a time: one in each pass of the event loop, in the order of the requests.

    A new connection costs as much as a call. If responses come as fast as this process handles them, the next call
    finds a free connection. If they take longer, all slots are in use a few passes later. One ramp serves all tenants
    of a process, because they share its CPU.
    """

    def __init__(self) -> None:
        self._asking: deque[Callable[[], None]] = deque()

    def ask(self, begin: Callable[[], None]) -> None:
        """Call ``begin`` in a later pass."""
        self._asking.append(begin)
        if len(self._asking) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        begin = self._asking.popleft()
        if self._asking:
            asyncio.get_running_loop().call_soon(self._next)
        begin()


class Preempted(Exception):
    """The download was cancelled because a stop needs its slot. It is to be repeated."""


class Slot:
    """One call's place among the calls in flight, as a context manager. See :meth:`Gate.slot`."""

    __slots__ = ("_call", "_due", "_gate", "_preempted", "_priority", "_task")

    def __init__(self, gate: "Gate", priority: Priority, due: float) -> None:
        self._gate = gate
        self._priority = priority
        self._due = due
        self._call = 0
        self._preempted = False

    async def __aenter__(self) -> None:
        self._call = await self._gate.acquire(self._priority, self._due)
        if self._priority is Priority.FILE:
            self._task = asyncio.current_task()
            self._gate.downloads[self] = None
            self._gate.pump()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._priority is Priority.FILE:
            del self._gate.downloads[self]
            if self._preempted and self._task is not None:
                self._gate.release(self._call)
                if self._task.uncancel() == 0 and kind is asyncio.CancelledError:
                    raise Preempted from error
                return
        self._gate.release(self._call, cancelled=kind is asyncio.CancelledError)

    def preempt(self) -> None:
        """Cancel the download in this slot."""
        if not self._preempted and self._task is not None:
            self._preempted = True
            self._task.cancel()


class Gate:
    """Decides when the next call to one tenant starts, and which one it is.

    Args:
        pace: how many calls may be in flight, and when the next one may start.
        outage: learns that no token comes.
        backlog: says whether more stops are about to be queued; results wait for those as well.
        cutoff: closes the gate for stops or for all calls.
        clock: the session's time.
        ramp: opens connections, shared by all tenants of the process.
        tenant: gets the token that every call needs.
        hold_results: whether polls and files wait for stops of other tenants.
    """

    def __init__(
        self,
        pace: Pace,
        outage: Outage,
        backlog: Backlog,
        cutoff: Cutoff,
        clock: Clock,
        ramp: Ramp,
        tenant: Tenant,
        hold_results: Callable[[], bool] = lambda: False,
    ) -> None:
        self.in_flight = 0
        self.downloads: dict[Slot, None] = {}
        self._pace = pace
        self._pacer = pace.pacer
        self._outage = outage
        self._backlog = backlog
        self._cutoff = cutoff
        self._clock = clock
        self._ramp = ramp
        self._tenant = tenant
        self._hold_results = hold_results
        self._queue: PriorityQueue[asyncio.Future[int]] = PriorityQueue()
        self._waiting_files: set[asyncio.Future[int]] = set()
        self._files: set[int] = set()  # the slots that downloads were given
        self._closed: frozenset[Priority] = frozenset()
        self._connections = 0
        self._growing = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        cutoff.subscribe(self._close)
        self._close()

    def slot(self, priority: Priority, due: float = 0.0) -> Slot:
        """A slot for one call, held until the ``async with`` block ends.

        Entering waits until ``due``, then for calls of higher priority, then for the tenant's limits, then for a token.
        It raises :class:`Closed` as soon as calls of this priority may not start any more, and TenantError without a
        token. The block of a download raises :class:`Preempted` if a stop needs its slot.
        """
        return Slot(self, priority, due)

    def check(self, priority: Priority) -> None:
        """Raise :class:`Closed` if calls of ``priority`` may not start any more."""
        if priority in self._closed:
            raise Closed

    async def acquire(self, priority: Priority, due: float) -> int:
        """Enter a slot. Return the number to leave it with. Use :meth:`slot` instead."""
        while True:
            self.check(priority)
            call = await self._granted(priority, due)
            try:
                self.check(priority)
                if not self._tenant.has_token:
                    await self._tenant.authenticate()
                    self.check(priority)
            except CallError as error:  # no token came; the call goes back into the queue
                self._outage.failed(error, self._clock.now())
                self._free(call)
                due = 0.0
            except BaseException:
                self._free(call)
                raise
            else:
                break
        if priority is Priority.STOP:
            self._queue.budget.earn()
        self.in_flight += 1
        self._claim_more()
        return call

    async def _granted(self, priority: Priority, due: float) -> int:
        granted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if priority is Priority.FILE:
            self._waiting_files.add(granted)
        self._queue.push(priority, granted, due)
        self.pump()
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                self._free(granted.result())
            raise

    def release(self, call: int, *, cancelled: bool = False) -> None:
        """Leave a slot. ``cancelled``: the tenant may still work on the call. Use :meth:`slot` instead."""
        self.in_flight -= 1
        self._free(call, cancelled=cancelled)
        self._pace.moved(self._clock.now())

    def pump(self) -> None:
        """Grant slots to waiting calls. Needed after anything that may let a call start."""
        pacer = self._pacer
        while pacer.in_flight < self._connections and self._grant():
            pass
        if pacer.full:
            if self.downloads:
                self._make_room()
        elif not self._growing and pacer.in_flight >= self._connections:
            self._growing = True
            self._ramp.ask(self._grow)

    @property
    def claimable(self) -> int:
        """How many more keys to claim: up to three times the slots, so that no stop waits for the disk."""
        ready, most = self._queue.ready, self._pacer.limit
        if most < LEAST_CLAIMED:
            most = LEAST_CLAIMED
        return 0 if ready >= most or self._full else 3 * most - ready

    @property
    def stalled(self) -> bool:
        """Whether all calls in flight hang, apart from downloads, which may take minutes."""
        return self._pacer.stalled(self._clock.now(), downloads=len(self._files))

    @property
    def sending(self) -> bool:
        """Whether stops wait to be sent."""
        return self._stops_are_coming or bool(self._queue.stops)

    @property
    def results_wait(self) -> bool:
        """Whether polls and files wait for stops that are not queued yet."""
        return self._stops_are_coming or self._hold_results()

    @property
    def _stops_are_coming(self) -> bool:
        backlog = self._backlog
        return self._cutoff.sending and (backlog.claiming or backlog.waiting > 0) and not self._full

    @property
    def _full(self) -> bool:
        return self._queue.retries >= MOST_RETRIES_WAITING

    def _claim_more(self) -> None:
        if self._backlog.waiting and self.claimable:
            self._backlog.changed.set()

    def _free(self, call: int, *, cancelled: bool = False) -> None:
        self._files.discard(call)
        if cancelled:
            self._pacer.abandon(call, self._clock.now())
        else:
            self._pacer.release(call)
        self.pump()

    def _grow(self) -> None:
        self._growing = False
        if self._pacer.in_flight < self._connections:
            self.pump()
        elif self._grant():
            self._connections += 1
            self.pump()

    def _grant(self) -> bool:
        """Give a slot to the next call. Return False, with the timer set, if none may start now."""
        now = self._clock.now()
        opens_at = self._pacer.opens_at(now)
        if opens_at is None:  # every slot is taken; the next release asks again
            return False
        if opens_at > now:
            self._pump_at(now, opens_at)
            return False
        granted = self._next(now)
        if granted is None:
            self._claim_more()  # the stops that were queued may all have been cancelled
            self._pump_at(now, self._queue.due(now))
            return False
        call = self._pacer.take(now)
        if self._waiting_files and granted in self._waiting_files:
            self._waiting_files.discard(granted)
            self._files.add(call)
        granted.set_result(call)
        self._pace.moved(now)
        return True

    def _next(self, now: float) -> "asyncio.Future[int] | None":
        """The next call that still waits. A cancelled one is dropped."""
        probing = self._pacer.circuit.open
        while (waiting := self._queue.pop(now, self._results_wait, self._files_wait, probing)) is not None:
            if not waiting.done():
                return waiting
            self._waiting_files.discard(waiting)
        return None

    def _results_wait(self) -> bool:
        return self.results_wait

    def _files_wait(self) -> bool:
        """While a stop may still come, downloads leave a tenth of the slots to it."""
        most = max(1, int(self._pacer.limit * DOWNLOAD_SHARE))
        return len(self._files) >= most and self._cutoff.sending and self._backlog.stops_may_come

    def _make_room(self) -> None:
        """If all calls in flight are downloads, and a stop is due, cancel the download that started last."""
        if not self.downloads or len(self.downloads) < self._pacer.in_flight:
            return
        now, due = self._clock.now(), self._queue.stop_due()
        if due <= now:
            next(reversed(self.downloads)).preempt()
        else:
            self._pump_at(now, due)

    def _pump_at(self, now: float, at: float) -> None:
        if self._timer is not None:
            if now < at == self._timer_at:
                return
            self._timer.cancel()
            self._timer = None
        if now < at < inf:
            self._timer_at = at
            self._timer = asyncio.get_running_loop().call_later(at - now, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self.pump()

    def _close(self) -> None:
        """The run ends early: refuse the calls that may not start any more."""
        refused: list[asyncio.Future[int]] = []
        if self._cutoff.cancelled_by is not None:
            self._closed = frozenset(Priority)
            refused = self._queue.drain()
            if self._timer is not None:
                self._timer.cancel()
        elif self._cutoff.confirming:
            self._closed = frozenset(Priority) - {Priority.POLL}
            refused = self._queue.drain()
        elif not self._cutoff.sending:
            self._closed = frozenset(priority for priority in Priority if priority <= Priority.RETRY)
            refused = self._queue.drain_stops()
        for waiting in refused:
            if not waiting.done():
                waiting.set_exception(Closed)
            self._waiting_files.discard(waiting)
        self._backlog.changed.set()
