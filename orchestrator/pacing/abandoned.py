"""Count cancelled calls that the tenant may still work on. Arithmetic only; the time is an argument."""

from collections import deque
from math import inf

from orchestrator.pacing.others import REFRESH

LONGEST = 10.0
"""Most seconds for which a cancelled call counts."""

SHORTEST = 0.5
"""Least seconds for which a cancelled call counts, with any header."""

PERIOD = 0.25
"""Seconds of one period. The least number of our calls is stored for each period."""

ON_THE_WAY = 0.1
"""The share of our calls that the tenant may not count yet, at least one call. They are in transit."""


class AbandonedCalls:
    """Counts cancelled calls until the tenant's concurrency header shows that they ended, for ``LONGEST`` at most.

    Without that header, a call counts for half of its duration. After that, only refusals show the tenant's load.

    ``until`` has the time until which each of them counts, the earliest first.
    """

    def __init__(self) -> None:
        self.until: list[float] = []
        self._ours: deque[tuple[float, int]] = deque(
            [(-inf, 0)]
        )  # start of each period, and the least number of our calls in it

    def add(self, now: float, lasted: float, most: int, *, header: bool) -> None:
        """Record that a call was cancelled after ``lasted`` seconds. At most ``most`` calls count.

        ``header``: the tenant sends its concurrency header.
        """
        self.until.append(now + (LONGEST if header else min(lasted / 2, LONGEST)))
        self.until.sort()
        self._forget(max(0, len(self.until) - most))

    def expire(self, now: float) -> None:
        """Remove the calls that no longer count."""
        self._forget(sum(until <= now for until in self.until))

    def seen(self, now: float, in_use: int, in_flight: int) -> None:
        """Record a header: ``in_use`` calls are in flight at the tenant. ``in_flight`` calls are ours.

        The header may be ``REFRESH`` seconds old. If it counts clearly fewer calls than the least number of ours since
        then, the tenant has ended some of them.
        """
        ours, periods = in_flight + len(self.until), self._ours
        since, least = periods[-1]
        if now - since >= PERIOD:
            periods.append((now, ours))
            while len(periods) > 1 and periods[1][0] <= now - REFRESH:
                periods.popleft()
        elif ours < least:
            periods[-1] = since, ours
        if not self.until:
            return
        least = min(least for _, least in periods)
        ended = least - in_use - max(1, int(ON_THE_WAY * least))
        ended = min(ended, sum(until <= now + LONGEST - SHORTEST for until in self.until))
        self._forget(ended)

    def _forget(self, count: int) -> None:
        """Remove the ``count`` oldest calls, also from the stored numbers of our calls.

        Many responses repeat the same count of the tenant. It must end the same calls only once.
        """
        if count > 0:
            del self.until[:count]
            self._ours = deque((since, least - count) for since, least in self._ours)
