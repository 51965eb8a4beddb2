"""Records each event of an action: in journal, progress, log and the failure guards."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from orchestrator.action import Action, Attempts, Step
from orchestrator.clock import Clock
from orchestrator.engine.backlog import Backlog
from orchestrator.engine.guards import FailureGuard
from orchestrator.errors import CallError, Kind
from orchestrator.journal.journal import Journal
from orchestrator.logs import Log
from orchestrator.model import FAILED, GOOD, Outcome, Problem, Reading, Records
from orchestrator.progress import NeedsPerson, Progress


class Completion(Struct, frozen=True):
    """How an action ends. ``reading`` is the status that showed the end, if it is not in the journal yet."""

    outcome: Outcome
    problem: Problem | None = None
    reading: Reading | None = None
    speed: float | None = None


class AcceptedStop(Struct, frozen=True):
    """The tenant accepted this stop."""

    sent_at: str
    track_id: str
    request_id: str | None


class Recorder(Struct, eq=False):
    """Writes down each event in the life of an action, and keeps ``action.intent`` as the journal has it.

    It decides nothing. ``on_completed`` is called with the number in the journal and the outcome of each completed
    action.
    """

    _journal: Journal
    _backlog: Backlog
    _progress: Progress
    _guards: Sequence[FailureGuard]
    _clock: Clock
    _log: Log
    _on_completed: Callable[[int, Outcome], None]
    _announced: bool = False

    async def intent(self, action: Action, *, retried: bool) -> None:
        """One more stop is about to be sent. Return once its intent is on disk.

        ``retried``: a stop of this action failed before.
        """
        action.intent = (
            True  # set first: if this task is cancelled while it waits, the journal has the intent
        )
        self._progress.retries += retried
        await self._journal.record_intent(action.seq, retried=retried)

    async def hedge_intent(self, action: Action) -> None:
        """A hedge of a stop is about to be sent. Return once its intent is on disk."""
        await self._journal.record_intent(action.seq, retried=False)

    def hedge_unsent(self, action: Action) -> None:
        """The hedge was not sent, so its intent is withdrawn."""
        self._journal.withdraw_intent(action.seq)

    def stop_sent(self) -> None:
        """A stop leaves now."""
        self._progress.stops_sent += 1

    def stop_accepted(self, action: Action, stop: AcceptedStop, *, due: float, keep: bool) -> None:
        """The tenant accepted a stop. ``keep``: the action stays in memory."""
        self._journal.accepted(
            action.seq, self._clock.stamp(), stop.sent_at, stop.track_id, stop.request_id, due, keep
        )
        self._progress.accepted += 1
        for guard in self._guards:
            guard.accepted()
        self._log.debug(
            "stop.accepted", bulk_key=action.bulk_key, track_id=stop.track_id, request_id=stop.request_id,
            attempt=action.stops.made,
        )  # fmt: skip

    def stop_failed(
        self, action: Action, error: CallError, track_id: str, sent_at: str, *, wait: float | None
    ) -> None:
        """A stop failed. It is sent again in ``wait`` seconds, unless that is None."""
        throttled = error.kind is Kind.THROTTLED
        self._progress.throttled += throttled
        self._journal.stop_failed(
            action.seq, sent_at, track_id, as_problem(error), lost=error.may_have_worked, throttled=throttled
        )
        self._log_failure("stop.failed", action, action.stops, error, track_id, wait)

    def hedged(self, action: Action, call: str, track_id: str) -> None:
        """A slow ``stop``, ``status`` or ``file`` call is sent once more."""
        self._journal.hedged(action.seq)
        self._progress.hedged += 1
        self._log.debug("call.hedged", bulk_key=action.bulk_key, call=call, track_id=track_id)

    def stop_superseded(self, action: Action, track_id: str, sent_at: str) -> None:
        """A stop was cancelled because another send was faster, or needed its slot. It may have taken effect."""
        self._journal.stop_superseded(action.seq, sent_at)
        self._log_cancelled(action, "stop", track_id)

    def read_cancelled(self, action: Action, call: str, track_id: str) -> None:
        """A ``status`` or ``file`` call was cancelled, and its response is not known."""
        self._journal.read_cancelled(action.seq, call)
        self._log_cancelled(action, call, track_id)

    def polling(self, action: Action, *, keep: bool) -> None:
        """No stop is due for an action without an accepted stop: the status decides. ``keep``: it stays in memory."""
        if action.intent:
            self._journal.release(action.seq, intent=True, retried=action.stops.made > 0)
            action.intent = False
        self._journal.start_polling(action.seq, action.due, claimed=keep)
        self._progress.deciding += 1

    def stop_due_again(self) -> None:
        """The status shows that such an action runs, so a stop is due again."""
        self._progress.deciding -= 1

    def parked(self, action: Action) -> None:
        """The action leaves memory until it is due."""
        self._journal.park(action.seq, action.due, action.first_polled_at, action.polls)

    def polled_until(self, at: float) -> None:
        """An action that is not over is polled until ``at`` at the latest."""
        self._progress.polls_until = max(self._progress.polls_until, at)

    def ended(self, action: Action, outcome: Outcome, output_url: str | None) -> None:
        """The end of the action was seen. Its response file is missing."""
        self._journal.ended(action.seq, outcome, output_url)
        if action.outcome is None:
            self._progress.confirmed += 1
            self.announce()

    def announce(self) -> None:
        """Say that all actions are over, at the moment at which this is known."""
        progress = self._progress
        if progress.all_over and not self._announced:
            self._announced = True
            self._log.info(
                "run.all_over", keys=progress.keys, results=progress.keys - progress.keys_completed
            )

    def read_failed(
        self,
        action: Action,
        call: str,
        attempts: Attempts,
        error: CallError,
        track_id: str,
        *,
        wait: float | None,
    ) -> None:
        """A ``status`` or ``file`` call failed. It is made again in ``wait`` seconds, unless that is None."""
        throttled = error.kind is Kind.THROTTLED
        self._progress.throttled += throttled
        self._progress.retries += wait is not None
        self._journal.read_failed(
            action.seq, call, track_id, as_problem(error), throttled=throttled, retried=attempts.made > 1
        )
        self._log_failure("read.failed", action, attempts, error, track_id, wait, call=call)

    def status(self, action: Action, reading: Reading) -> None:
        """The status was read, and the action continues."""
        self._journal.status_read(action.seq, reading.state, retried=reading.retried)

    def stale_status(self, action: Action, reading: Reading) -> None:
        """An older status was read than before. Only the call counts."""
        self._journal.status_read(action.seq, None, retried=reading.retried)

    def file_read(self, action: Action, *, retried: bool) -> None:
        """A ``file`` call succeeded."""
        self._journal.file_read(action.seq, retried=retried)

    def file_counted(self, action: Action, records: Records) -> None:
        """The records of the response file were counted."""
        self._journal.filed(action.seq, records, mismatch(action.counts, records))

    def file_unusable(self, action: Action, message: str) -> None:
        """The response file cannot be used."""
        self._log.warning("file.unusable", bulk_key=action.bulk_key, message=message)

    def completed(self, action: Action, completion: Completion) -> None:
        """The action came to its end."""
        outcome, problem, progress = completion.outcome, completion.problem, self._progress
        self._journal.completed(action.seq, outcome, problem, completion.speed, completion.reading)
        progress.completed += 1
        progress.completed_unsent += not action.accepted
        progress.deciding -= not action.accepted and action.step is not Step.STOP
        progress.confirmed += action.outcome is None
        progress.outcomes[outcome] += 1
        if outcome in GOOD:
            self._log.debug("action.completed", bulk_key=action.bulk_key, outcome=outcome)
        else:
            reason = problem.message if problem else ""
            progress.latest.append(NeedsPerson(action.bulk_key, outcome, reason))
            self._log.warning(
                "action.needs_a_person", bulk_key=action.bulk_key, outcome=outcome.value,
                message=problem and problem.message,
            )  # fmt: skip
        self.announce()
        self._on_completed(action.seq, outcome)
        if not action.accepted:
            refused = outcome is Outcome.UNCONFIRMED and not action.possibly_stopped
            failed = outcome in FAILED or refused
            progress.failed += failed
            for guard in self._guards:
                guard.ended(failed=failed)

    def released(self, action: Action) -> None:
        """The session ends before the action does. A stop in flight may have taken effect, so its intent stays."""
        self._backlog.released[action.step] += 1
        if action.step is not Step.STOP:
            self._journal.park(action.seq, 0.0)
        elif not action.in_flight:
            self._journal.release(
                action.seq, intent=action.intent, retried=action.intent and action.stops.made > 0
            )

    def _log_cancelled(self, action: Action, call: str, track_id: str) -> None:
        self._log.debug("call.cancelled", bulk_key=action.bulk_key, call=call, track_id=track_id)

    def _log_failure(
        self, event: str, action: Action, attempts: Attempts, error: CallError, track_id: str, wait: float | None,
        **fields: str,
    ) -> None:  # fmt: skip
        self._log.debug(
            event, bulk_key=action.bulk_key, **fields, kind=error.kind, code=error.code, http_status=error.http_status,
            track_id=track_id, request_id=error.request_id, attempt=attempts.made,
            again_in=wait and round(wait, 3), message=error.message,
        )  # fmt: skip


def as_problem(error: CallError) -> Problem:
    """``error`` as it appears in the report."""
    return Problem(
        kind=error.kind.value,
        code=error.code,
        http_status=error.http_status,
        message=error.message,
        request_id=error.request_id,
        process_id=error.process_id,
    )


def mismatch(status: Records, counted: Records) -> dict[str, Records] | None:
    """Both counts, if status and response file disagree in a number that both give."""
    pairs = (
        (status.total, counted.total),
        (status.processed, counted.processed),
        (status.succeeded, counted.succeeded),
        (status.failed, counted.failed),
    )
    if all(one is None or other is None or one == other for one, other in pairs):
        return None
    return {"status": status, "response_file": counted}
