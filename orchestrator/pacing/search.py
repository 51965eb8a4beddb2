"""How many calls a tenant takes at once, found out by its refusals alone."""

START = 10
"""Calls in flight while nothing is known."""

CUT = 0.7
"""The share of them that a refusal leaves."""

SOONEST_PROBE = 2.0
LATEST_PROBE = 32.0
"""Seconds until more is tried where more was refused; twice as long each time it is refused again."""

REST = 0.85
"""The share of what was refused at which it rests: from there on, others' calls find no room either."""

FORGIVEN = 0.2
"""How far the tenant's own word for a greater limit moves the one that was refused."""

QUICKENING = 3
"""Round trips without a refusal after which each brings one slot more than before."""


class Search:
    """Additive increase, multiplicative decrease (Chiu and Jain, 1989), with a memory of where it was refused.

    Up to a little below that, each round trip gives a slot back. There it rests, and tries more ever more seldom. Where
    nothing was refused, or not any more, it rises the faster the longer that lasts. ``limit`` is how many to make now.
    """

    def __init__(self, start: int) -> None:
        self._aim(float(start))
        self._refused_at = float("inf")
        self._probe_in = SOONEST_PROBE
        self._probe_at = 0.0
        self._trips = 0.0
        self._cut_at = float("-inf")

    def accepted(self, now: float, in_flight: int, most: int) -> None:
        """A call was taken; ``in_flight`` calls, itself included, were under way, and ``most`` are of use."""
        if in_flight < self.limit or self._target >= most:
            return  # an unused slot proves nothing
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
        """The tenant's own word: ``limit`` calls find room. Earlier refusals count less each time it says so."""
        if limit > self._refused_at:
            self._refused_at += FORGIVEN * (limit - self._refused_at)
        self._aim(max(self._target, min(float(limit), self._refused_at * REST)))

    def refused(self, now: float, seconds: float, in_flight: int) -> bool:
        """A call was refused ``seconds`` after it had left; says whether that was news.

        Calls that left before the last cut all say the same.
        """
        if now - seconds <= self._cut_at:
            return False
        again = abs(in_flight - self._refused_at) <= 1
        self._probe_in = min(2 * self._probe_in, LATEST_PROBE) if again else SOONEST_PROBE
        self._refused_at = float(min(in_flight, self.limit))
        # Below one call there is no rest: where the only one was refused, two are tried once one is taken. The pacer's
        # gate spaces such refusals. A wait here would spend the burst of others with one call.
        self._aim(max(1.0, self._refused_at * CUT))
        self._cut_at, self._trips = now, 0.0
        return True

    def restart(self) -> None:
        """After a pause nothing is known of the tenant.

        How fast it rose before still holds: it is back sooner, for a few refusals more.
        """
        self._aim(min(self._target, float(START)))

    def begin(self, limit: int, now: float) -> None:
        """The tenant's limit is another one, and ``limit`` calls find room: what left before now says nothing of it."""
        self._aim(float(limit))
        self._refused_at, self._probe_in = float("inf"), SOONEST_PROBE
        self._cut_at = now

    def _aim(self, target: float) -> None:
        self._target = target
        self.limit = max(1, int(target + 1e-9))
