"""Several tenants on one core: whose results wait while others still send."""

from collections.abc import Iterable

BEAT = 0.05
LATE = 0.02
"""Seconds between two beats of the loop, and by how many a beat may be late before the process counts as crowded."""


class Crowd:
    """Keeps the results of some tenants from delaying the stops of others, where the core is what they all wait for.

    A loop that runs late has more to do than it can. What may wait then are the results, as long as any other tenant
    still sends: for a beat, and the beat after it they go on, so that a tenant whose stops take minutes for reasons of
    its own holds nobody up.
    """

    def __init__(self) -> None:
        self._late = False
        self._senders: frozenset[str] = frozenset()

    def beat(self, late: float, senders: Iterable[str]) -> bool:
        """Takes by how many seconds the loop was late, and who still sends; tells whether results may go on now."""
        before = self._late
        self._late = late > LATE and not before
        self._senders = frozenset(senders)
        return before

    def holds(self, name: str) -> bool:
        """Whether the results of ``name`` wait."""
        return self._late and bool(self._senders - {name})
