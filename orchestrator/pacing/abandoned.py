"""Calls that were cancelled while the tenant may still work on them: arithmetic only, the time is an argument."""

from collections import deque
from math import inf

from orchestrator.pacing.others import REFRESH

LONGEST = 10.0
"""Seconds for which a cancelled call is counted at most."""

SHORTEST = 0.5
"""Seconds for which a cancelled call is counted whatever the header says."""

PERIOD = 0.25
"""Seconds for which one least number of our calls is remembered."""

ON_THE_WAY = 0.1
"""The share of our calls, and one at least, that the tenant may not count: they are on their way to it or back."""


class AbandonedCalls:
    """Counts cancelled calls until the tenant's concurrency header shows that they ended, for ``LONGEST`` at most.

    Without a header, a call is counted for half as long as it had lasted. Then only refusals show what the tenant does.

    ``until`` says for each of them until when it is counted, the earliest first.
    """

    def __init__(self) -> None:
        self.until: list[float] = []
        self._ours: deque[tuple[float, int]] = deque(
            [(-inf, 0)]
        )  # how many calls were ours at least, by period

    def add(self, now: float, lasted: float, most: int, *, header: bool) -> None:
        """A call was cancelled after ``lasted`` seconds. No more than ``most`` calls are counted.

        ``header``: the tenant sends its concurrency header.
        """
        self.until.append(now + (LONGEST if header else min(lasted / 2, LONGEST)))
        self.until.sort()
        self._forget(max(0, len(self.until) - most))

    def expire(self, now: float) -> None:
        """Forget the calls that are counted no longer."""
        self._forget(sum(until <= now for until in self.until))

    def seen(self, now: float, in_use: int, in_flight: int) -> None:
        """The tenant's header says that ``in_use`` calls are in flight. ``in_flight`` of them are ours.

        The header may be as old as ``REFRESH``. If it counts clearly fewer calls than ours were at any time since then,
        the tenant has ended some of them.
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
        """Count the ``count`` oldest no longer, nor among our earlier calls.

        Many responses repeat one count of the tenant, and it must end the same calls only once.
        """
        if count > 0:
            del self.until[:count]
            self._ours = deque((since, least - count) for since, least in self._ours)
