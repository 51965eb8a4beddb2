"""Decide whether one more call of a tenant may start now, and otherwise when to ask again."""

import random
from collections.abc import Callable

from orchestrator.backoff import half_jitter
from orchestrator.model import Answered, Window
from orchestrator.pacing.abandoned import AbandonedCalls
from orchestrator.pacing.circuit import MOST_PROBES, PROBE_EVERY, Circuit
from orchestrator.pacing.slots import SlotController
from orchestrator.pacing.window import RateWindow
from orchestrator.settings import Rate

STALL = 1.5
STALL_FACTOR = 3.0
STALL_AT_FIRST = 10.0
"""Calls hang after ``STALL`` seconds without a response, and at least ``STALL_FACTOR`` times the longest recent call.
Before the first response, they hang after ``STALL_AT_FIRST`` seconds."""

MEMORY = 0.98
"""The factor by which each response reduces the remembered longest call."""

LONGEST_GATE = 300.0
"""Most seconds for which one response may pause all calls, with any Retry-After."""

SHORT_WAIT = 10.0
"""Seconds. A longer Retry-After ends early when the tenant accepts a call that started after the refused one."""

UNCONFIRMED_WAIT = 60.0
"""Seconds for which a limit from headers alone may delay calls, unless a refused call confirms it."""

OPENING = 0.25
"""Seconds over which the first calls after a pause are spread, one for each slot. Other callers waited as well."""

ALONE_BASE, ALONE_CAP = 0.5, 30.0
"""First and longest pause in seconds after a refusal of the only call in flight of this run."""

TOKEN_BASE, TOKEN_CAP = 2.0, 30.0
"""First and longest pause in seconds after a token request that was refused because of a limit. A Retry-After replaces
the pause, but at least half of the first pause applies."""

BURST_SHARE = 20
"""One twentieth of the operator's own rate may start at once. A larger burst would slow the rest (see RateWindow)."""


class Pacer:
    """Slots, rate windows, pauses and circuit breaker of one tenant behind one interface.

    The caller asks :meth:`opens_at`. If that is not in the future, it takes a slot with :meth:`take` and returns it
    with :meth:`release`. It passes every response to :meth:`answered`.

    Args:
        slots: limits the calls in flight.
        headroom: the share (0 to 1) of each limit that is left to others.
        rate: the operator's own limit.
        uniform: returns a random number between its two arguments.

    No call starts before ``paused_until``, because the tenant asked for a pause. ``throttled_at`` is the time of the
    tenant's latest refusal because of a limit. Calls that started before ``written_off`` hung in an outage and need no
    slot.
    """

    def __init__(
        self,
        slots: SlotController,
        headroom: float,
        rate: Rate | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.in_flight = 0
        self.throttled_at = float("-inf")
        self.circuit = Circuit(uniform)
        self._abandoned = AbandonedCalls()
        self._has_header = False
        self._slots = slots
        self._started: dict[int, float] = {}
        self._started_at = float("inf")
        self._answered_at = float("-inf")
        self._longest_call = 0.0
        self._calls = 0
        self._headroom = headroom
        self._uniform = uniform
        self._windows: dict[int, RateWindow] = {}
        self._reported: tuple[Window, ...] = ()
        self._reported_by_quota: dict[int, Window] = {}
        self.paused_until = float("-inf")
        self._refused_left_at = float("-inf")
        self._spaced = float("-inf")
        self._refused_alone = 0
        self._refused_tokens = 0
        self.written_off = float("-inf")
        self._hung: set[int] = set()  # calls in flight without a slot
        self._own = () if rate is None else (_own_window(rate),)
        self._every: tuple[RateWindow, ...] = self._own

    @property
    def limit(self) -> int:
        """The number of slots that may be in use now."""
        return 1 if self.circuit.open else self._slots.limit

    @property
    def others(self) -> float | None:
        """The estimated calls of others in flight; None if the tenant does not report them."""
        return self._slots.others

    @property
    def full(self) -> bool:
        """Whether every slot is in use."""
        return self.in_flight >= self._slots.limit + (MOST_PROBES if self.circuit.open else 0)

    @property
    def closed_until(self) -> float:
        """When the next call may start, if the tenant asked for a pause or a window is exhausted."""
        until = self.paused_until
        for window in self._every:
            until = max(until, window.closed_until)
        return until

    def opens_at(self, now: float) -> float | None:
        """Return when one more call may start. None while every slot is in use: the next release decides."""
        if self.in_flight >= self._slots.limit and self.full:
            return None
        at = self.paused_until if self.paused_until > self._spaced else self._spaced
        abandoned = self._abandoned
        if self.circuit.open:
            at = max(at, self.circuit.next_probe_at)
        elif abandoned.until:
            abandoned.expire(now)
            if self.in_flight + len(abandoned.until) >= self._slots.limit:
                at = max(at, abandoned.until[0])
        for window in self._every:
            opens_at = window.opens_at(now)
            if opens_at > at:
                at = opens_at
        return at

    def take(self, now: float) -> int:
        """Take a slot for a call that starts now. Return the number that releases it."""
        self.in_flight += 1
        self._calls += 1
        self._started[self._calls] = self._started_at = now
        if self.circuit.open:
            self.circuit.take(now)
        if now < self.paused_until + OPENING:
            self._spaced = now + self._uniform(0.0, 2 * OPENING / self._slots.limit)
        for window in self._every:
            window.take(now)
        return self._calls

    def release(self, call: int) -> None:
        """Release the slot of a call that ended."""
        self._end(call)

    def abandon(self, call: int, now: float) -> None:
        """Release the slot of a cancelled call. The tenant may still work on it.

        For a while, cancelled calls count towards the limit, but take at most half of the slots.
        """
        started = self._end(call)
        if started is not None:
            self._abandoned.add(now, now - started, self._slots.limit // 2, header=self._has_header)

    def answered(self, answer: Answered, now: float) -> None:
        """Learn the tenant's limits from a response. A wait in the response pauses all calls."""
        if not answer.by_api:
            if answer.retry_after is not None:
                self.close(now, min(answer.retry_after, PROBE_EVERY[1]))
            return
        limits = answer.limits
        self._answered_at = now
        self._longest_call = max(answer.seconds, self._longest_call * MEMORY)
        if self.circuit.answered(now):
            self._write_off(now - answer.seconds)
            self._slots.paused()
        if answer.throttled:
            self.throttled_at = now
        if limits.concurrency is not None and limits.concurrency_remaining is not None:
            self._has_header = True
            self._abandoned.seen(now, limits.concurrency - limits.concurrency_remaining, self.in_flight)
        ours = self.in_flight + len(self._abandoned.until)
        self._slots.answered(now, ours, answer)
        if limits.windows and limits.windows != self._reported:
            self._reported = limits.windows
            self._reported_by_quota = {window.quota: window for window in reversed(limits.windows)}
            self._windows = {window.seconds: self._window(window) for window in limits.windows}
            self._every = (*self._own, *self._windows.values())
        if limits.nearest is not None and limits.remaining is not None and limits.reset is not None:
            self._count(limits.nearest, limits.remaining, limits.reset, now, refused=answer.throttled)
        left_at = now - answer.seconds
        if answer.retry_after is not None:
            self._refused_left_at = left_at
            self.close(now, answer.retry_after)
        elif not answer.throttled:
            self._refused_alone = self._refused_tokens = 0
            if left_at > self._refused_left_at and self.paused_until > now + SHORT_WAIT:
                self.paused_until = now  # The wait applied to one call only: a later call was accepted.
        elif ours == 1:
            self._refused_alone += 1
            self.close(now, half_jitter(self._refused_alone, ALONE_BASE, ALONE_CAP, self._uniform))

    def token_throttled(self, now: float, retry_after: float | None) -> None:
        """Record that a token request was refused because of a limit, and pause all calls."""
        if self.paused_until > now:
            return  # other calls waited for the same token
        self._refused_tokens += 1
        if not retry_after:
            retry_after = half_jitter(self._refused_tokens, TOKEN_BASE, TOKEN_CAP, self._uniform)
        self.close(now, max(retry_after, TOKEN_BASE / 2))

    def close(self, now: float, seconds: float) -> None:
        """Pause all calls for ``seconds``, and for ``LONGEST_GATE`` at most."""
        self.paused_until = max(self.paused_until, now + min(seconds, LONGEST_GATE))
        self._slots.paused()

    def spare(self, now: float, until: float) -> float:
        """Return how many calls the known rate windows allow from ``now`` to ``until``."""
        return min((window.spare(now, until) for window in self._every), default=float("inf"))

    def stalled(self, now: float, downloads: int) -> bool:
        """Return whether all calls in flight hang, except ``downloads``: for a long time none was answered or started.

        While slots are free, a single hanging call is no evidence about the tenant.
        """
        hanging = self.in_flight - downloads
        if self.circuit.open or hanging < (1 if self.full else 2):
            return False
        answered = self._answered_at > float("-inf")
        longest = max(STALL, STALL_FACTOR * self._longest_call) if answered else STALL_AT_FIRST
        return now - self.quiet_since >= longest

    @property
    def quiet_since(self) -> float:
        """The time of the last response or start of a call."""
        return max(self._answered_at, self._started_at)

    def _end(self, call: int) -> float | None:
        """Release the slot of ``call``. Return when it started, or None if it lost its slot in an outage."""
        started = self._started.pop(call, None)
        if started is None:
            self._hung.discard(call)
        else:
            self.in_flight -= 1
        return started

    def _write_off(self, before: float) -> None:
        """After an outage, release the slots of calls that started ``before`` the answered one: they get no response.

        One outage can leave a limited number of calls. After several short outages, calls of earlier ones may still be
        open, so their number is limited as a whole.
        """
        self.written_off = before
        most = self._slots.limit + MOST_PROBES
        for call in [call for call, started in self._started.items() if started < before]:
            if len(self._hung) >= most:
                break
            del self._started[call]
            self._hung.add(call)
        self.in_flight = len(self._started)

    def _window(self, reported: Window) -> RateWindow:
        quota = max(1, int(reported.quota * (1 - self._headroom) + 1e-9))
        known = self._windows.get(reported.seconds)
        if known is not None and known.quota == quota:
            return known  # another window changed; the count of this one stays valid
        return RateWindow(quota, reported.seconds, burst=quota // 2, retry_after=UNCONFIRMED_WAIT)

    def _count(self, nearest: int, remaining: int, reset: float, now: float, *, refused: bool) -> None:
        reported = self._reported_by_quota.get(nearest)
        if reported is None:
            return
        # The tenant's count may not include our calls in flight. Headroom applies in windows of minutes only. If the
        # wait takes hours, running actions cost more than the headroom is worth.
        held_back = nearest * self._headroom if reported.seconds <= 60 else 0
        left = int(remaining - held_back) - self.in_flight
        self._windows[reported.seconds].counted(left, reset, now, refused=refused)
        if len(self._windows) == 1:
            return
        # The reported window is the nearest to exhaustion, so every other window is used to a smaller share.
        share = min(1.0, remaining / nearest)
        for seconds, window in self._windows.items():
            if seconds != reported.seconds:
                window.counted_at_least(int(window.quota * share) - self.in_flight)


def _own_window(rate: Rate) -> RateWindow:
    # At most the calls of one second at once. For a rate per second, that would be the whole rate.
    return RateWindow(rate.calls, rate.seconds, burst=rate.calls // max(rate.seconds, BURST_SHARE))
