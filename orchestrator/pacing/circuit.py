"""Detect an outage of a tenant, and schedule its probes."""

from collections import deque
from collections.abc import Callable

FAILURES = 5
"""Number of calls in a row without a response from the API that make an outage. Before the first response, one."""

FIRST_PROBE = (0.25, 0.5)
PROBE_EVERY = (1.0, 1.8)
"""Seconds until the first probe, and between two probes: a random value between these bounds.

Together with the duration of a call, a stop is sent within two seconds after the end of an outage.
"""

MOST_PROBES = 40
"""Most probes in flight, besides the calls from before the outage. Each probe may hang until its timeout."""

REMEMBERED = 100
"""Number of past outages that are stored."""


class Circuit:
    """A circuit breaker: open during an outage. One probe starts every 1 to 2 s, also while earlier probes hang.

    Any response from the API closes it. ``uniform`` returns a random number between its two arguments. ``since`` is the
    time of the first of the consecutive failures, or None after a response. ``next_probe_at`` is the time of the next
    probe during an outage.
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
        """Record the start of a probe, and schedule the next."""
        self.next_probe_at = now + self._uniform(*PROBE_EVERY)

    def answered(self, now: float) -> bool:
        """Record a response from the API, with any content. Return whether it ends an outage."""
        self._answered_before = True
        if self.since is None:
            return False
        was_open = self.open
        if was_open:
            self._outages.append((self.since, now))
        self.open, self.since, self._failures = False, None, 0
        return was_open

    def outage_seconds(self, since: float, now: float) -> float:
        """Return the seconds of outage between ``since`` and ``now``."""
        seconds = sum(max(0.0, ended - max(began, since)) for began, ended in self._outages)
        if self.open and self.since is not None:
            seconds += max(0.0, now - max(self.since, since))
        return seconds

    def failed(self, now: float, *, quiet_since: float | None = None) -> bool:
        """Record a call without a response from the API. Return whether an outage begins.

        ``quiet_since``: since this time no call has ended and all calls hang. That is an outage at once.
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
