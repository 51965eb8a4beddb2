"""The only way to a call about an action: ``async with gate.slot(priority)``.

Queue, pacing, token and closing are behind this one interface.
"""

import asyncio
from collections.abc import Callable, Coroutine
from math import inf
from types import TracebackType
from typing import Any

from msgspec import Struct

from orchestrator.clock import Clock
from orchestrator.engine.backlog import Backlog
from orchestrator.engine.cutoff import Cutoff
from orchestrator.engine.outage import Outage
from orchestrator.engine.pace import Pace
from orchestrator.engine.ports import Tenant
from orchestrator.engine.queue import BEFORE_ACCEPTED, FILE, STOP, Priority, PriorityQueue
from orchestrator.engine.ramp import Ramp
from orchestrator.errors import CallError

LEAST_CLAIMED = 16
"""Stops that are ready at least before no more are claimed, with however few slots."""

MOST_RETRIES_WAITING = 10_000
"""Retried stops in memory. While there are so many, no new key is claimed."""

DOWNLOAD_SHARE = 0.9
"""The share of the slots that downloads may take while a stop may still come."""


class Closed(Exception):
    """The call must not start: the run ends early."""


class Preempted(Exception):
    """The download was cancelled because a stop needs its slot, or because the run ends. It is to be repeated."""


class Slot(Struct, eq=False):
    """One call's place among the calls in flight, as a context manager. See :meth:`Gate.slot`.

    Attributes:
        gate: grants the slot.
        priority: what the call is for.
        due: when the call may start at the earliest.
        granted: done as soon as the call may start.
        number: the call's number in the pacer, 0 while it has no slot.
        task: of a download, the task to cancel.
        preempted: this download is cancelled.
    """

    gate: "Gate"
    priority: Priority
    due: float
    granted: "asyncio.Future[None]"
    number: int = 0
    task: "asyncio.Task[object] | None" = None
    preempted: bool = False

    def __aenter__(self) -> Coroutine[Any, Any, None]:
        return self.gate.enter(self)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        cancelled = kind is asyncio.CancelledError
        self.gate.leave(self, cancelled=cancelled and not self.preempted)
        if self.preempted and self.task is not None:
            # preempt() cancelled the task once. A further cancellation is meant for the caller.
            others = self.task.uncancel()
            if cancelled and not others:
                raise Preempted from error

    def preempt(self) -> None:
        """Cancel the download in this slot."""
        if not self.preempted and self.task is not None:
            self.preempted = True
            self.task.cancel()


class Gate:
    """Decides when the next call to one tenant starts, and which one it is.

    Args:
        pace: its pacer decides how many calls may be in flight, and when the next one may start.
        outage: learns that no token comes.
        backlog: shows whether keys are about to be claimed. Polls and files wait for their stops.
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
        self._pace = pace
        self._pacer = pace.pacer
        self._outage = outage
        self._backlog = backlog
        self._cutoff = cutoff
        self._clock = clock
        self._ramp = ramp
        self._loop = asyncio.get_running_loop()
        self._tenant = tenant
        self._hold_results = hold_results
        self._queue: PriorityQueue[Slot] = PriorityQueue()
        self._files = 0  # slots that downloads have
        self._downloads: dict[Slot, None] = {}  # those of them that have started
        self._all_closed = asyncio.Event()
        self._without_token: dict[Slot, asyncio.Timeout] = {}
        self._closed: frozenset[Priority] = frozenset()
        self._connections = 0
        self._growing = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        cutoff.subscribe(self._apply_cutoff)
        self._apply_cutoff()

    def slot(self, priority: Priority, due: float = 0.0) -> Slot:
        """A slot for one call, held until the ``async with`` block ends.

        Entering waits until ``due``, then for its turn (:meth:`PriorityQueue.pop`), then for the tenant's limits, then
        for a token. It raises :class:`Closed` as soon as calls of this priority may not start any more, and TenantError
        without a token. The block of a download raises :class:`Preempted` if a stop needs its slot, or the run has
        ended.
        """
        return Slot(self, priority, due, self._loop.create_future())

    def check(self, priority: Priority) -> None:
        """Raise :class:`Closed` if calls of ``priority`` may not start any more."""
        if priority in self._closed:
            raise Closed

    async def enter(self, slot: Slot) -> None:
        """Wait until the call of ``slot`` may start. Use :meth:`slot` instead."""
        while True:
            self.check(slot.priority)
            self._queue.push(slot.priority, slot, slot.due)
            self.pump()
            try:
                await slot.granted
                self.check(slot.priority)
                if not self._tenant.has_token:
                    await self._await_token(slot)
                    self.check(slot.priority)
                break
            except CallError as error:  # no token came; the call goes back into the queue
                self._outage.no_token(error)
                self._free(slot)
                slot.due, slot.granted = 0.0, self._loop.create_future()
            except BaseException:
                self._free(slot)
                raise
        if slot.priority is STOP:
            self._queue.budget.earn()  # the first stop of a key
        elif slot.priority is FILE:
            slot.task = asyncio.current_task(self._loop)
            self._downloads[slot] = None
            self.pump()

    async def _await_token(self, slot: Slot) -> None:
        """Wait for a token, at most until calls of this priority may not start any more."""
        try:
            async with asyncio.timeout(None) as self._without_token[slot]:
                await self._tenant.authenticate()
        except TimeoutError:
            raise Closed from None
        finally:
            self._without_token.pop(slot, None)

    def leave(self, slot: Slot, *, cancelled: bool) -> None:
        """The call of ``slot`` ended. ``cancelled``: the tenant may still work on it. Use :meth:`slot` instead."""
        self._downloads.pop(slot, None)
        self._free(slot, cancelled=cancelled)
        self._pace.in_flight_changed(self._clock.now())

    def pump(self) -> None:
        """Grant slots to waiting calls. Needed after anything that may let a call start."""
        pacer = self._pacer
        while pacer.in_flight < self._connections and self._grant():
            pass
        if pacer.full:
            if self._downloads:
                self._make_room()
        elif pacer.in_flight >= self._connections and not self._growing:
            self._growing = True  # every connection is busy: open another
            self._ramp.ask(self._grow)

    async def end_downloads(self, timeout: float) -> None:
        """Wait until no call may start, and for ``timeout`` seconds more. Then cancel the downloads in flight."""
        await self._all_closed.wait()
        await asyncio.sleep(timeout)
        for slot in self._downloads:
            slot.preempt()

    @property
    def claimable(self) -> int:
        """How many more keys to claim: none while a stop is ready for each slot, otherwise enough for three."""
        ready, most = self._queue.ready, self._pacer.limit
        if most < LEAST_CLAIMED:
            most = LEAST_CLAIMED
        return 0 if ready >= most or self._too_many_retries else 3 * most - ready

    @property
    def stalled(self) -> bool:
        """Whether all calls in flight hang, apart from downloads, which may take minutes."""
        return self._pacer.stalled(self._clock.now(), downloads=self._files)

    @property
    def stops_wait(self) -> bool:
        """Whether stops wait to be sent, here or in the journal."""
        return self._more_to_claim or bool(self._queue.stops)

    def results_wait(self) -> bool:
        """Whether polls and files wait for stops that are not queued yet."""
        return self._more_to_claim or self._hold_results()

    @property
    def _more_to_claim(self) -> bool:
        backlog = self._backlog
        return (
            self._cutoff.stops_allowed
            and (backlog.claiming or backlog.waiting > 0)
            and not self._too_many_retries
        )

    @property
    def _too_many_retries(self) -> bool:
        return self._queue.retries >= MOST_RETRIES_WAITING

    def _claim_more(self) -> None:
        backlog = self._backlog
        if backlog.waiting and not backlog.claiming and self.claimable:
            backlog.changed.set()

    def _free(self, slot: Slot, *, cancelled: bool = False) -> None:
        """Take the slot away, if it was granted."""
        if not slot.number:
            return
        if cancelled:
            self._pacer.abandon(slot.number, self._clock.now())
        else:
            self._pacer.release(slot.number)
        slot.number = 0
        self._files -= slot.priority is FILE
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
        slot = self._next(now)
        self._claim_more()  # a stop has left the queue; or there was none, since those in it were cancelled
        if slot is None:
            self._pump_at(now, self._queue.due(now))
            return False
        slot.number = self._pacer.take(now)
        self._files += slot.priority is FILE
        slot.granted.set_result(None)
        self._pace.in_flight_changed(now)
        return True

    def _next(self, now: float) -> Slot | None:
        """The next call that still waits. A cancelled one is dropped."""
        probing = self._pacer.circuit.open
        while (slot := self._queue.pop(now, self.results_wait, self._files_wait, probing)) is not None:
            if not slot.granted.done():
                return slot
        return None

    def _files_wait(self) -> bool:
        """While a stop may still come, downloads leave a tenth of the slots to it."""
        most = max(1, int(self._pacer.limit * DOWNLOAD_SHARE))
        return self._files >= most and self._cutoff.stops_allowed and self._backlog.stops_left

    def _make_room(self) -> None:
        """If all calls in flight are downloads, and a stop is due, cancel the download that started last."""
        if len(self._downloads) < self._pacer.in_flight:
            return
        now, due = self._clock.now(), self._queue.stop_due()
        if due <= now:
            next(reversed(self._downloads)).preempt()
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
            self._timer = self._loop.call_later(at - now, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self.pump()

    def _apply_cutoff(self) -> None:
        """Refuse the calls that may not start any more, if the run ends early."""
        refused: list[Slot] = []
        if self._cutoff.cancelled_by is not None:
            self._closed = frozenset(Priority)
            self._all_closed.set()
            refused = self._queue.drain()
            if self._timer is not None:
                self._timer.cancel()
        elif self._cutoff.confirming:
            self._closed = frozenset(Priority) - {Priority.POLL}
            refused = self._queue.drain()
        elif not self._cutoff.stops_allowed:
            self._closed = BEFORE_ACCEPTED
            refused = self._queue.drain_stops()
        for slot in refused:
            if not slot.granted.done():
                slot.granted.set_exception(Closed)
        for slot in [one for one in self._without_token if one.priority in self._closed]:
            self._without_token.pop(slot).reschedule(0.0)
        self._backlog.changed.set()
