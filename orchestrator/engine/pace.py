"""A tenant's pace as the run goes: what responses teach the pacer, and its record in journal, progress and log."""

from math import inf

from orchestrator.clock import Clock
from orchestrator.engine.backlog import Backlog
from orchestrator.errors import CallError
from orchestrator.journal.journal import Journal
from orchestrator.logs import Log
from orchestrator.model import Answered
from orchestrator.pacing.pacer import Pacer
from orchestrator.progress import OutageFacts, Progress

EVERY = 1.0
"""Seconds between two rows of the journal."""


class Pace:
    """The pacer of one tenant, fed with every response.

    Writes a row a second to the journal, and an event where something changes.

    Attributes:
        pacer: the arithmetic.
        last_answer_at: when the API last answered a call, in the session's seconds.
    """

    def __init__(
        self, pacer: Pacer, backlog: Backlog, journal: Journal, progress: Progress, clock: Clock, log: Log
    ) -> None:
        self.pacer = pacer
        self.last_answer_at = -inf
        self._backlog = backlog
        self._journal = journal
        self._progress = progress
        self._clock = clock
        self._log = log
        self._slots = pacer.limit
        self._throttled = 0
        self._due: float | None = None
        self._paused_until: float | None = None

    def receive(self, answer: Answered) -> None:
        """Learn from a response, before its call returns."""
        pacer, progress = self.pacer, self._progress
        now = self._clock.now()
        if answer.by_api:
            self.last_answer_at = now
            if pacer.circuit.open:
                self._end_outage(now)
            progress.received(answer)
        pacer.answered(answer, now)
        progress.closed_until = pacer.closed_until
        slots = progress.slots = pacer.limit
        if answer.throttled or answer.retry_after is not None:
            self._throttled += answer.throttled
            self._log_refusal(answer)
        if pacer.paused_until > now and pacer.paused_until != self._paused_until:
            self._paused_until = pacer.paused_until
            self._log.debug("pace.gate_closed", seconds=round(pacer.paused_until - now, 3))
        if slots != self._slots:
            others = pacer.others
            self._log.debug("pace.limit", slots=slots, before=self._slots, others=others and round(others, 1))
            self._slots = slots

    def token_throttled(self, error: CallError) -> None:
        """The tenant refused a request for a token for its limits: no call starts for a while."""
        self.pacer.token_throttled(self._clock.now(), error.retry_after)
        self._progress.closed_until = self.pacer.closed_until

    @property
    def answered(self) -> bool:
        """Whether the API has answered a call of this session."""
        return self.last_answer_at > -inf

    def failed(self, error: CallError, ends_at: float, *, stalled: bool) -> None:
        """Learn that a call ended without an answer from the API. The run ends at ``ends_at`` if none comes.

        ``stalled``: no call ended, but all of them hang.
        """
        circuit, now = self.pacer.circuit, self._clock.now()
        begins = circuit.failed(now, quiet_since=self.pacer.quiet_since if stalled else None)
        if circuit.since is None or not circuit.open:
            return
        self._progress.outage = OutageFacts(circuit.since, error.message, circuit.next_probe_at, ends_at)
        if begins:
            self._log.warning(
                "outage.started", message=error.message, waits_for=round(ends_at - now, 1),
                waiting=self._backlog.unsent,
            )  # fmt: skip
        else:
            self._log.debug(
                "outage.continues", message=error.message, next_probe_in=circuit.next_probe_at - now
            )

    def _end_outage(self, now: float) -> None:
        self._progress.outage = None
        since = self.pacer.circuit.since
        if since is not None:
            self._log.info("outage.ended", seconds=round(now - since, 1), waiting=self._backlog.unsent)

    def in_flight_changed(self, now: float) -> None:
        """A call started or ended: show it. Write a row to the journal if one is due."""
        self._progress.in_flight = self.pacer.in_flight
        if self._paused_until is not None and now >= self._paused_until:
            self._paused_until = None
            self._log.debug("pace.gate_opened", waiting=self._backlog.unsent)
        if self._due is None or now >= self._due:
            self._due = now + EVERY
            self._write()

    def close(self) -> None:
        """Write the last row, if calls were made."""
        if self._due is not None:
            self._write()

    def _write(self) -> None:
        pacer = self.pacer
        self._journal.paced(pacer.limit, pacer.in_flight, pacer.others, self._throttled, self._backlog.unsent)
        self._throttled = 0

    def _log_refusal(self, answer: Answered) -> None:
        self._log.debug(
            "tenant.throttled", http_status=answer.http_status, retry_after=answer.retry_after,
            slots=self.pacer.limit, concurrency=answer.limits.concurrency,
            remaining=answer.limits.concurrency_remaining,
        )  # fmt: skip
