"""The plan's lane: reads what each action is doing and sends no stop."""

from collections.abc import Awaitable, Iterable
from functools import partial

from orchestrator.engine.context import Context, Tries
from orchestrator.engine.following import Follower, FollowLane
from orchestrator.engine.guards import Expectations
from orchestrator.engine.reading import Failed, keep, read_status
from orchestrator.engine.retry import is_final
from orchestrator.engine.verdict import verdict
from orchestrator.errors import CallError
from orchestrator.journal.entries import Armed
from orchestrator.model import ActionState, Outcome, Problem, Status

BETWEEN_LOOKS = 2.0
"""Seconds between the two readings that tell an action's speed. The tenant's own start time names no zone, so one
reading cannot."""


class _Look:
    def __init__(self, follower: Follower) -> None:
        self.follower = follower
        self.tries = Tries()
        self.first_at = 0.0
        self.first_count: int | None = None


class PlanLane:
    """Reads each key's status, and once more where it is being processed; settles it with what a run would do."""

    def __init__(self, context: Context, follow: FollowLane, expectations: Expectations) -> None:
        self._context = context
        self._follow = follow
        self._expectations = expectations
        self.held: dict[int, _Look] = {}

    def add(self, armed: Iterable[Armed]) -> None:
        context = self._context
        for one in armed:
            log = context.log.bind(bulk_key=one.bulk_key)
            look = _Look(Follower(one.seq, one.bulk_key, log, accepted=False, lost=False))
            self.held[one.seq] = look
            context.dispatcher.lanes.guards.append(partial(self._look, look))
        context.dispatcher.kick()

    def release(self) -> None:
        for seq in self.held:
            self._context.journal.release(seq, intent=False)
        self.held.clear()

    def look(self, _: CallError) -> bool:
        """Every call of a plan is a look: there is no other to try."""
        return False

    async def _look(self, look: _Look) -> Awaitable[None] | None:
        context, key = self._context, look.follower
        match await read_status(context, key, look.tries):
            case None:
                pass
            case Failed(error, problem, wait):
                if wait is not None:
                    self._look_again(look, wait)
                    return None
                self._settle(look, Outcome.REJECTED if is_final(error.kind) else Outcome.UNREACHABLE, problem)
                context.tries_ended(look.tries, error)
            case reading:
                look.tries = Tries()
                self._seen(look, keep(context, key, reading))
        return None

    def _seen(self, look: _Look, state: ActionState) -> None:
        processed, now = state.records.processed, self._context.clock.now()
        if state.status.terminal:
            self._settle(look, verdict(state.status, accepted=False, lost=False))
        elif unexpected := self._expectations.problem(state):
            self._settle(look, Outcome.SKIPPED_BY_GUARD, unexpected)
        elif state.status is not Status.PROCESSING or processed is None:
            self._settle(look, Outcome.WOULD_STOP)
        elif look.first_count is None:
            look.first_count, look.first_at = processed, now
            self._look_again(look, BETWEEN_LOOKS)
        else:
            speed = (processed - look.first_count) / (now - look.first_at)
            self._settle(look, Outcome.WOULD_STOP, speed=round(max(speed, 0.0), 3))

    def _look_again(self, look: _Look, wait: float) -> None:
        self._context.dispatcher.lanes.results.push(
            self._context.clock.now() + wait, partial(self._look, look)
        )
        self._context.dispatcher.kick()

    def _settle(
        self, look: _Look, outcome: Outcome, problem: Problem | None = None, speed: float | None = None
    ) -> None:
        del self.held[look.follower.seq]
        self._follow.settle(look.follower, outcome, problem, speed)
