"""Find the number of calls that a tenant accepts at once from its refusals alone."""

START = 10
"""Calls in flight before anything is known about the tenant."""

CUT = 0.7
"""The share of the calls in flight that remains after a refusal."""

SOONEST_PROBE = 2.0
LATEST_PROBE = 32.0
"""Seconds until the search exceeds a refused number. The time doubles with each refusal at the same number."""

REST = 0.85
"""The share of the refused number at which the search rests. Above it, others' calls find no slot either."""

FORGIVEN = 0.2
"""The share of the distance by which the refused number moves towards a greater limit that the tenant reports."""

QUICKENING = 3
"""Number of round trips without a refusal after which each round trip adds one slot more than before."""


class Search:
    """Additive increase, multiplicative decrease (Chiu and Jain, 1989), with a memory of the refused number.

    Each round trip returns a slot, up to a little below the refused number. There the search rests, and tries more at
    ever longer intervals. Without a refused number the increase grows with time. ``limit`` is the current result.
    """

    def __init__(self, start: int) -> None:
        self._aim(float(start))
        self._refused_at = float("inf")
        self._probe_in = SOONEST_PROBE
        self._probe_at = 0.0
        self._trips = 0.0
        self._cut_at = float("-inf")

    def accepted(self, now: float, in_flight: int, most: int) -> None:
        """Record an accepted call, one of ``in_flight`` calls. More than ``most`` calls are of no use."""
        if in_flight < self.limit or self._target >= most:
            return  # an accepted call proves nothing while slots are free
        step = 1 / in_flight
        rest = self._refused_at * REST
        if self._target < rest:
            self._trips += step
            self._aim(min(self._target + step * (1 + self._trips // QUICKENING), rest, most))
            self._probe_at = now + self._probe_in
        elif now >= self._probe_at:
            self._aim(self._target + step)
            if self._target >= self._refused_at + 1:
                self._refused_at, self._probe_in = float("inf"), SOONEST_PROBE

    def jump(self, limit: int) -> None:
        """Apply the tenant's report that ``limit`` calls find a slot. Earlier refusals count less after each report."""
        if limit > self._refused_at:
            self._refused_at += FORGIVEN * (limit - self._refused_at)
        self._aim(max(self._target, min(float(limit), self._refused_at * REST)))

    def refused(self, now: float, seconds: float, in_flight: int) -> bool:
        """Record a refusal ``seconds`` after the call started. Return whether the search changed.

        All calls that started before the last decrease report the same limit.
        """
        if now - seconds <= self._cut_at:
            return False
        again = abs(in_flight - self._refused_at) <= 1
        self._probe_in = min(2 * self._probe_in, LATEST_PROBE) if again else SOONEST_PROBE
        self._refused_at = float(min(in_flight, self.limit))
        # With one call, the search cannot rest below it: after one accepted call, two are tried. The pacer's
        # pauses space these refusals. A wait here would use up the others' burst with one call.
        self._aim(max(1.0, self._refused_at * CUT))
        self._cut_at, self._trips = now, 0.0
        return True

    def restart(self) -> None:
        """Start again after a pause, when the tenant's load is unknown.

        The rate of increase is kept. The search returns sooner, at the cost of a few more refusals.
        """
        self._aim(min(self._target, float(START)))

    def begin(self, limit: int, now: float) -> None:
        """Start with the tenant's new limit: ``limit`` calls find a slot. Refusals of earlier calls no longer count."""
        self._aim(float(limit))
        self._refused_at, self._probe_in = float("inf"), SOONEST_PROBE
        self._cut_at = now

    def _aim(self, target: float) -> None:
        self._target = target
        self.limit = max(1, int(target + 1e-9))
