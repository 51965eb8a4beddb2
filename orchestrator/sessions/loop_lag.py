"""Several tenants on one core: the results of one wait while another still sends."""

from collections.abc import Iterable

TICK = 0.05
"""Seconds between two ticks of the monitor."""

LATE = 0.02
"""Seconds by which a tick may be late before the event loop counts as overloaded."""


class LoopLagMonitor:
    """Keeps the results of some tenants from delaying the stops of others if all of them wait for the CPU.

    A late event loop has more work than it can do. Results may wait as long as another tenant still sends: for one
    tick. In the tick after it they continue, so that a tenant that sends for minutes does not hold up the others.
    """

    def __init__(self) -> None:
        self._late = False
        self._senders: frozenset[str] = frozenset()

    def tick(self, late: float, senders: Iterable[str]) -> bool:
        """Note by how many seconds this tick was late, and which tenants send. Return whether results may continue."""
        before = self._late
        self._late = late > LATE and not before
        self._senders = frozenset(senders)
        return before

    def holds(self, name: str) -> bool:
        """Whether the results of tenant ``name`` wait."""
        return self._late and bool(self._senders - {name})
