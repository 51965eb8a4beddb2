"""Hedged calls: a call that is slower than its peers is sent again, and the first conclusive response wins.

:mod:`orchestrator.pacing.hedge` decides when; this module sends, and cancels the slower send.
"""

import asyncio
from asyncio import CancelledError, Task
from collections.abc import Callable, Coroutine
from enum import IntEnum
from itertools import takewhile
from types import TracebackType
from typing import Any, Generic, TypeVar

import anyio
from msgspec import Struct

from orchestrator.clock import Clock
from orchestrator.engine.gate import Closed, Gate, Preempted
from orchestrator.engine.retry import is_final
from orchestrator.errors import CallError
from orchestrator.pacing.hedge import CallLatency, HedgeBudget, StartOrder
from orchestrator.pacing.pacer import Pacer

T = TypeVar("T")

MOST_HEDGES = 4
"""Hedges of one call."""

QUIET = 5.0
"""Seconds without hedges after the tenant refused a call for its limits."""

SHORTEST_LOOK, LONGEST_LOOK, LOOKS = 0.02, 0.25, 8
"""Seconds between two looks at the calls in flight: the delay divided by ``LOOKS``, within these bounds."""


class CallKind(IntEnum):
    """Calls of one kind are each other's peers."""

    STOP = 0
    STATUS = 1
    FILE = 2


class Failure(Struct, frozen=True):
    """A send failed. The call may be made again after ``wait`` seconds, or not at all if that is None."""

    error: CallError
    wait: float | None

    @property
    def is_conclusive(self) -> bool:
        """Whether another send would fail as well."""
        return self.wait is None and is_final(self.error.kind)


class Send:
    """One send of a call. ``with send:`` surrounds the time in which it is in flight.

    Attributes:
        origin: the slow send that this one hedges, or None.
        left: it was sent.
        in_flight: it was sent, and no response has begun.
        superseded: it is cancelled because another send was faster, or because a hedge needs its slot.
        number: its place among all calls, in the order of their start.
        started: when it was sent, in the session's seconds.
    """

    __slots__ = ("_call", "_task", "in_flight", "left", "number", "origin", "started", "superseded")

    def __init__(self, call: "_Call[Any]", origin: "Send | None" = None) -> None:
        self._call = call
        self.origin = origin
        self.number, self.started = 0, 0.0
        self.left = self.in_flight = self.superseded = False

    @property
    def is_hedge(self) -> bool:
        """Whether it hedges another send."""
        return self.origin is not None

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self.left = self.in_flight = True
        self._call.watch.started(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.in_flight:
            self.in_flight = False
            self._call.watch.ended(self)

    def responds(self) -> None:
        """The response has begun, so every other send of the call is cancelled."""
        if self.in_flight:
            self.in_flight = False
            self._call.watch.ended(self)
            self._call.supersede_others(self)

    def supersede(self) -> None:
        """Cancel this send if it is in flight."""
        if self.in_flight and not self.superseded and self._task is not None:
            self.superseded = True
            self._task.cancel()

    def hedge(self) -> bool:
        """Send the call once more. Return False if that was done already."""
        return self._call.hedge(self)

    def withdraw_hedge(self) -> None:
        """Cancel the hedge of this send, which has not left."""
        self._call.withdraw_hedge(self)


SendCall = Callable[[Send], Coroutine[Any, Any, T | Failure]]
"""Sends a call once, in a slot of its own."""


class _Watch:
    """The calls of one kind that are in flight, in the order of their start."""

    def __init__(self, hedging: "Hedging", latency: CallLatency) -> None:
        self.latency = latency
        self.calls: dict[Send, None] = {}
        self._hedging = hedging

    def started(self, send: Send) -> None:
        self.calls[send] = None
        self._hedging.started(send)

    def ended(self, send: Send) -> None:
        del self.calls[send]
        self.latency.ended(self._hedging.ended(send))

    def slow(self, now: float) -> list[Send]:
        return list(takewhile(lambda send: now - send.started >= self.latency.delay, self.calls))


class Hedging:
    """Sends the slow calls of one tenant again.

    One timer serves all calls. It looks at those in flight, the oldest first, so that a quick call costs next to
    nothing.

    Args:
        gate: says whether new stops wait for a slot.
        pacer: the tenant's pace. No call is hedged while the tenant throttles or its circuit is open.
        clock: the session's time.
        setting: the delay in seconds, 0 for no hedges, None to learn it.
    """

    def __init__(self, gate: Gate, pacer: Pacer, clock: Clock, setting: float | None) -> None:
        self.budget = HedgeBudget()
        self._gate = gate
        self._pacer = pacer
        self._now = clock.now
        self._off = setting == 0
        self._watches = [_Watch(self, CallLatency(setting)) for _ in CallKind]
        self._order = StartOrder()
        self._outliers: set[Send] = set()
        self._waiting: dict[Send, None] = {}  # slow sends whose hedge has not left
        self._timer: asyncio.TimerHandle | None = None

    async def first_accepted(
        self,
        kind: CallKind,
        send: SendCall[T],
        hedge: SendCall[T] | None = None,
    ) -> T | Failure:
        """Make a call with ``send``, and again with ``hedge`` while it is slow.

        Returns:
            The first success or conclusive failure, otherwise the last failure.

        Raises:
            Closed: the first send was cancelled for its slot, and no hedge may start any more.
        """
        return await _Call(self, self._watches[kind], send, hedge or send).result()

    def started(self, send: Send) -> None:
        """A send leaves now."""
        send.started, send.number = self._now(), self._order.start()
        if send.origin is None:
            self.budget.calls += 1
        else:
            self._waiting.pop(send.origin, None)
        if self._timer is None and not self._off:
            self._look_again()

    def ended(self, send: Send) -> float:
        """The response of a send has begun, or it failed. Return how many seconds it took."""
        self._order.ended(send.number)
        if self._outliers:
            self._outliers.discard(send)
            self._waiting.pop(send, None)
        return self._now() - send.started

    def hedge_ended(self, hedge: Send) -> None:
        """A hedge is over. If it was never sent, it does not count."""
        if not hedge.left:
            self.budget.hedges -= 1
            if hedge.origin is not None:
                self._waiting.pop(hedge.origin, None)

    def _look_again(self) -> None:
        delay = min(watch.latency.delay for watch in self._watches if watch.calls)
        seconds = max(SHORTEST_LOOK, min(delay / LOOKS, LONGEST_LOOK))
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self._now()
        in_flight = len(self._order)
        if self._is_troubled(now):
            for send in list(self._waiting):
                send.withdraw_hedge()
        stops_wait = self._gate.sending
        slow = [(send, watch.latency) for watch in self._watches for send in watch.slow(now)]
        for send, latency in slow:
            age = now - send.started
            if send not in self._outliers and latency.is_outlier(age):
                self._outliers.add(send)
                self.budget.outliers += 1
            overtaken = self._order.is_overtaken(send.number)
            if latency.is_due(
                age, overtaken=overtaken, slow=len(slow), in_flight=in_flight, stops_wait=stops_wait
            ):
                self._hedge(send, now)
        if in_flight:
            self._look_again()

    def _is_troubled(self, now: float) -> bool:
        """Whether another call would only add to the tenant's load."""
        pacer = self._pacer
        return pacer.circuit.open or pacer.closed_until > now or now - pacer.throttled_at < QUIET

    def _hedge(self, send: Send, now: float) -> None:
        if self.budget.left <= 0 or self._is_troubled(now) or not send.hedge():
            return
        self.budget.hedges += 1
        self._outliers.add(send)
        self._waiting[send] = None
        # A hedge needs a slot, and so do other calls. Slow calls must not take all of them.
        while len(self._waiting) * 2 >= self._pacer.limit:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.supersede()


class _Call(Generic[T]):
    """A call: the first send runs in the caller's task, each hedge in a task of its own."""

    def __init__(
        self,
        hedging: Hedging,
        watch: _Watch,
        send: SendCall[T],
        hedge: SendCall[T],
    ) -> None:
        self.watch = watch
        self._hedging = hedging
        self._send = send
        self._send_hedge = hedge
        self._first = Send(self)
        self._hedges: dict[Task[T | Failure], Send] = {}
        self._hedged: set[Send] = set()

    async def result(self) -> T | Failure:
        """Send the call. Return the first conclusive result, otherwise the last failure."""
        failure: Failure | None = None
        first = self._first
        try:
            try:
                result = await self._send(first)
                if not self._hedges or not isinstance(result, Failure) or result.is_conclusive:
                    return result
                failure = result
                self._cancel_unsent()
            except CancelledError:
                # Two cancellations: the caller is cancelled as well.
                task = asyncio.current_task()
                if not first.superseded or (task is not None and task.cancelling() > 1):
                    raise
            finally:
                if first.superseded and (task := asyncio.current_task()) is not None:
                    task.uncancel()
            return await self._result_of_hedges(failure)
        finally:
            if self._hedges:
                await self._cancel_hedges()

    def hedge(self, origin: Send) -> bool:
        """Send the call once more because ``origin`` is slow. Return False if that was done already."""
        if origin in self._hedged or len(self._hedged) >= MOST_HEDGES:
            return False
        self._hedged.add(origin)
        send = Send(self, origin)
        task = asyncio.create_task(self._send_hedge(send))
        self._hedges[task] = send
        task.add_done_callback(self._hedge_ended)
        return True

    def withdraw_hedge(self, origin: Send) -> None:
        """Cancel the hedge of ``origin`` unless it has left. ``origin`` may be hedged again."""
        for task, send in self._hedges.items():
            if send.origin is origin and not send.left:
                self._hedged.discard(origin)
                task.cancel()

    def supersede_others(self, winner: Send) -> None:
        """Cancel every send but ``winner``."""
        if winner is not self._first:
            self._first.supersede()
        for task, send in self._hedges.items():
            if send is not winner:
                _cancel(task, send)

    def _hedge_ended(self, task: "Task[T | Failure]") -> None:
        send = self._hedges[task]
        self._hedging.hedge_ended(send)
        if _is_conclusive(task):
            self.supersede_others(send)

    async def _result_of_hedges(self, failure: Failure | None) -> T | Failure:
        """The first conclusive result of the hedges, otherwise the last failure."""
        refused: BaseException = Closed()
        seen: set[Task[T | Failure]] = set()
        while pending := self._hedges.keys() - seen:
            done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            seen |= done
            for task in done:
                if _is_conclusive(task):
                    return task.result()
                if task.cancelled():
                    continue
                if (error := task.exception()) is not None:
                    refused = error
                elif isinstance(result := task.result(), Failure):
                    failure = result
        if failure is None:
            raise refused
        return failure

    def _cancel_unsent(self) -> None:
        """The first send failed in a way that passes. A hedge that waits for its slot would not be better."""
        for task, send in self._hedges.items():
            if not send.left:
                task.cancel()

    async def _cancel_hedges(self) -> None:
        for task, send in self._hedges.items():
            _cancel(task, send)
        with anyio.CancelScope(shield=True):
            await asyncio.wait(self._hedges)
        for task in self._hedges:
            if not task.cancelled():
                task.exception()  # mark it as retrieved


def _cancel(task: "Task[T]", send: Send) -> None:
    if send.in_flight:
        send.supersede()
    else:
        task.cancel()


def _is_conclusive(task: "Task[object]") -> bool:
    """Whether no other send of the call is needed. An unexpected error ends the call as well."""
    if task.cancelled():
        return False
    if (error := task.exception()) is not None:
        return not isinstance(error, (Closed, Preempted))
    result = task.result()
    return not isinstance(result, Failure) or result.is_conclusive
