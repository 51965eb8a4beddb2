"""Calls that were cancelled while the tenant may still work on them: arithmetic only, the time is an argument."""

from math import inf

from orchestrator.pacing.others import REFRESH

LONGEST = 10.0
"""Seconds for which a cancelled call is counted at most."""


class AbandonedCalls:
    """Counts cancelled calls until the tenant's concurrency header shows that they ended, for ``LONGEST`` at most.

    Without a header, a call is counted for half as long as it had lasted. Then only refusals show what the tenant does.
    """

    def __init__(self) -> None:
        self._until: list[float] = []
        self._least = self._least_before = 0
        self._since = -inf

    def __len__(self) -> int:
        return len(self._until)

    @property
    def next_end(self) -> float:
        """When one of them is not counted any more. There must be one."""
        return self._until[0]

    def add(self, now: float, lasted: float, most: int, *, header: bool) -> None:
        """A call was cancelled after ``lasted`` seconds. No more than ``most`` calls are counted.

        ``header``: the tenant sends its concurrency header.
        """
        self._until.append(now + (LONGEST if header else min(lasted / 2, LONGEST)))
        self._until.sort()
        del self._until[: max(0, len(self._until) - most)]

    def expire(self, now: float) -> None:
        """Forget the calls that are counted no longer."""
        while self._until and self._until[0] <= now:
            del self._until[0]

    def seen(self, now: float, in_use: int, in_flight: int) -> None:
        """The tenant's header says that ``in_use`` calls are in flight. ``in_flight`` of them are ours.

        The header may be as old as ``REFRESH``. If it counts fewer calls than ours were at any time since then, the
        tenant has ended some of them.
        """
        ours = in_flight + len(self._until)
        if now - self._since >= REFRESH:
            self._least_before, self._least, self._since = self._least, ours, now
        self._least = min(self._least, ours)
        ended = min(self._least, self._least_before) - in_use
        if ended > 0:
            del self._until[:ended]
            self._least -= ended
