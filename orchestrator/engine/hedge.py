"""Hedged calls: a call that is slower than its peers is sent again, and the first conclusive response wins.

:mod:`orchestrator.pacing.hedge` has the arithmetic, and :mod:`.race` runs the sends of one call.
"""

import asyncio
from itertools import takewhile

from orchestrator.clock import Clock
from orchestrator.engine.gate import Gate
from orchestrator.engine.race import CallKind, Send
from orchestrator.pacing.hedge import LEAST_FACTOR, CallLatency, HedgeBudget, StartOrder
from orchestrator.pacing.pacer import Pacer

QUIET = 5.0
"""Seconds without hedges after the tenant refused a call for its limits."""

SHORTEST_WAIT, LONGEST_WAIT, CHECKS = 0.02, 0.25, 8
"""Seconds between two checks of the calls in flight: the delay divided by ``CHECKS``, within these bounds."""


class Hedging:
    """Sends the slow calls of one tenant again. It is the observer of their races.

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
        self._loop = asyncio.get_running_loop()
        self._off = setting == 0
        self._latency = [CallLatency(setting) for _ in CallKind]
        self._order: StartOrder[Send] = StartOrder()
        self._outliers: set[Send] = set()
        self._waiting: dict[Send, None] = {}  # slow sends whose hedge has not left
        self._timer: asyncio.TimerHandle | None = None

    def started(self, send: Send) -> None:
        """A send leaves now."""
        send.task = asyncio.current_task(self._loop)
        send.started, send.number = self._now(), self._order.start(send)
        if send.origin is None:
            self.budget.calls += 1
        else:
            self._waiting.pop(send.origin, None)
        if self._timer is None and not self._off:
            self._check_again()

    def ended(self, send: Send) -> None:
        """The response of a send has begun, or it failed."""
        self._order.ended(send.number)
        if self._outliers:
            self._outliers.discard(send)
            self._waiting.pop(send, None)
        self._latency[send.race.kind].ended(self._now() - send.started)

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
        hung = [send for send in self._order.in_flight if send.started < before and send.race.is_latest(send)]
        for send in hung[:most]:
            send.race.resend(send, once=most is None)

    def _check_again(self) -> None:
        delay = min(self._latency[kind].delay for kind in {send.race.kind for send in self._order.in_flight})
        seconds = max(SHORTEST_WAIT, min(delay / CHECKS, LONGEST_WAIT))
        self._timer = self._loop.call_later(seconds, self._check)

    def _check(self) -> None:
        self._timer = None
        now = self._now()
        in_flight = len(self._order.in_flight)
        if self._is_troubled(now):
            for send in list(self._waiting):
                send.race.withdraw_hedge(send)
        stops_wait = self._gate.stops_wait
        slow = self._slow(now)
        for send in slow:
            latency, age = self._latency[send.race.kind], now - send.started
            if latency.is_outlier(age):
                self._count_outlier(send)
            overtaken = self._order.is_overtaken(send.number)
            if latency.is_due(
                age, overtaken=overtaken, slow=len(slow), in_flight=in_flight, stops_wait=stops_wait
            ):
                self._hedge(send, now)
        if in_flight:
            self._check_again()

    def _slow(self, now: float) -> list[Send]:
        """The sends in flight that are slow for their kind: stops first, and the oldest first."""
        delays = [latency.delay for latency in self._latency]
        shortest = min(delays)
        old = takewhile(lambda send: now - send.started >= shortest, self._order.in_flight)
        slow = [send for send in old if now - send.started >= delays[send.race.kind]]
        return sorted(slow, key=lambda send: send.race.kind)

    def _is_troubled(self, now: float) -> bool:
        """Whether another call would only add to the tenant's load."""
        pacer = self._pacer
        return pacer.circuit.open or pacer.closed_until > now or now - pacer.throttled_at < QUIET

    def _hedge(self, send: Send, now: float) -> None:
        if self.budget.left <= 0 or self._is_troubled(now) or not send.race.hedge(send):
            return
        self.budget.hedges += 1
        # Its hedge may win before it is five times slower. Each learned delay has at least this factor.
        if self._latency[send.race.kind].is_outlier(now - send.started, LEAST_FACTOR):
            self._count_outlier(send)
        self._waiting[send] = None
        # A hedge needs a slot, and so do other calls. Slow calls must not take all of them.
        while len(self._waiting) * 2 >= self._pacer.limit:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.supersede()

    def _count_outlier(self, send: Send) -> None:
        if send not in self._outliers:
            self._outliers.add(send)
            self.budget.outliers += 1
