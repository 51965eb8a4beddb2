"""Calls that were cancelled while the tenant may still work on them: arithmetic only, the time is an argument."""

from orchestrator.pacing.others import REFRESH

LONGEST = 10.0
"""Seconds for which a cancelled call is counted at most."""


class AbandonedCalls:
    """Counts cancelled calls until the tenant's concurrency header shows that they ended.

    Without a header a call is counted for as long as it had lasted. ``LONGEST`` bounds both.
    """

    def __init__(self) -> None:
        self._calls: list[tuple[float, float]] = []  # until when each is counted, and when it was cancelled

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def next_end(self) -> float:
        """When one of them is not counted any more. There must be one."""
        return self._calls[0][0]

    def add(self, now: float, lasted: float, most: int, *, header: bool) -> None:
        """A call was cancelled after ``lasted`` seconds. No more than ``most`` calls are counted.

        ``header``: the tenant sends its concurrency header.
        """
        self._calls.append((now + (LONGEST if header else min(lasted, LONGEST)), now))
        self._calls.sort()
        del self._calls[: max(0, len(self._calls) - most)]

    def expire(self, now: float) -> None:
        """Forget the calls that are counted no longer."""
        while self._calls and self._calls[0][0] <= now:
            del self._calls[0]

    def seen(self, now: float, in_use: int, in_flight: int) -> None:
        """The tenant's header says that ``in_use`` calls are in flight. ``in_flight`` of them are ours.

        The header may be a second old, so it says nothing of a call that was cancelled since.
        """
        ended = in_flight + len(self._calls) - in_use
        for call in list(self._calls):
            if ended > 0 and call[1] <= now - REFRESH:
                self._calls.remove(call)
                ended -= 1
