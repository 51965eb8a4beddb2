"""A tenant that does not respond: what counts as an outage, how long it may last, and what the operator sees."""

import asyncio
from math import inf

from orchestrator.action import Attempts
from orchestrator.clock import Clock
from orchestrator.durations import show_duration
from orchestrator.engine.cutoff import Cutoff
from orchestrator.engine.pace import Pace
from orchestrator.errors import CallError, Kind, TenantUnreachable
from orchestrator.pacing.circuit import PROBE_EVERY

WRONG_ADDRESS = 60.0
"""Seconds that an outage may last if the tenant has never responded and its address may be wrong."""

PROBE_TIME = 5.0
"""Seconds that a probe has for its answer after the tenant's limits held it back."""

_NO_OUTAGE = frozenset(
    {Kind.THROTTLED, Kind.UNAUTHENTICATED, Kind.NO_RESPONSE_FILE, Kind.BAD_FILE, Kind.TOO_LARGE}
)
"""Failures that say nothing about whether the tenant answers."""


class Outage:
    """Ends the run if the tenant stays away for too long. Until then, probes show when it is back.

    An outage is a time in which no call gets an answer from the API. Gateway pages, lost connections and a token
    endpoint that fails are part of it. Throttling is not.

    Args:
        longest: seconds that one outage may last (``--wait-for-tenant``).
        pace: the circuit, and what the operator sees.
        cutoff: ends the run.
        clock: the session's time.
        answered: the tenant has answered a call of this run in an earlier session.
    """

    def __init__(self, longest: float, pace: Pace, cutoff: Cutoff, clock: Clock, *, answered: bool) -> None:
        self._longest = longest
        self._pace = pace
        self._circuit = pace.pacer.circuit
        self._cutoff = cutoff
        self._clock = clock
        self._answered = answered
        self._wrong_address_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        cutoff.subscribe(self.close)

    @property
    def open(self) -> bool:
        """Whether there is an outage now."""
        return self._circuit.open

    def covers(self, error: CallError, attempts: Attempts) -> bool:
        """Whether an outage explains ``error``. Then the attempt does not count towards ``--max-attempts``.

        It counts if the API has answered any call since the previous attempt started: then only this call failed.
        """
        if error.by_api or error.kind in _NO_OUTAGE:
            return False
        return attempts.in_outage or self._pace.last_answer_at < attempts.previous_at

    def failed(self, error: CallError, started_at: float) -> None:
        """A call failed that started at ``started_at``. Must be called before its slot is released.

        If the API has answered a call since then, the failure says nothing about the tenant as a whole.
        """
        if not (error.by_api or error.kind in _NO_OUTAGE or started_at < self._pace.last_answer_at):
            self._failed(error)

    def no_token(self, error: CallError) -> None:
        """No token came. Requests for tokens have limits of their own, which are no outage."""
        if error.kind is Kind.THROTTLED:
            self._pace.token_throttled(error)
        else:
            self.failed(error, self._clock.now())

    def stalled(self) -> None:
        """All calls in flight hang, and have not timed out yet."""
        self._failed(CallError(Kind.TIMEOUT, "No call in flight is answered."), stalled=True)

    def _failed(self, error: CallError, *, stalled: bool = False) -> None:
        self._answered = self._answered or self._pace.answered
        now = self._clock.now()
        since = self._circuit.since
        if since is None:
            since = self._pace.pacer.quiet_since if stalled else now
        if not error.wrong_address:
            self._wrong_address_since = None
        elif self._wrong_address_since is None:
            self._wrong_address_since = now
        self._pace.failed(error, ends_at=self._ends_at(since), stalled=stalled)
        self._end_if_due(error)

    def close(self) -> None:
        """Forget the timer if no call may start any more."""
        if self._timer is not None and self._cutoff.cancelled_by is not None:
            self._timer.cancel()
            self._timer = None

    def _ends_at(self, since: float) -> float:
        """When an outage that began at ``since`` ends the run."""
        if self._answered or self._wrong_address_since is None:
            return since + self._longest
        return min(since + self._longest, self._wrong_address_since + WRONG_ADDRESS)

    def _probe_answered_by(self, now: float) -> float:
        """When a probe that waits for the tenant's limits gets its response. Until then, the run does not end."""
        opens_at = self._pace.pacer.opens_at(now)
        return -inf if opens_at is None or opens_at <= now + PROBE_EVERY[1] else opens_at + PROBE_TIME

    def _end_if_due(self, error: CallError) -> None:
        """End the run if the outage lasted too long. Otherwise ask again when it will have."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        since = self._circuit.since
        if since is None or self._cutoff.cancelled_by is not None:
            return
        now = self._clock.now()
        left = max(self._ends_at(since), self._probe_answered_by(now)) - now
        if left > 0:
            self._timer = asyncio.get_running_loop().call_later(left, self._end_if_due, error)
            return
        waited = show_duration(float(round(now - since)))
        self._cutoff.cancel(
            TenantUnreachable(f"The tenant did not answer for {waited} (--wait-for-tenant): {error.message}")
        )
