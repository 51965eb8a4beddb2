"""One rate limit, kept by the Generic Cell Rate Algorithm (ITU-T I.371), and by the tenant's own count where told."""


class RateWindow:
    """At most ``quota`` calls in any ``seconds``.

    GCRA needs one float, the theoretical arrival time. A bucket that gives ``burst`` at once and refills at the quota's
    own pace would let burst and quota through its first window; so calls are spaced at
    ``seconds / (quota - burst + 1)``, which holds burst and refill of any window together to ``quota``.

    Where the tenant tells how many calls its window has left, that count is knowledge and the spacing only a guess:
    until the window resets, the count alone decides.
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

    def opens_at(self, now: float) -> float:
        """The earliest time at which one more call may leave; not after ``now`` means at once."""
        if now < self._resets_at:
            return now if self._left > 0 else self._resets_at
        return self._arrival - self._tolerance

    def take(self, now: float) -> None:
        """Counts one call that leaves at ``now``."""
        if now < self._resets_at:
            self._left -= 1
        else:
            self._arrival = max(self._arrival, now) + self._interval

    def told(self, left: int, reset: float, now: float) -> None:
        """Takes the tenant's word: ``left`` calls until the window resets in ``reset`` seconds."""
        self._left = left
        self._resets_at = now + reset

    def spare(self, now: float, until: float) -> float:
        """How many calls may leave from ``now`` to ``until``, as far as is known."""
        if now < self._resets_at:
            further = 0.0 if until < self._resets_at else 1 + (until - self._resets_at) // self.seconds
            return max(0, self._left) + further * self.quota
        return max(0.0, (until - max(self._arrival, now) + self._tolerance) // self._interval + 1)
