"""One run of one tenant: keys from the journal into the lanes, until every key has its end or the run is cut short."""

import asyncio

import anyio
from msgspec import Struct

from orchestrator.engine.context import Context
from orchestrator.engine.following import ROOM, FollowLane
from orchestrator.engine.guards import DeadlineReached, Expectations, FailureGuard
from orchestrator.engine.input import InputEnd, read_to_end
from orchestrator.engine.pace import PaceRecord
from orchestrator.engine.planning import PlanLane
from orchestrator.engine.ports import Intake
from orchestrator.engine.stopping import StopLane
from orchestrator.errors import CallError, Kind, MassStopError, TenantError, TenantUnreachable
from orchestrator.model import Answered
from orchestrator.pacing.pacer import Pacer
from orchestrator.results.spool import Responses

LEAST_ARMED = 16
MOST_RETRIES_WAITING = 10_000
"""Stops that wait in memory for their next try; while there are so many, no fresh key is taken."""


class Interrupted(MassStopError):
    """A signal asked the run to end. ``exit_status`` is 128 and the signal's number."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class Ending(Struct, frozen=True):
    """How a session ended: ``state`` as the report has it, the reason in a sentence, and what cut it short.

    ``error`` is what the source of the keys raised, where that was not an error of ours.
    """

    state: str
    reason: str | None = None
    cut_by: MassStopError | None = None
    error: Exception | None = None

    @classmethod
    def cut(cls, reason: MassStopError, error: Exception | None = None) -> "Ending":
        """How a session ended that ``reason`` cut short."""
        return cls(
            "interrupted" if isinstance(reason, Interrupted) else "aborted", str(reason), reason, error
        )


class Engine:
    """Drives one tenant's keys to their ends.

    Args:
        context: the parts of the run; its ``abort`` and ``unanswered`` are set here, and one of its ``guards``.
        pacer: the tenant's pace.
        intake: admits keys to the journal while the run goes on.
        responses: where response files go; None leaves them where they are.
        planning: read every status and send no stop.
        deadline: seconds from now after which no call starts.
    """

    def __init__(
        self,
        context: Context,
        pacer: Pacer,
        intake: Intake,
        responses: Responses | None,
        *,
        planning: bool = False,
        deadline: float | None = None,
    ) -> None:
        self._context = context
        self._pacer = pacer
        self._intake = intake
        self._deadline = deadline
        self._follow = FollowLane(context, responses, self._calls_a_key)
        expectations = Expectations(context.settings)
        self._lane = (PlanLane if planning else StopLane)(context, self._follow, expectations)
        self._intends = not planning and not expectations
        self._waiting = 0
        self._arming = False
        self._reading = True
        self._sending = True
        self._cut_by: MassStopError | None = None
        self._shortened_by: MassStopError | None = None
        self._away: TenantUnreachable | None = None
        self._looking = False
        self._left_before_look = 0
        self._left_over = False
        self._error: Exception | None = None
        self._changed = asyncio.Event()
        context.abort = self.cut
        context.unanswered = self._unanswered
        context.away = self._tries_ended
        if context.settings.max_failures is not None:
            context.guards = (*context.guards, FailureGuard(context.settings.max_failures, self.stop_sending))
        self._pace = PaceRecord(context, pacer, self._unsent)
        context.dispatcher.watch(self._results_wait, self._moved)

    async def run(self, waiting: int = 0, following: int = 0) -> Ending:
        """Works until every key has its end, or :meth:`cut` was called and the calls under way have come back.

        ``waiting`` and ``following`` are the keys that an earlier session left in the journal.
        """
        self._waiting = waiting
        self._follow.spilled = following
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._read_input)
                group.start_soon(self._authenticate)
                if self._deadline is not None:
                    group.start_soon(self._keep_deadline, self._deadline)
                self._context.dispatcher.start(group)
                await self._feed()
                self._context.dispatcher.close()
                await self._context.dispatcher.quiet()
                await self._intake.finish()
                group.cancel_scope.cancel()
        finally:
            self._context.dispatcher.close()
            self._pace.close()
            self._left_over = self._reading or self._waiting > 0 or bool(self._lane.held)
            self._lane.release()
            self._follow.release()
        return self._ending()

    def answered(self, answer: Answered) -> None:
        """Takes what every answer of the tenant tells besides its meaning."""
        self._looking, self._left_before_look = False, 0
        self._pace.answered(answer)

    def cut(self, reason: MassStopError) -> None:
        """Lets nothing leave any more; the first reason stands."""
        self._cut_by = self._cut_by or reason
        self._context.dispatcher.close()
        self._change()

    def stop_sending(self, reason: MassStopError) -> None:
        """Lets no further stop leave; what was stopped so far is still followed to its end."""
        if self._sending:
            self._shortened_by = reason
            self._close_stops()

    def _close_stops(self) -> None:
        self._sending = False
        self._context.dispatcher.lanes.close_stops()
        self._change()

    @property
    def sending(self) -> bool:
        """Whether stops are still to be sent."""
        return self._stops_are_coming() or bool(self._context.dispatcher.lanes.stops)

    def kick(self) -> None:
        """To be called when results need not wait for other tenants any more."""
        self._context.dispatcher.kick()
        self._change()

    def _results_wait(self) -> bool:
        return self._stops_are_coming() or self._context.results_wait()

    def _stops_are_coming(self) -> bool:
        return self._sending and (self._arming or self._waiting > 0) and not self._full()

    def _full(self) -> bool:
        return self._context.dispatcher.lanes.retries >= MOST_RETRIES_WAITING

    def _unanswered(self, error: CallError) -> None:
        self._pace.unanswered()
        if self._left_before_look > 0:
            self._left_before_look -= 1  # a stop like those before it: it tells nothing new
        elif self._looking or self._pacer.circuit.failed_probes >= self._context.settings.max_attempts:
            self._gone(error)

    def _tries_ended(self, error: CallError) -> None:
        if self._looking:  # since this very failure, or before this one came back: its status is to tell too
            self._lane.look(error)
        else:
            self._gone(error)

    def _gone(self, error: CallError) -> None:
        """No call is answered any more. Where only stops were tried, one look tells whether that holds for all calls.

        A tenant may carry out its stops and be too slow to say so: then the status of each that may have worked tells.
        """
        if self._sending and self._lane.look(error):
            advice = " A longer --timeout may help." if error.kind is Kind.TIMEOUT else ""
            self._away = TenantUnreachable(f"The tenant answers no stop any more: {error.message}{advice}")
            self._looking, self._left_before_look = True, self._pacer.in_flight - 1
            self._close_stops()
        else:
            self.cut(TenantUnreachable(f"The tenant does not answer any more: {error.message}"))

    def _unsent(self) -> int:
        return self._waiting + len(self._lane.held)

    def _calls_a_key(self, until: float) -> float:
        """How many calls the rate windows have until then for each key that is followed, after what stops need."""
        calls = self._pacer.spare(self._context.clock.now(), until)
        if calls == float("inf"):
            return calls
        unsent, followed = self._unsent(), len(self._follow.held) + self._follow.spilled
        files = 0 if self._context.settings.no_results else unsent + followed
        return (calls - unsent - files) / max(1, unsent + self._follow.unread)

    def _moved(self) -> None:
        self._pace.moved()
        # Told several times a call, of which hardly one gives the feeder something to do: it is not woken for nothing.
        if self._to_arm() or self._to_claim() or self._over():
            self._change()

    def _change(self) -> None:
        self._changed.set()

    async def _feed(self) -> None:
        """Keeps the lanes fed from the journal. Returns when all is over, or the run was cut."""
        while self._cut_by is None:
            if self._to_arm():
                await self._arm()
            elif self._to_claim():
                await self._claim()
            elif self._over():
                return
            else:
                self._changed.clear()
                await self._changed.wait()
            self._context.dispatcher.kick()

    def _to_arm(self) -> bool:
        return self._waiting > 0 and self._sending and not self._arming and self._room() > 0

    def _to_claim(self) -> bool:
        return self._follow.spilled > 0 and len(self._follow.held) < ROOM // 2 and not self._results_wait()

    def _room(self) -> int:
        """How many more keys to arm: up to three times the slots, that none waits for the disk; 0 while enough are."""
        ready, most = self._context.dispatcher.lanes.ready, max(LEAST_ARMED, self._pacer.limit)
        return 0 if ready >= most or self._full() else 3 * most - ready

    async def _arm(self) -> None:
        self._arming = True
        counted = self._waiting
        # What was armed must come into the lane, or nobody could say that it never left.
        with anyio.CancelScope(shield=True):
            armed = await self._context.journal.claim(self._room(), intent=self._intends)
            self._arming = False
            # A journal that lost its disk may hold fewer keys than were counted; what was told meanwhile stays counted.
            self._waiting -= len(armed) if armed else counted
            self._lane.add(armed)

    async def _claim(self) -> None:
        counted = self._follow.spilled
        claimed = await self._context.journal.claim_parked(ROOM - len(self._follow.held))
        # A journal that lost its disk may hold fewer keys than were counted. Keys parked meanwhile stay counted.
        self._follow.spilled -= len(claimed) if claimed else counted
        for followed in claimed:
            self._follow.resume(followed)

    def _over(self) -> bool:
        stops = self._sending and (self._reading or self._waiting or self._lane.held)
        return not (stops or self._follow.held or self._follow.spilled or self._context.dispatcher.active)

    async def _authenticate(self) -> None:
        try:
            await self._context.tenant.authenticate()
        except TenantError as error:
            self.cut(error)

    async def _read_input(self) -> None:
        tally = self._context.tally
        end = await read_to_end(
            self._intake.read(self._on_new),
            self._context.log,
            any_key=lambda: tally.keys > 0,
            any_sent=lambda: tally.stops_sent > 0,
        )
        tally.read_to_end = end == InputEnd()
        self._shortened_by = self._shortened_by or end.shortened_by
        self._error = end.error
        self._reading = False
        if end.cut_by is not None:
            self.cut(end.cut_by)
        self._change()

    def _on_new(self, count: int) -> None:
        self._waiting += count
        self._context.tally.keys += count
        self._change()

    async def _keep_deadline(self, seconds: float) -> None:
        await anyio.sleep(max(0.0, seconds))
        self.cut(DeadlineReached("The deadline was reached: no call was started after it (--deadline)."))

    def _ending(self) -> Ending:
        reason = self._cut_by or self._shortened_by or (self._away if self._left_over else None)
        return Ending("finished") if reason is None else Ending.cut(reason, self._error)
