"""One rate limit, kept by the Generic Cell Rate Algorithm (ITU-T I.371), and by the tenant's own count where told."""


class RateWindow:
    """At most ``quota`` calls in any ``seconds``.

    GCRA needs one float, the theoretical arrival time. A bucket that gives ``burst`` at once and refills at the quota's
    own pace would let burst and quota through its first window; so calls are spaced at
    ``seconds / (quota - burst + 1)``, which holds burst and refill of any window together to ``quota``.

    Where the tenant tells how many calls its window has left, that count is knowledge and the spacing only a guess:
    until the window resets, the count alone decides. What it tells of a window nearer to exhaustion says how many this
    one has at least: so many may leave whatever the spacing says.
    """

    def __init__(self, quota: int, seconds: float, burst: int) -> None:
        self.quota = max(1, quota)
        self.seconds = seconds
        burst = min(max(1, burst), self.quota)
        self._interval = seconds / (self.quota - burst + 1)
        self._tolerance = (burst - 1) * self._interval
        self._arrival = float("-inf")
        self._left = 0
        self._resets_at = float("-inf")
        self._at_least = 0

    def opens_at(self, now: float) -> float:
        """The earliest time at which one more call may leave; not after ``now`` means at once."""
        if now < self._resets_at:
            return now if self._left > 0 else self._resets_at
        if self._at_least > 0:
            return now
        return self._arrival - self._tolerance

    def take(self, now: float) -> None:
        """Counts one call that leaves at ``now``."""
        if now < self._resets_at:
            self._left -= 1
        else:
            self._arrival = max(self._arrival, now) + self._interval
            self._at_least -= 1

    def told(self, left: int, reset: float, now: float) -> None:
        """Takes the tenant's word: ``left`` calls until the window resets in ``reset`` seconds."""
        self._left = left
        self._resets_at = now + reset

    def told_least(self, left: int) -> None:
        """Takes what follows from the tenant's word on another window: ``left`` calls at least may leave yet."""
        self._at_least = left

    def spare(self, now: float, until: float) -> float:
        """How many calls may leave from ``now`` to ``until``, as far as is known."""
        if now < self._resets_at:
            further = 0.0 if until < self._resets_at else 1 + (until - self._resets_at) // self.seconds
            return max(0, self._left) + further * self.quota
        by_spacing = (until - max(self._arrival, now) + self._tolerance) // self._interval + 1
        return max(0.0, by_spacing, self._at_least)
