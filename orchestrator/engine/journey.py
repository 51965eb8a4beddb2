"""One key's life from top to bottom: guards, stop, polls, response file, completion.

The steps use: :mod:`.sending` sends one stop, :mod:`.reading` reads statuses and files. Both make a call inside
``async with gate.slot(priority)`` (:mod:`.gate`), and slow calls are sent again (:mod:`.race`). Both ask :mod:`.retry`
whether a failed call is repeated. :mod:`.verdict` names the outcome, and :mod:`.recorder` writes everything down.
"""

from asyncio import CancelledError
from collections.abc import Callable

from orchestrator.action import Action, Step
from orchestrator.clock import Clock
from orchestrator.durations import show_duration
from orchestrator.engine.backlog import Backlog
from orchestrator.engine.cutoff import Cutoff
from orchestrator.engine.gate import Closed, Gate
from orchestrator.engine.guards import Expectations
from orchestrator.engine.polling import FIRST_READ, PollSchedule
from orchestrator.engine.queue import Priority
from orchestrator.engine.race import Looked
from orchestrator.engine.reading import AttemptsExhausted, Reader
from orchestrator.engine.recorder import AcceptedStop, Completion, Recorder, as_problem
from orchestrator.engine.retry import is_final
from orchestrator.engine.sending import StopSender
from orchestrator.engine.verdict import file_is_due, refused, verdict, without_status
from orchestrator.errors import NO_RESPONSE, CallError, Kind, TenantError
from orchestrator.journal.journal import Journal
from orchestrator.model import Outcome, Problem, Reading, Status
from orchestrator.settings import Settings

STOP_AGAIN = 0.5
"""Seconds at most until a stop is sent again to an action that runs although its stop was refused."""

_NO_ADDRESS = Problem(
    kind=Kind.NO_RESPONSE_FILE.value,
    message="The action is over, but the tenant named no response file within a minute. The counts are those of the "
    "status. Run mass-stop resume to ask again.",
)


class Parked(Exception):
    """Memory holds enough actions. The journal keeps this one until it is due."""


class Journey:
    """Takes a key from its claim to its completion, or back to the journal.

    One instance serves all keys of a tenant: what belongs to one key is in its action. Waiting for a slot, for the next
    attempt or for the next poll holds no slot.
    """

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        gate: Gate,
        backlog: Backlog,
        cutoff: Cutoff,
        recorder: Recorder,
        sender: StopSender,
        reader: Reader,
        schedule: PollSchedule,
        clock: Clock,
        uniform: Callable[[float, float], float],
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._gate = gate
        self._backlog = backlog
        self._cutoff = cutoff
        self._recorder = recorder
        self._sender = sender
        self._reader = reader
        self._schedule = schedule
        self._clock = clock
        self._uniform = uniform
        self._expectations = Expectations(settings)

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
        end: Reading | None = None
        if action.step is Step.STOP:
            if self._expectations:
                checked = await self._check_guards(action)
                if isinstance(checked, Completion):
                    return checked
                end = checked
            if end is None and (completion := await self._stop(action)):
                return completion
        if action.step is Step.POLL and (completion := await self._poll_until_over(action, end)):
            return completion
        assert action.outcome is not None
        problem = await self._reader.file(action)
        return Completion(action.outcome, problem)  # a missing file does not change how the action ended

    # Guards

    async def _check_guards(self, action: Action) -> Completion | Reading | None:
        """Read the action before its stop.

        Returns:
            How the action ends if no stop is sent. Or the reading that shows it over. Or None: its stop may be sent.
        """
        try:
            reading = await self._reader.status(action, Priority.GUARD, again=Priority.RETRY)
        except AttemptsExhausted as failure:
            if action.possibly_stopped:
                return Completion(Outcome.UNCONFIRMED, failure.problem)
            if is_final(failure.error.kind):
                return Completion(refused(failure.problem), failure.problem)
            unreachable = failure.error.kind in NO_RESPONSE
            outcome = Outcome.UNREACHABLE if unreachable else Outcome.NOT_ATTEMPTED
            return Completion(outcome, failure.problem)
        state = reading.state
        # An action that a stop of this run has put to Stopping did not escape the guard.
        if state.status.terminal or (action.possibly_stopped and state.status is Status.STOPPING):
            self._journal.start_polling(action.seq, self._clock.now(), claimed=True)
            self._recorder.status_decides()
            self._backlog.move(action, Step.POLL)
            return reading
        self._recorder.status(action, reading)
        if unexpected := self._expectations.problem(state):
            return Completion(Outcome.SKIPPED_BY_GUARD, unexpected)
        self._gate.check(Priority.STOP)
        action.intent = True
        await self._journal.record_intent(action.seq, retried=False)
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
                if isinstance(response, Looked):
                    if response.is_conclusive:
                        self._poll_from_now_on(action)
                        return None
                    action.due = 0.0
                elif response.wait is None:
                    return self._no_attempt_left(action, response.error)
                else:
                    action.due = self._clock.now() + response.wait
                if not action.intent:
                    await self._record_next_intent(action)
        except Closed:
            if not action.possibly_stopped or self._cutoff.cancelled_by is not None:
                raise
            self._poll_from_now_on(action)  # an earlier stop may have taken effect
            return None

    async def _record_next_intent(self, action: Action) -> None:
        """Before a stop leaves, the journal must have its intent on disk."""
        self._gate.check(Priority.RETRY)
        self._recorder.stop_again()
        action.intent = True
        await self._journal.record_intent(action.seq, retried=True)

    def _stop_accepted(self, action: Action, stop: AcceptedStop) -> None:
        action.in_flight, action.intent = 0, False
        action.accepted, action.problem = True, None
        action.due = self._clock.now() + FIRST_READ
        keep = self._backlog.room > 0
        self._recorder.stop_accepted(action, stop, due=action.due, keep=keep)
        self._backlog.move(action, Step.POLL)
        if not keep:
            raise Parked

    def _no_attempt_left(self, action: Action, error: CallError) -> Completion | None:
        """How the action ends if that is known without its status, otherwise None."""
        if is_final(error.kind) and error.kind is not Kind.WRONG_STATE and not action.possibly_stopped:
            problem = as_problem(error)
            return Completion(refused(problem), problem)
        self._poll_from_now_on(action)
        return None

    def _poll_from_now_on(self, action: Action) -> None:
        """No stop is due any more: the status decides."""
        if action.intent:
            self._journal.release(action.seq, intent=True, retried=action.stops.made > 0)
            action.intent = False
        action.due = self._clock.now()
        keep = self._backlog.room > 0
        self._journal.start_polling(action.seq, action.due, claimed=keep)
        self._recorder.status_decides()
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
        """Read the status when it is due. If the run is interrupted, read it now, and only if it was never read."""
        try:
            if not self._cutoff.confirming:
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
        if action.problem is None or action.stops.counted >= self._settings.max_attempts:
            credentials = action.problem is not None and action.problem.kind == Kind.UNAUTHENTICATED
            outcome = Outcome.NOT_ATTEMPTED if credentials else Outcome.UNCONFIRMED  # the tenant did answer
            return Completion(outcome, action.problem)
        action.due = self._clock.now() + self._uniform(0.0, STOP_AGAIN)
        self._gate.check(Priority.RETRY)
        self._recorder.status_decided()
        self._backlog.move(action, Step.STOP)
        await self._record_next_intent(action)
        return await self._stop(action)

    def _poll_again(self, action: Action, now: float) -> None:
        self._recorder.polled_until(self._schedule.ends(action, now))
        action.due = self._schedule.next_poll(action, now)
        action.polls += 1
        if self._backlog.parked:  # others wait in the journal for room in memory
            self._journal.park(action.seq, action.due, action.first_polled_at, action.polls)
            raise Parked

    def _not_read(self, action: Action, failure: AttemptsExhausted) -> Completion:
        if action.outcome is not None:
            return Completion(action.outcome, failure.problem)
        problem = action.problem or failure.problem
        if failure.error.kind is Kind.NOT_FOUND and not action.accepted:
            return Completion(Outcome.REJECTED, problem)
        return self._without_status(action, problem)

    def _without_status(self, action: Action, problem: Problem | None) -> Completion:
        outcome = without_status(problem, accepted=action.accepted, possibly_stopped=action.possibly_stopped)
        return Completion(outcome, problem)


def _not_settled(status: Status, settle: float) -> Problem:
    waited = show_duration(settle)
    return Problem(
        kind="not_settled",
        message=f"The action was still {status.value} when it had been polled for {waited} (--settle).",
    )
