"""The plan's lane: reads what each action is doing and sends no stop."""

from collections.abc import Awaitable, Iterable
from functools import partial

from orchestrator.engine.context import Context, Tries, as_problem
from orchestrator.engine.following import Follower, FollowLane
from orchestrator.engine.verdict import verdict
from orchestrator.errors import CallError, Kind, TenantError, TenantUnreachable
from orchestrator.model import Outcome, Status
from orchestrator.store.journal import Armed

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

    def __init__(self, context: Context, follow: FollowLane) -> None:
        self._context = context
        self._follow = follow
        self.held: dict[int, _Look] = {}

    def add(self, armed: Iterable[Armed]) -> None:
        context = self._context
        for one in armed:
            log = context.log.bind(bulk_key=one.bulk_key)
            look = _Look(Follower(one.seq, one.bulk_key, log, accepted=False, lost=False))
            self.held[one.seq] = look
            context.dispatcher.guards.append(partial(self._look, look))
        context.dispatcher.kick()

    def release(self) -> None:
        for seq in self.held:
            self._context.journal.disarm(seq, intent=False)
        self.held.clear()

    async def _look(self, look: _Look) -> Awaitable[None] | None:
        context, key = self._context, look.follower
        track_id = context.track_id()
        retried = look.tries.made > 0
        look.tries.begin(context.clock.now())
        try:
            state = (await context.tenant.status(key.bulk_key, track_id)).value
        except CallError as error:
            self._failed(look, error, track_id, retried=retried)
            return None
        except TenantError as error:
            context.abort(error)
            return None
        look.tries = Tries()
        context.journal.status_read(key.seq, state.status, state.action_type, state.records, retried=retried)
        processed, now = state.records.processed, context.clock.now()
        if state.status.terminal:
            self._settle(look, verdict(state.status, accepted=False, lost=False))
        elif state.status is not Status.PROCESSING or processed is None:
            self._settle(look, Outcome.WOULD_STOP)
        elif look.first_count is None:
            look.first_count, look.first_at = processed, now
            context.dispatcher.results.push(now + BETWEEN_LOOKS, partial(self._look, look))
            context.dispatcher.kick()
        else:
            speed = (processed - look.first_count) / (now - look.first_at)
            self._settle(look, Outcome.WOULD_STOP, round(max(speed, 0.0), 3))
        return None

    def _failed(self, look: _Look, error: CallError, track_id: str, *, retried: bool) -> None:
        context, key = self._context, look.follower
        throttled = error.kind is Kind.THROTTLED
        context.tally.throttled += throttled
        problem = as_problem(error)
        context.journal.read_failed(
            key.seq, "status", track_id, problem, throttled=throttled, retried=retried
        )
        wait = context.try_again_in(look.tries, error)
        key.log.debug("plan.failed", kind=error.kind, again_in=wait and round(wait, 3), message=error.message)
        if wait is not None:
            context.tally.retries += 1
            context.dispatcher.results.push(context.clock.now() + wait, partial(self._look, look))
            context.dispatcher.kick()
            return
        gone = context.tenant_is_gone(look.tries, error)
        unreachable = error.http_status is None or error.http_status >= 429
        self._follow.settle(key, Outcome.UNREACHABLE if unreachable else Outcome.REJECTED, problem)
        del self.held[key.seq]
        if gone:
            context.abort(TenantUnreachable(f"The tenant does not answer any more: {error.message}"))

    def _settle(self, look: _Look, outcome: Outcome, speed: float | None = None) -> None:
        del self.held[look.follower.seq]
        self._follow.settle(look.follower, outcome, None, speed)
