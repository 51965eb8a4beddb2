"""One rate limit, spaced by the Generic Cell Rate Algorithm (ITU-T I.371) or counted by the tenant."""


class RateWindow:
    """At most ``quota`` calls in any ``seconds``.

    GCRA stores one number, the theoretical arrival time. A token bucket with ``burst`` that refills at the pace of the
    quota would allow burst and quota in its first window. Calls are therefore spaced at
    ``seconds / (quota - burst + 1)``. This limits burst and refill of any window together to ``quota``.

    A count from the tenant is exact, and the spacing is an estimate. Until the window resets, the count decides. The
    count of a window nearer to exhaustion gives a lower bound for this one: at least so many calls may start.

    ``retry_after`` is the longest time in seconds for which an unconfirmed limit delays calls. A refused call confirms
    a limit from a header. Until then, one call tries again after that time. If the tenant accepts it and still counts
    no call left, the count is wrong, and the spacing decides.
    """

    def __init__(self, quota: int, seconds: float, burst: int, retry_after: float = float("inf")) -> None:
        self.quota = max(1, quota)
        self.seconds = seconds
        burst = min(max(1, burst), self.quota)
        self._interval = seconds / (self.quota - burst + 1)
        self._tolerance = (burst - 1) * self._interval
        self._retry_after = retry_after
        self._arrival = float("-inf")
        self._taken_at = float("-inf")
        self._left = 0
        self._at_least = 0
        self._resets_at = float("-inf")
        self._try_at = float("inf")
        self._trying = False
        self._count_is_wrong = False

    def opens_at(self, now: float) -> float:
        """Return the earliest time at which one more call may start. A time not after ``now`` means at once."""
        if now < self._resets_at:
            return now if self._left > 0 else min(self._resets_at, self._try_at)
        if self._at_least > 0:
            return now
        return min(self._arrival - self._tolerance, self._taken_at + self._retry_after)

    @property
    def closed_until(self) -> float:
        """The end of the window, if the tenant's count has no call left in it."""
        return self._resets_at if self._left <= 0 else float("-inf")

    def take(self, now: float) -> None:
        """Count one call that starts at ``now``."""
        self._taken_at = now
        self._trying = now < self._resets_at and self._left <= 0
        if now < self._resets_at:
            self._left -= 1
            if self._left <= 0:
                self._try_at = now + self._retry_after
        else:
            self._arrival = max(self._arrival, now) + self._interval
            self._at_least -= 1

    def counted(self, left: int, reset: float, now: float, *, refused: bool = False) -> None:
        """Apply the tenant's count: ``left`` calls until the window resets in ``reset`` seconds.

        ``refused``: the response refused its call, which confirms a count of 0. A reset beyond the length of the window
        is impossible and is limited to that length.
        """
        if refused or left > 0:
            self._count_is_wrong = self._trying = False
        elif self._trying:
            self._count_is_wrong = True
        if self._count_is_wrong:
            self._resets_at = float("-inf")
            return
        was_empty = now < self._resets_at and self._left <= 0
        self._left = left
        self._resets_at = now + min(reset, self.seconds)
        if refused:
            self._try_at = float("inf")
        elif not was_empty:
            self._try_at = now + self._retry_after

    def counted_at_least(self, left: int) -> None:
        """Apply a lower bound from the tenant's count of another window: at least ``left`` calls may start."""
        self._at_least = left

    def spare(self, now: float, until: float) -> float:
        """Return how many calls may start from ``now`` to ``until``, as far as is known."""
        if now < self._resets_at:
            further = 0.0 if until < self._resets_at else 1 + (until - self._resets_at) // self.seconds
            return max(0, self._left) + further * self.quota
        by_spacing = (until - max(self._arrival, now) + self._tolerance) // self._interval + 1
        return max(0.0, by_spacing, self._at_least)
