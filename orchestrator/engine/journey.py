"""One key's life from top to bottom: guards, stop, polls, response file, completion.

:mod:`.sending` sends one stop; in an outage it may read the status in its place. :mod:`.reading` reads statuses and
files. Both make each call inside ``async with gate.slot(priority)`` (:mod:`.gate`), and send a slow call once more
(:mod:`.hedge`, :mod:`.race`). Both ask :mod:`.retry` whether a failed call is repeated. :mod:`.verdict` decides the
outcome, and :mod:`.recorder` writes everything down.
"""

from asyncio import CancelledError

from msgspec import Struct

from orchestrator.action import Action, Step
from orchestrator.clock import Clock
from orchestrator.durations import show_duration
from orchestrator.engine.backlog import Backlog
from orchestrator.engine.cutoff import Cutoff
from orchestrator.engine.gate import Closed, Gate
from orchestrator.engine.guards import Expectations
from orchestrator.engine.polling import FIRST_READ, PollSchedule
from orchestrator.engine.queue import Priority
from orchestrator.engine.race import Probed
from orchestrator.engine.reading import AttemptsExhausted, Reader
from orchestrator.engine.recorder import AcceptedStop, Completion, Recorder, as_problem
from orchestrator.engine.retry import Retry, is_final
from orchestrator.engine.sending import StopSender
from orchestrator.engine.verdict import (
    file_is_due,
    outcome_of_refusal,
    outcome_of_running,
    outcome_of_unread,
    outcome_without_status,
    verdict,
)
from orchestrator.errors import CallError, Kind, TenantError
from orchestrator.model import Outcome, Problem, Reading, Status
from orchestrator.settings import Settings

_NO_ADDRESS = Problem(
    kind=Kind.NO_RESPONSE_FILE.value,
    message="The action is over, but the tenant named no response file within a minute. The counts are those of the "
    "status. Run mass-stop resume to ask again.",
)


class Parked(Exception):
    """The journal keeps this action until it is due: memory is full, or other parked actions wait for room."""


class Journey(Struct, eq=False):
    """Takes a key from its claim to its completion, or back to the journal.

    One instance serves all keys of a tenant: what belongs to one key is in its action. Waiting for a slot, for the next
    attempt or for the next poll holds no slot.
    """

    _settings: Settings
    _gate: Gate
    _backlog: Backlog
    _cutoff: Cutoff
    _recorder: Recorder
    _sender: StopSender
    _reader: Reader
    _schedule: PollSchedule
    _retry: Retry
    _clock: Clock
    _expectations: Expectations

    async def run(self, action: Action) -> None:
        """Take ``action`` to its completion, or back to the journal if memory is full or the run ends early."""
        try:
            completion = await self._to_completion(action)
            self._recorder.completed(action, completion)
        except Parked:
            self._backlog.parked += 1
        except Closed:
            self._recorder.released(action)
        except TenantError as error:  # there is no token, so no call can succeed
            self._cutoff.cancel(error)
            self._recorder.released(action)
        except CancelledError:
            self._recorder.released(action)
            raise
        finally:
            self._backlog.remove(action)

    async def _to_completion(self, action: Action) -> Completion:
        """Each step returns how the action ends, or None. Then it has set ``action.step`` to the next one."""
        reading: Reading | None = None
        if action.step is Step.STOP:
            if self._expectations:
                checked = await self._check_guards(action)
                if isinstance(checked, Completion):
                    return checked
                reading = checked
            if reading is None and (completion := await self._stop(action)):
                return completion
        if action.step is Step.POLL and (completion := await self._poll_until_over(action, reading)):
            return completion
        assert action.outcome is not None
        problem = await self._reader.file(action)
        return Completion(action.outcome, problem)  # a missing file does not change how the action ended

    # Guards

    async def _check_guards(self, action: Action) -> Completion | Reading | None:
        """Read the action before its stop.

        Returns:
            A Completion: no stop is sent, and the action ends like this.
            A Reading: the action is over already, or is Stopping because of an earlier stop of this run.
            None: the stop may be sent.
        """
        try:
            reading = await self._reader.status(action, Priority.GUARD, again=Priority.RETRY)
        except AttemptsExhausted as failure:
            outcome = outcome_of_unread(
                failure.error, failure.problem, possibly_stopped=action.possibly_stopped
            )
            return Completion(outcome, failure.problem)
        state = reading.state
        # An action that a stop of this run has put to Stopping did not escape the guard.
        if state.status.terminal or (action.possibly_stopped and state.status is Status.STOPPING):
            action.due = self._clock.now()
            self._recorder.polling(action, keep=True)
            self._backlog.move(action, Step.POLL)
            return reading
        self._recorder.status(action, reading)
        if unexpected := self._expectations.problem(state):
            return Completion(Outcome.SKIPPED_BY_GUARD, unexpected)
        self._gate.check(Priority.STOP)
        await self._recorder.intent(action, retried=False)
        return None

    # Stop

    async def _stop(self, action: Action) -> Completion | None:
        """Send stops until one is accepted, or until no attempt is left or no stop may leave any more.

        Returns:
            How the action ends, or None: the status decides.
        """
        try:
            while True:
                response = await self._sender.send(action)
                if isinstance(response, AcceptedStop):
                    self._stop_accepted(action, response)
                    return None
                if isinstance(response, Probed):
                    if response.is_conclusive:
                        self._poll_from_now_on(action)
                        return None
                    action.due = 0.0
                elif response.wait is None:
                    return self._after_last_stop(action, response.error)
                else:
                    action.due = self._clock.now() + response.wait
                if not action.intent:  # a probe did not use the intent of the stop in whose place it was sent
                    self._gate.check(Priority.RETRY)
                    await self._recorder.intent(action, retried=True)
        except Closed:
            may_poll = action.possibly_stopped and self._cutoff.cancelled_by is None
            if not may_poll:
                raise
            self._poll_from_now_on(action)
            return None

    def _stop_accepted(self, action: Action, stop: AcceptedStop) -> None:
        action.in_flight, action.intent = 0, False
        action.accepted, action.problem = True, None
        action.due = self._clock.now() + FIRST_READ
        keep = self._backlog.room > 0
        self._recorder.stop_accepted(action, stop, due=action.due, keep=keep)
        self._backlog.move(action, Step.POLL)
        if not keep:
            raise Parked

    def _after_last_stop(self, action: Action, error: CallError) -> Completion | None:
        """How the action ends if that is known without its status, otherwise None."""
        if is_final(error.kind) and error.kind is not Kind.WRONG_STATE and not action.possibly_stopped:
            problem = as_problem(error)
            return Completion(outcome_of_refusal(problem), problem)
        self._poll_from_now_on(action)
        return None

    def _poll_from_now_on(self, action: Action) -> None:
        """No stop is due any more: the status decides."""
        action.due = self._clock.now()
        keep = self._backlog.room > 0
        self._recorder.polling(action, keep=keep)
        self._backlog.move(action, Step.POLL)
        if not keep:
            raise Parked

    # Polls

    async def _poll_until_over(self, action: Action, reading: Reading | None) -> Completion | None:
        """Read the status until the action is over. ``reading`` is the first one, if it was read already.

        Returns:
            How the action ends, or None: its response file is to be fetched.
        """
        while True:
            if action.outcome is not None and not self._reader.fetches_files:
                return Completion(action.outcome)
            try:
                if reading is None:
                    reading = await self._poll(action)
            except AttemptsExhausted as failure:
                return self._not_read(action, failure)
            status = reading.state.status
            if status.terminal:
                action.read(reading.state)
                completion = self._over(action, reading)
            elif action.outcome is not None:  # the action was over before, so this status is stale
                self._recorder.stale_status(action, reading)
                completion = self._await_address(action, action.outcome)
            else:
                action.read(reading.state)
                self._recorder.status(action, reading)
                completion = await self._not_over(action, status)
            if completion is not None or action.step is Step.FETCH:
                return completion
            reading = None

    async def _poll(self, action: Action) -> Reading:
        """Read the status when it is due. Once the run is interrupted, read it at once, if it was never read."""
        if not self._cutoff.confirming:
            try:
                return await self._reader.status(action, Priority.POLL, action.due, again=Priority.POLL)
            except Closed:
                if not self._cutoff.confirming:
                    raise
        if action.polls > 0 or action.outcome is not None:
            raise Closed
        return await self._reader.status(action, Priority.POLL, again=Priority.POLL)

    def _over(self, action: Action, reading: Reading) -> Completion | None:
        state = reading.state
        # Without an accepted stop, polls are repeated only while the action is Stopping: then a stop took effect.
        accepted = action.accepted or (action.possibly_stopped and action.polls > 0)
        outcome = action.outcome or verdict(
            state.status, accepted=accepted, possibly_stopped=action.possibly_stopped
        )
        if not self._reader.fetches_files or (state.output_url is None and not file_is_due(state)):
            return Completion(outcome, reading=reading)
        self._recorder.status(action, reading)
        if state.output_url is None:
            return self._await_address(action, outcome)
        self._recorder.ended(action, outcome, state.output_url)
        action.outcome, action.output_url, action.due = outcome, state.output_url, 0.0
        self._backlog.move(action, Step.FETCH)
        return None

    def _await_address(self, action: Action, outcome: Outcome) -> Completion | None:
        """Poll an action that is over until the tenant names its response file, for at most a minute."""
        now = self._clock.now()
        if action.outcome is None:
            self._recorder.ended(action, outcome, None)
            action.outcome, action.first_polled_at, action.polls = outcome, now, 0
        if now >= self._schedule.ends(action, now):
            return Completion(outcome, _NO_ADDRESS)
        self._poll_again(action, now)
        return None

    async def _not_over(self, action: Action, status: Status) -> Completion | None:
        if not action.accepted and status is not Status.STOPPING:
            return await self._stop_again(action)
        now = self._clock.now()
        if now >= self._schedule.ends(action, now):
            return Completion(Outcome.UNCONFIRMED, _not_settled(status, self._settings.settle))
        self._poll_again(action, now)
        return None

    async def _stop_again(self, action: Action) -> Completion | None:
        """The action runs, and no stop was accepted: send another one, if an attempt is left."""
        if self._retry.exhausted(action.stops):
            return Completion(outcome_of_running(action.problem), action.problem)
        self._gate.check(Priority.RETRY)
        action.due = self._clock.now() + self._retry.soon()
        self._recorder.stop_due_again()
        self._backlog.move(action, Step.STOP)
        await self._recorder.intent(action, retried=True)
        return await self._stop(action)

    def _poll_again(self, action: Action, now: float) -> None:
        self._recorder.polled_until(self._schedule.ends(action, now))
        action.due = self._schedule.next_poll(action, now)
        action.polls += 1
        if self._backlog.parked:  # others wait in the journal for room in memory
            self._recorder.parked(action)
            raise Parked

    def _not_read(self, action: Action, failure: AttemptsExhausted) -> Completion:
        if action.outcome is not None:
            return Completion(action.outcome, failure.problem)
        problem = action.problem or failure.problem
        if failure.error.kind is Kind.NOT_FOUND and not action.accepted:
            return Completion(Outcome.REJECTED, problem)
        outcome = outcome_without_status(
            problem, accepted=action.accepted, possibly_stopped=action.possibly_stopped
        )
        return Completion(outcome, problem)


def _not_settled(status: Status, settle: float) -> Problem:
    waited = show_duration(settle)
    return Problem(
        kind="not_settled",
        message=f"The action was still {status.value} when it had been polled for {waited} (--settle).",
    )
