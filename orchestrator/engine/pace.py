"""A tenant's pace as the run goes: what responses teach the pacer, and its record in journal, progress and log."""

from math import inf

from orchestrator.clock import Clock
from orchestrator.engine.backlog import Backlog
from orchestrator.journal.journal import Journal
from orchestrator.logs import Log
from orchestrator.model import Answered
from orchestrator.pacing.pacer import Pacer
from orchestrator.progress import Progress

EVERY = 1.0
"""Seconds between two rows of the journal."""


class Pace:
    """The pacer of one tenant, fed with every response.

    Writes a row a second to the journal, and an event where something changes.

    Attributes:
        pacer: the arithmetic.
        responses: how many responses came so far.
        last_response_at: when the last one came, in the session's seconds.
    """

    def __init__(
        self, pacer: Pacer, backlog: Backlog, journal: Journal, progress: Progress, clock: Clock, log: Log
    ) -> None:
        self.pacer = pacer
        self.responses = 0
        self.last_response_at = -inf
        self._backlog = backlog
        self._journal = journal
        self._progress = progress
        self._clock = clock
        self._log = log
        self._slots = pacer.limit
        self._throttled = 0
        self._due: float | None = None
        self._closed_until: float | None = None

    def receive(self, answer: Answered) -> None:
        """Learn from a response, before its call returns."""
        pacer, progress = self.pacer, self._progress
        now = self.last_response_at = self._clock.now()
        self.responses += 1
        if pacer.circuit.open:
            self._log.info("pace.tenant_back", waiting=self._backlog.unsent)
        pacer.answered(answer, now)
        progress.heard(answer)
        progress.closed_until = pacer.closed_until
        slots = progress.slots = pacer.limit
        progress.in_flight = pacer.in_flight
        if answer.throttled or answer.retry_after is not None:
            self._throttled += answer.throttled
            self._log_refusal(answer)
        if pacer.gate > now and pacer.gate != self._closed_until:
            self._closed_until = pacer.gate
            self._log.info("pace.gate_closed", seconds=round(pacer.gate - now, 3))
        if slots != self._slots:
            others = pacer.others
            self._log.debug("pace.limit", slots=slots, before=self._slots, others=others and round(others, 1))
            self._slots = slots

    def unanswered(self) -> None:
        """Learn that a call got no response."""
        circuit, was_open = self.pacer.circuit, self.pacer.circuit.open
        self.pacer.unanswered(self._clock.now())
        if circuit.open and not was_open:
            self._log.warning("pace.tenant_silent", waiting=self._backlog.unsent)

    def moved(self) -> None:
        """A call started or ended. Write a row if one is due."""
        now = self._clock.now()
        if self._closed_until is not None and now >= self._closed_until:
            self._closed_until = None
            self._log.info("pace.gate_opened", waiting=self._backlog.unsent)
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
