"""The stop lane: one key from its first stop until the tenant has taken it, refused it, or used up its tries."""

from collections.abc import Awaitable, Iterable
from functools import partial

from orchestrator.engine.context import Context, Tries, as_problem
from orchestrator.engine.following import Follower, FollowLane
from orchestrator.engine.guards import Expectations
from orchestrator.engine.retry import tries as tries_of
from orchestrator.errors import CallError, Kind, TenantError, TenantUnreachable
from orchestrator.logs import Log
from orchestrator.model import Outcome
from orchestrator.store.journal import Armed


class StopKey:
    """One key on its way to an accepted stop."""

    __slots__ = ("bulk_key", "intended", "log", "lost", "reads", "seq", "stops")

    def __init__(self, armed: Armed, log: Log, *, intended: bool) -> None:
        self.seq = armed.seq
        self.bulk_key = armed.bulk_key
        self.lost = armed.lost
        self.intended = intended
        self.stops = Tries()
        self.reads = Tries()
        self.log = log.bind(bulk_key=armed.bulk_key)


class StopLane:
    """Sends stops. What is taken goes to ``follow``; what is refused is settled, by reading the status where that can tell."""

    def __init__(self, context: Context, follow: FollowLane, expectations: Expectations) -> None:
        self._context = context
        self._follow = follow
        self._expectations = expectations
        self.held: dict[int, StopKey] = {}

    def add(self, armed: Iterable[Armed]) -> None:
        """Takes keys whose intent is on disk."""
        context = self._context
        for one in armed:
            key = self.held[one.seq] = StopKey(one, context.log, intended=not self._expectations)
            if self._expectations:
                context.dispatcher.guards.append(partial(self._look_first, key))
            else:
                context.dispatcher.stops.append(partial(self._send, key))
        context.dispatcher.kick()

    def release(self) -> None:
        """Gives back to the journal what never left. To be called once nothing is under way any more."""
        for key in self.held.values():
            self._context.journal.disarm(key.seq, intent=key.intended)
        self.held.clear()

    async def _send(self, key: StopKey) -> Awaitable[None] | None:
        context = self._context
        track_id = context.track_id()
        key.stops.begin(context.clock.now())
        context.tally.stops_sent += 1
        sent_at = context.clock.stamp()
        try:
            reply = await context.tenant.stop(key.bulk_key, track_id)
        except CallError as error:
            return self._failed(key, error, track_id, sent_at)
        except TenantError as error:
            context.abort(error)
            return None
        del self.held[key.seq]
        context.tally.accepted += 1
        key.log.debug("stop.accepted", track_id=track_id, request_id=reply.request_id, attempt=key.stops.made)
        self._follow.accepted(
            Follower(key.seq, key.bulk_key, key.log, accepted=True, lost=key.lost),
            sent_at,
            track_id,
            reply.request_id,
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
        if wait is not None:
            return self._send_later(key, wait)
        del self.held[key.seq]
        if context.tenant_is_gone(key.stops, error):
            self._follow.settle(self._refused(key), self._given_up(key), problem)
            context.abort(TenantUnreachable(f"The tenant does not answer any more: {error.message}"))
        elif error.kind is Kind.WRONG_STATE or key.lost or tries_of(error.kind, 2) > 1:
            self._follow.refused(self._refused(key), problem, stop_again=partial(self._stop_again, key))
        else:
            self._follow.settle(self._refused(key), Outcome.REJECTED, problem)
        return None

    async def _send_later(self, key: StopKey, wait: float) -> None:
        context = self._context
        due = context.clock.now() + wait
        context.tally.retries += 1
        await context.journal.intend(key.seq, retried=True)
        key.intended = True
        context.dispatcher.later_stops.push(due, partial(self._send, key))
        context.dispatcher.kick()

    async def _stop_again(self, key: StopKey) -> bool:
        """Sends another stop for an action that was refused as if it were over but is running; False without tries left."""
        if key.stops.made >= self._context.settings.max_attempts:
            return False
        self.held[key.seq] = key
        await self._send_later(key, self._context.random.uniform(0.0, 0.5))
        return True

    async def _look_first(self, key: StopKey) -> Awaitable[None] | None:
        context = self._context
        track_id = context.track_id()
        retried = key.reads.made > 0
        key.reads.begin(context.clock.now())
        try:
            state = (await context.tenant.status(key.bulk_key, track_id)).value
        except CallError as error:
            self._look_failed(key, error, track_id, retried=retried)
            return None
        except TenantError as error:
            context.abort(error)
            return None
        context.journal.status_read(key.seq, state.status, state.action_type, state.records, retried=retried)
        problem = self._expectations.problem(state)
        if problem is None and not state.status.terminal:
            return self._send_guarded(key)
        del self.held[key.seq]
        if problem is not None:
            self._follow.settle(self._refused(key), Outcome.SKIPPED_BY_GUARD, problem)
            return None
        return self._follow.seen(self._refused(key), state)

    def _look_failed(self, key: StopKey, error: CallError, track_id: str, *, retried: bool) -> None:
        context = self._context
        problem = as_problem(error)
        throttled = error.kind is Kind.THROTTLED
        context.tally.throttled += throttled
        context.journal.read_failed(
            key.seq, "status", track_id, problem, throttled=throttled, retried=retried
        )
        wait = context.try_again_in(key.reads, error)
        key.log.debug(
            "guard.failed", kind=error.kind, again_in=wait and round(wait, 3), message=error.message
        )
        if wait is not None:
            context.dispatcher.later_stops.push(context.clock.now() + wait, partial(self._look_first, key))
            return
        del self.held[key.seq]
        refused_for_good = tries_of(error.kind, 2) == 1
        self._follow.settle(
            self._refused(key), Outcome.REJECTED if refused_for_good else self._given_up(key), problem
        )
        if context.tenant_is_gone(key.reads, error):
            context.abort(TenantUnreachable(f"The tenant does not answer any more: {error.message}"))

    async def _send_guarded(self, key: StopKey) -> None:
        await self._context.journal.intend(key.seq, retried=False)
        key.intended = True
        self._context.dispatcher.stops.append(partial(self._send, key))
        self._context.dispatcher.kick()

    def _refused(self, key: StopKey) -> Follower:
        return Follower(key.seq, key.bulk_key, key.log, accepted=False, lost=key.lost)

    def _given_up(self, key: StopKey) -> Outcome:
        return Outcome.UNCONFIRMED if key.lost else Outcome.UNREACHABLE
