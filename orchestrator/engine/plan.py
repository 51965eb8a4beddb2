"""A plan: the journey without a stop."""

from orchestrator.action import Action
from orchestrator.engine.journey import Journey
from orchestrator.engine.queue import Priority
from orchestrator.engine.reading import AttemptsExhausted
from orchestrator.engine.recorder import Completion
from orchestrator.engine.retry import is_final
from orchestrator.engine.verdict import outcome_of_refusal, outcome_without_status, verdict
from orchestrator.model import ActionState, Outcome, Status

BETWEEN_READINGS = 2.0
"""Seconds between the two readings that give an action's speed. Its start time names no zone, so it cannot."""


class PlanJourney(Journey):
    """Reads each action, twice if it is being processed, and completes it with what a run would do."""

    async def _to_completion(self, action: Action) -> Completion:
        try:
            state = await self._observe(action, Priority.GUARD)
            if (completion := self._without_stop(state)) is not None:
                return completion
            began, before = self._clock.now(), state.records.processed
            if state.status is not Status.PROCESSING or before is None:
                return Completion(Outcome.WOULD_STOP)
            state = await self._observe(action, Priority.POLL, began + BETWEEN_READINGS)
        except AttemptsExhausted as failure:
            problem = failure.problem
            if is_final(failure.error.kind):
                return Completion(outcome_of_refusal(problem), problem)
            return Completion(
                outcome_without_status(problem, accepted=False, possibly_stopped=False), problem
            )
        if (completion := self._without_stop(state)) is not None:
            return completion
        after = state.records.processed
        if state.status is not Status.PROCESSING or after is None:
            return Completion(Outcome.WOULD_STOP)
        speed = (after - before) / (self._clock.now() - began)
        return Completion(Outcome.WOULD_STOP, speed=round(max(speed, 0.0), 3))

    async def _observe(self, action: Action, priority: Priority, due: float = 0.0) -> ActionState:
        reading = await self._reader.status(action, priority, due, again=Priority.POLL)
        self._recorder.status(action, reading)
        return reading.state

    def _without_stop(self, state: ActionState) -> Completion | None:
        """How the action would end without a stop: it is over, or a guard protects it."""
        if state.status.terminal:
            return Completion(verdict(state.status, accepted=False, possibly_stopped=False))
        if unexpected := self._expectations.problem(state):
            return Completion(Outcome.SKIPPED_BY_GUARD, unexpected)
        return None
