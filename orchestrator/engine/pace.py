"""A tenant's pace, written down as it goes, so that a run can be watched and replayed."""

from collections.abc import Callable

from orchestrator.engine.context import Context
from orchestrator.model import Answered
from orchestrator.pacing.pacer import Pacer

EVERY = 1.0
"""Seconds between two rows of the journal."""


class PaceRecord:
    """What one tenant's answers teach its pacer; a row of the journal a second, and an event where something turns.

    ``waiting`` says how many stops the tenant has yet to accept.
    """

    def __init__(self, context: Context, pacer: Pacer, waiting: Callable[[], int]) -> None:
        self._context = context
        self._pacer = pacer
        self._waiting = waiting
        self._slots = pacer.limit
        self._throttled = 0
        self._due: float | None = None
        self._closed_until: float | None = None

    def answered(self, answer: Answered) -> None:
        """Takes what one answer told."""
        context, pacer = self._context, self._pacer
        now = context.last_answer_at = context.clock.now()
        if pacer.circuit.open:
            context.log.info("pace.tenant_back", waiting=self._waiting())
        pacer.answered(answer, now)
        context.tally.heard(answer)
        context.tally.closed_until = pacer.closed_until
        slots = context.tally.slots = pacer.limit
        context.tally.in_flight = pacer.in_flight
        if answer.throttled or answer.retry_after is not None:
            self._throttled += answer.throttled
            self._refused(answer)
        if pacer.gate > now and pacer.gate != self._closed_until:
            self._closed_until = pacer.gate
            context.log.info("pace.gate_closed", seconds=round(pacer.gate - now, 3))
        if slots != self._slots:
            others = pacer.others
            context.log.debug(
                "pace.limit", slots=slots, before=self._slots, others=others and round(others, 1)
            )
            self._slots = slots

    def unanswered(self) -> None:
        """A call came to no answer."""
        circuit, was_open = self._pacer.circuit, self._pacer.circuit.open
        self._pacer.unanswered(self._context.clock.now())
        if circuit.open and not was_open:
            self._context.log.warning("pace.tenant_silent", waiting=self._waiting())

    def moved(self) -> None:
        """A call has left or has come to its end."""
        now = self._context.clock.now()
        if self._closed_until is not None and now >= self._closed_until:
            self._closed_until = None
            self._context.log.info("pace.gate_opened", waiting=self._waiting())
        if self._due is None or now >= self._due:
            self._due = now + EVERY
            self._write()

    def close(self) -> None:
        """The last row, of a run that made calls."""
        if self._due is not None:
            self._write()

    def _write(self) -> None:
        pacer = self._pacer
        self._context.journal.paced(
            pacer.limit, pacer.in_flight, pacer.others, self._throttled, self._waiting()
        )
        self._throttled = 0

    def _refused(self, answer: Answered) -> None:
        self._context.log.debug(
            "tenant.throttled", http_status=answer.http_status, retry_after=answer.retry_after,
            slots=self._pacer.limit, concurrency=answer.limits.concurrency,
            remaining=answer.limits.concurrency_remaining,
        )  # fmt: skip
