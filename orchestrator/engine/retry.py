"""The decision after a failed call: arithmetic and tables, no I/O."""

from collections.abc import Callable

from orchestrator.action import Attempts
from orchestrator.backoff import full_jitter
from orchestrator.errors import CallError, Kind

BASE = 0.5
CAP = 30.0

UNAUTHENTICATED_FOR = 60.0
UNAUTHENTICATED_CAP = 2.0
"""Seconds for which a call is repeated that is refused as unauthenticated, and the longest wait between attempts. Each
attempt uses a token that was not refused before, if there is one."""

FEW = 4

SHARE = 0.2
FLOOR = 10
MOST_SAVED = 50
"""Each stop earns 0.2 retries; this many are available at the start, and no more are saved up."""

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
        Kind.GATEWAY,
        Kind.REDIRECTED,
    }
)
_BRIEF = frozenset({Kind.INTERNAL, Kind.INTEGRATION, Kind.UNKNOWN})


def tries(kind: Kind, max_attempts: int) -> int:
    """How often a call that fails with ``kind`` is made, the first time included (Zuora API, "Error handling")."""
    if kind in _PATIENT:
        return max_attempts
    if kind in _BRIEF:
        return min(FEW, max_attempts)
    return 1


def is_final(kind: Kind) -> bool:
    """Whether a call that fails with ``kind`` fails for good."""
    return kind not in _PATIENT and kind not in _BRIEF


def again(error: CallError, attempt: int, max_attempts: int) -> bool:
    """Whether a call whose try number ``attempt`` (from 1) ended in ``error`` is tried once more."""
    return attempt < tries(error.kind, max_attempts)


def delay(attempt: int, uniform: Callable[[float, float], float]) -> float:
    """Seconds until the next attempt, after attempt number ``attempt``: full jitter.

    A ``Retry-After`` closes the tenant's gate for all calls, so one call need not wait for it as well.
    """
    return full_jitter(attempt, BASE, CAP, uniform)


class Retry:
    """The retry decision: whether a failed call is made again, and after how long.

    ``uniform`` returns a random number between its two arguments.
    """

    def __init__(self, max_attempts: int, uniform: Callable[[float, float], float]) -> None:
        self._max_attempts = max_attempts
        self._uniform = uniform

    def wait(self, attempts: Attempts, error: CallError, now: float, *, in_outage: bool) -> float | None:
        """Count a failure. Return the seconds until the next attempt, or None if no attempt is left.

        ``in_outage``: the tenant answers nothing, so the failure does not count. The outage decides when the next
        attempt starts.
        """
        if error.kind is Kind.UNAUTHENTICATED:
            return self._wait_for_token(attempts, now)
        attempts.unauthenticated_at = None
        if in_outage:
            return self._uniform(0.0, BASE)
        failures = attempts.failed(error.kind)
        if attempts.counted >= self._max_attempts or not again(error, failures, self._max_attempts):
            return None
        return delay(attempts.counted, self._uniform)

    def _wait_for_token(self, attempts: Attempts, now: float) -> float | None:
        if attempts.unauthenticated_at is None:
            attempts.unauthenticated_at = now
        since = now - attempts.unauthenticated_at
        return (
            None
            if since >= UNAUTHENTICATED_FOR
            else self._uniform(0.0, min(since + BASE, UNAUTHENTICATED_CAP))
        )


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
