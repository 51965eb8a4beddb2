"""A tenant that answers nothing any more: when that is an outage, and when the next probe may start."""

from collections import deque
from collections.abc import Callable

FAILURES = 5
"""Calls in a row without an answer from the API that make an outage. Before the first answer, one call is enough."""

FIRST_PROBE = (0.25, 0.5)
PROBE_EVERY = (1.0, 1.8)
"""Seconds until the first probe, and between two probes: a random time between these.

With the time of a call, a stop leaves within two seconds after the tenant is back.
"""

MOST_PROBES = 40
"""Probes in flight at most, beside the calls that were in flight before. Each may hang until its timeout."""

REMEMBERED = 100
"""Outages that are remembered."""


class Circuit:
    """Open during an outage: one probe starts every 1 to 2 s, whether or not the one before has ended.

    Any answer from the API closes it. ``uniform`` returns a random number between its two arguments. ``since`` is the
    time of the first of the failures in a row, None if the last call was answered. ``next_probe_at`` is the time of the
    next probe during an outage.
    """

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        self.open = False
        self.since: float | None = None
        self.next_probe_at = float("-inf")
        self._uniform = uniform
        self._failures = 0
        self._answered_before = False
        self._outages: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)

    def take(self, now: float) -> None:
        """A probe starts."""
        self.next_probe_at = now + self._uniform(*PROBE_EVERY)

    def answered(self, now: float) -> bool:
        """The API answered a call, whatever it said. Return whether this ends an outage."""
        self._answered_before = True
        if self.since is None:
            return False
        was_open = self.open
        if was_open:
            self._outages.append((self.since, now))
        self.open, self.since, self._failures = False, None, 0
        return was_open

    def outage_seconds(self, since: float, now: float) -> float:
        """How much of the time from ``since`` to ``now`` was an outage."""
        seconds = sum(max(0.0, ended - max(began, since)) for began, ended in self._outages)
        if self.open and self.since is not None:
            seconds += max(0.0, now - max(self.since, since))
        return seconds

    def failed(self, now: float, *, quiet_since: float | None = None) -> bool:
        """A call ended without an answer from the API. Return whether an outage begins.

        ``quiet_since``: no call ended, but all have hung for too long, since that time. That is an outage at once.
        """
        stalled = quiet_since is not None
        if self.since is None:
            self.since = now if quiet_since is None else quiet_since
        self._failures += 1
        if self.open or (self._answered_before and self._failures < FAILURES and not stalled):
            return False
        self.open = True
        self.next_probe_at = now if stalled else now + self._uniform(*FIRST_PROBE)
        return True
