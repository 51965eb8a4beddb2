"""Hedged calls: a call that is slower than its peers is sent again, and the first conclusive response wins.

:mod:`orchestrator.pacing.hedge` has the arithmetic, and :mod:`.race` runs the sends of one call.
"""

import asyncio
from enum import IntEnum
from itertools import takewhile
from typing import TypeVar

from orchestrator.clock import Clock
from orchestrator.engine.gate import Gate
from orchestrator.engine.race import Failure, Race, Send, SendCall
from orchestrator.pacing.hedge import CallLatency, HedgeBudget, StartOrder
from orchestrator.pacing.pacer import Pacer

T = TypeVar("T")

QUIET = 5.0
"""Seconds without hedges after the tenant refused a call for its limits."""

SHORTEST_LOOK, LONGEST_LOOK, LOOKS = 0.02, 0.25, 8
"""Seconds between two looks at the calls in flight: the delay divided by ``LOOKS``, within these bounds."""


class CallKind(IntEnum):
    """Calls of one kind are each other's peers."""

    STOP = 0
    STATUS = 1
    FILE = 2


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

    def hedge_ended(self, hedge: Send) -> None:
        self._hedging.hedge_ended(hedge)

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
        return await Race(self._watches[kind], send, hedge or send).result()

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
            self.budget.hedges -= hedge.in_budget
            if hedge.origin is not None:
                self._waiting.pop(hedge.origin, None)

    def resend(self, before: float, most: int | None = None) -> None:
        """Send calls again that hang because of an outage, the longest first. The budget does not apply.

        ``before``: those whose last send started earlier. ``most``: so many at most. Without it all are sent again, but
        each call only once: a tenant may be slow with stops only.
        """
        hung = [
            send
            for watch in self._watches
            for send in watch.calls
            if send.started < before and send.is_latest
        ]
        for send in sorted(hung, key=lambda send: send.started)[:most]:
            send.resend(once=most is None)

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
