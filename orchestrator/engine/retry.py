"""The decision after a failed call: arithmetic and tables, no I/O."""

from collections.abc import Callable

from orchestrator.action import Attempts
from orchestrator.backoff import full_jitter
from orchestrator.errors import CallError, Kind

BASE, CAP = 0.5, 30.0
"""Seconds: the longest wait after the first failure, doubled with each further failure, and the longest of all."""

UNAUTHENTICATED_FOR = 60.0
UNAUTHENTICATED_CAP = 2.0
"""Seconds for which a call is repeated that is refused as unauthenticated, and the longest wait between attempts. Each
attempt uses a token that was not refused before, if there is one."""

FEW = 4
"""Attempts of a call whose failure is probably permanent."""

SHARE, AT_START, MOST_SAVED = 0.2, 10, 50
"""Each first stop earns ``SHARE`` of a retry. ``AT_START`` retries are available at first, ``MOST_SAVED`` at most."""

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
            return self.soon()
        failures = attempts.failed(error.kind)
        if self.exhausted(attempts) or failures >= tries(error.kind, self._max_attempts):
            return None
        return delay(attempts.counted, self._uniform)

    def exhausted(self, attempts: Attempts) -> bool:
        """Whether ``--max-attempts`` failures were counted."""
        return attempts.counted >= self._max_attempts

    def soon(self) -> float:
        """Seconds until an attempt that need not wait for a backoff: a random part of ``BASE``."""
        return self._uniform(0.0, BASE)

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
    """How many retried stops may go before new stops: a share of the stops sent, and a few at the start.

    Retries add load to a tenant in trouble (Google's SRE book, chapter 21, "retry budget").
    """

    def __init__(self) -> None:
        self._left = float(AT_START)

    def earn(self) -> None:
        """Count the first stop of a key."""
        self._left = min(self._left + SHARE, MOST_SAVED)

    def spend(self) -> bool:
        """Whether one more retry is within the budget. If so, count it."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
