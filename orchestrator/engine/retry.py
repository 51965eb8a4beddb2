"""What follows a failed call: arithmetic and tables, no I/O."""

from collections.abc import Callable

from orchestrator.action import Attempts
from orchestrator.backoff import full_jitter
from orchestrator.errors import CallError, Kind

BASE = 0.5
CAP = 30.0
LONGEST_WAIT = 300.0
"""Seconds that a Retry-After may hold one call back."""

FEW = 4

SHARE = 0.2
FLOOR = 10
MOST_SAVED = 50
"""Of every stop a fifth of a retry is earned; so many are there at the start, and no more are saved up."""

_PATIENT = frozenset(
    {
        Kind.THROTTLED,
        Kind.LOCKED,
        Kind.TEMPORARY,
        Kind.SERVER,
        Kind.TIMEOUT,
        Kind.CONNECTION_LOST,
        Kind.CONNECT_FAILED,
        Kind.MALFORMED_ANSWER,
    }
)
_BRIEF = frozenset({Kind.INTERNAL, Kind.INTEGRATION, Kind.UNKNOWN})


def tries(kind: Kind, max_attempts: int) -> int:
    """How often a call that fails with ``kind`` is made, the first time included (Zuora API, "Error handling")."""
    if kind in _PATIENT:
        return max_attempts
    if kind in _BRIEF:
        return min(FEW, max_attempts)
    if kind is Kind.UNAUTHENTICATED:
        return min(2, max_attempts)
    return 1


def is_final(kind: Kind) -> bool:
    """Whether a call that fails with ``kind`` fails for good."""
    return kind not in _PATIENT and kind not in _BRIEF


def again(error: CallError, attempt: int, max_attempts: int) -> bool:
    """Whether a call whose try number ``attempt`` (from 1) ended in ``error`` is tried once more."""
    return attempt < tries(error.kind, max_attempts)


def delay(attempt: int, retry_after: float | None, uniform: Callable[[float, float], float]) -> float:
    """Seconds until the next attempt, after attempt number ``attempt``: full jitter, never under ``retry_after``."""
    return max(full_jitter(attempt, BASE, CAP, uniform), min(retry_after or 0.0, LONGEST_WAIT))


class Retry:
    """The retry decision: whether a failed call is made again, and after how long.

    ``uniform`` returns a random number between its two arguments.
    """

    def __init__(self, max_attempts: int, uniform: Callable[[float, float], float]) -> None:
        self._max_attempts = max_attempts
        self._uniform = uniform

    def wait(self, attempts: Attempts, error: CallError) -> float | None:
        """Count a failure. Return the seconds until the next attempt, or None if no attempt is left."""
        failures = attempts.failed(error.kind)
        if attempts.made >= self._max_attempts or not again(error, failures, self._max_attempts):
            return None
        return delay(attempts.made, error.retry_after, self._uniform)


class RetryBudget:
    """How many stops may be tried again in front of fresh ones: a share of the stops made, and a few at the start.

    A tenant in trouble is not helped by calls that come back (the retry budget of Google's SRE book, chapter 21).
    """

    def __init__(self) -> None:
        self._left = float(FLOOR)

    def earn(self) -> None:
        """Counts a fresh stop."""
        self._left = min(self._left + SHARE, MOST_SAVED)

    def spend(self) -> bool:
        """Whether one more retry is within the budget; counts it if so."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
