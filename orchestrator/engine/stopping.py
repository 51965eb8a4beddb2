"""The stop lane: one key from its first stop until the tenant has taken it, refused it, or used up its tries."""

from collections.abc import Awaitable, Iterable
from functools import partial

from orchestrator.engine.context import NO_ANSWER, Context, Tries, as_problem
from orchestrator.engine.following import Follower, FollowLane, StopAgain
from orchestrator.engine.guards import Expectations
from orchestrator.engine.reading import Failed, keep, read_status
from orchestrator.engine.retry import is_final
from orchestrator.engine.verdict import given_up
from orchestrator.errors import CallError, Kind, TenantError
from orchestrator.journal.entries import Armed, Followed
from orchestrator.logs import Log
from orchestrator.model import Outcome, Problem, Status


class StopKey:
    """One key on its way to an accepted stop."""

    __slots__ = ("bulk_key", "intended", "log", "lost", "reads", "seq", "stops", "under_way")

    def __init__(self, armed: Armed, log: Log, *, intended: bool) -> None:
        self.seq = armed.seq
        self.bulk_key = armed.bulk_key
        self.lost = armed.lost
        self.intended = intended
        self.under_way = False
        self.stops = Tries()
        self.reads = Tries()
        self.log = log.bind(bulk_key=armed.bulk_key)


class StopLane:
    """Sends stops. What is taken goes to ``follow``; what is refused is settled, by its status where that can tell."""

    def __init__(self, context: Context, follow: FollowLane, expectations: Expectations) -> None:
        self._context = context
        self._follow = follow
        self._expectations = expectations
        self.held: dict[int, StopKey] = {}
        follow.stop_again = self._stop_again_later

    def add(self, armed: Iterable[Armed]) -> None:
        """Takes keys whose intent is on disk."""
        context, guarded = self._context, bool(self._expectations)
        for one in armed:
            key = self.held[one.seq] = StopKey(one, context.log, intended=not guarded)
            if guarded:
                context.dispatcher.lanes.guards.append(partial(self._look_first, key))
            else:
                context.dispatcher.lanes.stops.append(partial(self._send, key))
        context.dispatcher.kick()

    def release(self) -> None:
        """Gives back to the journal what never left. A stop that was cut while it was under way may have worked."""
        for key in self.held.values():
            if not key.under_way:
                retried = key.intended and key.stops.made > 0
                self._context.journal.release(key.seq, intent=key.intended, retried=retried)
        self.held.clear()

    def look(self, error: CallError) -> bool:
        """Has the status tell of each key whose stop may have worked, as no answer does; False where there is none."""
        may_have_worked = [key for key in self.held.values() if key.lost and not key.under_way]
        for key in may_have_worked:
            del self.held[key.seq]
            if key.intended:
                self._context.journal.release(key.seq, intent=True, retried=key.stops.made > 0)
            self._follow.refused(self._refused(key), as_problem(error), partial(self._stop_again, key))
        return bool(may_have_worked)

    async def _send(self, key: StopKey) -> Awaitable[None] | None:
        context = self._context
        if not await context.may_call(stop=True):
            return None
        track_id = context.track_id()
        key.stops.begin(context.clock.now())
        context.tally.stops_sent += 1
        if key.stops.made == 1:
            context.dispatcher.lanes.budget.earn()
        sent_at = context.clock.stamp()
        key.under_way = True
        try:
            request_id = await context.tenant.stop(key.bulk_key, track_id)
        except CallError as error:
            key.under_way = False
            return self._failed(key, error, track_id, sent_at)
        except TenantError as error:
            key.under_way = False
            key.stops.made -= 1  # it never left
            context.abort(error)
            return None
        del self.held[key.seq]
        context.tally.accepted += 1
        for guard in context.guards:
            guard.accepted()
        key.log.debug("stop.accepted", track_id=track_id, request_id=request_id, attempt=key.stops.made)
        self._follow.accepted(
            Follower(key.seq, key.bulk_key, key.log, accepted=True, lost=key.lost),
            sent_at,
            track_id,
            request_id,
        )
        return None

    def _failed(self, key: StopKey, error: CallError, track_id: str, sent_at: str) -> Awaitable[None] | None:
        context = self._context
        key.intended = False
        key.lost = key.lost or error.may_have_worked
        throttled = error.kind is Kind.THROTTLED
        context.tally.throttled += throttled
        problem = as_problem(error)
        context.journal.stop_failed(
            key.seq, sent_at, track_id, problem, lost=error.may_have_worked, throttled=throttled
        )
        wait = context.try_again_in(key.stops, error)
        key.log.debug(
            "stop.failed", kind=error.kind, code=error.code, http_status=error.http_status, track_id=track_id,
            request_id=error.request_id, attempt=key.stops.made, again_in=wait and round(wait, 3),
            message=error.message,
        )  # fmt: skip
        if key.seq not in self.held:  # with this failure the tenant was taken for gone: the status tells
            return None
        if wait is not None:
            return self._send_later(key, wait)
        if error.kind in NO_ANSWER and not context.answered_since(key.stops):
            if not key.lost:
                self._leave(key, Outcome.UNREACHABLE, problem)
            context.tries_ended(key.stops, error)
            return None
        del self.held[key.seq]
        if error.kind is Kind.WRONG_STATE or key.lost or not is_final(error.kind):
            self._follow.refused(self._refused(key), problem, stop_again=partial(self._stop_again, key))
        else:
            self._follow.settle(self._refused(key), Outcome.REJECTED, problem)
        return None

    async def _send_later(self, key: StopKey, wait: float) -> None:
        context = self._context
        due = context.clock.now() + wait
        context.tally.retries += 1
        key.intended = True
        await context.journal.record_intent(key.seq, retried=True)
        context.dispatcher.lanes.again(due, partial(self._send, key))
        context.dispatcher.kick()

    async def _stop_again(self, key: StopKey) -> bool:
        """Sends another stop for an action that runs although its stop was refused; False without tries left."""
        if key.stops.made >= self._context.settings.max_attempts:
            return False
        self.held[key.seq] = key
        await self._send_later(key, self._context.random.uniform(0.0, 0.5))
        return True

    def _stop_again_later(self, followed: Followed) -> StopAgain:
        """How another stop is sent for a key that waited in the journal for its status to be read."""
        armed = Armed(followed.seq, followed.bulk_key, followed.lost, followed.attempts)
        key = StopKey(armed, self._context.log, intended=False)
        key.stops.made = followed.attempts
        return partial(self._stop_again, key)

    async def _look_first(self, key: StopKey) -> Awaitable[None] | None:
        context = self._context
        match await read_status(context, key, key.reads):
            case None:
                return None
            case Failed(error, problem, wait):
                if wait is not None:
                    context.dispatcher.lanes.again(context.clock.now() + wait, partial(self._look_first, key))
                    return None
                refused = is_final(error.kind) and not key.lost
                outcome = Outcome.REJECTED if refused else given_up(accepted=False, lost=key.lost)
                self._leave(key, outcome, problem)
                context.tries_ended(key.reads, error)
                return None
            case reading:
                state = reading.state
                if state.status.terminal or (key.lost and state.status is Status.STOPPING):
                    # An action that our own stop, lost before, has put there was not left alone.
                    del self.held[key.seq]
                    return self._follow.seen(self._refused(key), reading)
                keep(context, key, reading)
                unexpected = self._expectations.problem(state)
                if unexpected is None:
                    return self._send_guarded(key)
                self._leave(key, Outcome.SKIPPED_BY_GUARD, unexpected)
                return None

    def _leave(self, key: StopKey, outcome: Outcome, problem: Problem) -> None:
        del self.held[key.seq]
        self._follow.settle(self._refused(key), outcome, problem)

    async def _send_guarded(self, key: StopKey) -> None:
        key.intended = True
        await self._context.journal.record_intent(key.seq, retried=False)
        self._context.dispatcher.lanes.stops.append(partial(self._send, key))
        self._context.dispatcher.kick()

    def _refused(self, key: StopKey) -> Follower:
        return Follower(key.seq, key.bulk_key, key.log, accepted=False, lost=key.lost)
