"""A tenant that answers nothing any more: noticed, and probed with one call at a time."""

from collections.abc import Callable

from orchestrator.backoff import half_jitter

SILENCE = 5
"""Calls in a row that come to no answer, after which the tenant is taken for gone."""

BASE, CAP = 0.5, 8.0
"""Seconds until the first probe at most, and until any; twice as long after each that is not answered."""


class Circuit:
    """Open while the tenant is silent: one call goes at a time, after pauses that grow; any answer closes it.

    ``uniform`` gives a random number between its two arguments.
    """

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        self.open = False
        self.failed_probes = 0
        self._uniform = uniform
        self._unanswered = 0
        self._probing = False
        self._probe_at = float("-inf")

    def opens_at(self, in_flight: int) -> float | None:
        """When the next probe may leave; None while one, or what left before it, is still under way."""
        return None if in_flight else self._probe_at

    def take(self) -> None:
        """A call leaves."""
        self._probing = self.open

    def answered(self) -> bool:
        """An answer came, whatever it says; tells whether it ends a silence."""
        was_open = self.open
        self._unanswered = self.failed_probes = 0
        self.open = self._probing = False
        return was_open

    def unanswered(self, now: float) -> None:
        """A call came to no answer: no connection, connection lost, or time-out."""
        was_open = self.open
        self._unanswered += 1
        self.open = self._unanswered >= SILENCE
        if self._probing:
            self.failed_probes += 1
        elif was_open or not self.open:
            return  # it left before the silence was noticed, or there is none
        self._probing = False
        self._probe_at = now + half_jitter(self.failed_probes + 1, BASE, CAP, self._uniform)
