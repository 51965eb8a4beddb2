"""The result lane: one key from its stop to its end, and to its response file."""

from collections.abc import Awaitable, Callable
from functools import partial

from msgspec import structs

from orchestrator.engine.context import Context, Tries, as_problem
from orchestrator.engine.polling import FIRST_READ, interval
from orchestrator.engine.reading import Failed, call_failed, keep, read_status
from orchestrator.engine.verdict import given_up, verdict
from orchestrator.errors import CallError, Kind, TenantError
from orchestrator.journal.entries import Followed
from orchestrator.logs import Log
from orchestrator.model import OVER, ActionState, Outcome, Problem, Reading, Records, Status
from orchestrator.progress import NeedsPerson
from orchestrator.results.spool import Responses
from orchestrator.settings import show_duration

FILE_WAIT = 60.0
"""Seconds that an action that is over is polled for the address of its response file."""

ROOM = 5_000
"""Followed keys held in memory, of about a kilobyte each; more wait in the journal."""

_NOTHING = Records()
_PASSING = frozenset({Kind.THROTTLED, Kind.LOCKED, Kind.TEMPORARY, Kind.UNAUTHENTICATED})
"""Failures of a download that say nothing about its file."""

_NO_ADDRESS = Problem(
    kind=Kind.NO_RESPONSE_FILE.value,
    message="The action is over, but the tenant named no response file within a minute. The counts are those of the "
    "status. Run mass-stop resume to ask again.",
)

StopAgain = Callable[[], Awaitable[bool]]


class Follower:
    """One key that no stop is sent for any more. ``problem`` is why its stop was refused, if it was."""

    __slots__ = (
        "accepted", "bulk_key", "first_read_at", "log", "lost", "outcome", "output_url", "polls", "problem", "seq",
        "status", "stop_again", "told", "tries",
    )  # fmt: skip

    def __init__(self, seq: int, bulk_key: str, log: Log, *, accepted: bool, lost: bool) -> None:
        self.seq = seq
        self.bulk_key = bulk_key
        self.log = log
        self.accepted = accepted
        self.lost = lost
        self.problem: Problem | None = None
        self.stop_again: StopAgain | None = None
        self.outcome: Outcome | None = None
        self.status: Status | None = None
        self.output_url: str | None = None
        self.told = _NOTHING
        self.tries = Tries()
        self.polls = 0
        self.first_read_at: float | None = None


class FollowLane:
    """Reads statuses until each is terminal, then fetches response files. Its calls wait for every stop.

    ``calls_a_key`` tells how many calls the tenant's quota has for each key until a moment.
    """

    def __init__(
        self, context: Context, responses: Responses | None, calls_a_key: Callable[[float], float]
    ) -> None:
        self._context = context
        self._calls_a_key = calls_a_key
        self._responses = responses
        self.held: dict[int, Follower] = {}
        self.spilled = 0
        self._fetching: set[int] = set()
        self.stop_again: Callable[[Followed], StopAgain] | None = None

    @property
    def unread(self) -> int:
        """Keys whose end is not seen yet; of the others only the response file is missing."""
        return len(self.held) - len(self._fetching) + self.spilled

    def accepted(self, key: Follower, sent_at: str, track_id: str, request_id: str | None) -> None:
        """Takes a key whose stop the tenant accepted just now."""
        context = self._context
        due = context.clock.now() + FIRST_READ
        fits = len(self.held) < ROOM
        context.journal.accepted(key.seq, context.clock.stamp(), sent_at, track_id, request_id, due, fits)
        if fits:
            self._hold(key, due)
        else:
            self.spilled += 1

    def refused(self, key: Follower, problem: Problem, stop_again: StopAgain) -> None:
        """Takes a key whose stop was refused or lost, for its status to tell. ``stop_again`` tries another stop."""
        key.problem = problem
        key.stop_again = stop_again
        now = self._context.clock.now()
        fits = len(self.held) < ROOM
        self._context.journal.start_polling(key.seq, now, claimed=fits)
        if fits:
            self._hold(key, now)
        else:
            self.spilled += 1

    def resume(self, followed: Followed) -> None:
        """Takes a key back from the journal."""
        key = Follower(
            followed.seq, followed.bulk_key, self._context.log.bind(bulk_key=followed.bulk_key),
            accepted=followed.accepted, lost=followed.lost,
        )  # fmt: skip
        key.problem = followed.error
        key.told = followed.counts
        key.first_read_at, key.polls = followed.read_from, followed.polls
        key.outcome = followed.outcome
        if followed.outcome and self._responses is not None:
            key.output_url = followed.output_url
        if not followed.accepted and followed.outcome is None and self.stop_again is not None:
            key.stop_again = self.stop_again(followed)
        self._hold(key, followed.due_at)

    def release(self) -> None:
        """Gives back to the journal what is not settled. To be called once nothing is under way any more."""
        for key in self.held.values():
            self._context.journal.park(key.seq, 0.0)
        self.spilled += len(self.held)
        self.held.clear()
        self._fetching.clear()

    def settle(
        self,
        key: Follower,
        outcome: Outcome,
        problem: Problem | None,
        speed: float | None = None,
        reading: Reading | None = None,
    ) -> None:
        """The end of one key; ``reading`` told of it, where that is not journalled yet."""
        context = self._context
        self.held.pop(key.seq, None)
        self._fetching.discard(key.seq)
        context.journal.completed(key.seq, outcome, problem, speed, reading)
        context.tally.settled += 1
        context.tally.settled_unsent += not key.accepted
        context.tally.outcomes[outcome] += 1
        if outcome in OVER or outcome is Outcome.WOULD_STOP:
            key.log.debug("action.settled", outcome=outcome)
        else:
            reason = problem.message if problem else ""
            context.tally.latest.append(NeedsPerson(key.bulk_key, outcome, reason))
            key.log.warning(
                "action.needs_a_person", outcome=outcome.value, message=problem and problem.message
            )
        context.settled(key.seq, outcome)
        if not key.accepted:
            for guard in context.guards:
                guard.ended(outcome)

    def seen(self, key: Follower, reading: Reading) -> Awaitable[None] | None:
        """Goes on from a status that was read, and journals it."""
        state = reading.state
        if key.outcome is not None and not state.status.terminal:
            # A stale reading: the end was seen before. It counts as a call and changes nothing.
            self._context.journal.status_read(key.seq, None, None, _NOTHING, retried=reading.retried)
            self._await_address(key, key.outcome)
            return None
        key.status = state.status
        key.told = state.records
        if not state.status.terminal:
            key.tries = Tries()
            keep(self._context, key, reading)
            return self._not_over(key, state.status)
        # Without an accepted stop, looks are repeated only while it is Stopping: then a lost one was taken after all.
        taken = key.accepted or (key.lost and key.polls > 0)
        outcome = key.outcome or verdict(state.status, accepted=taken, lost=key.lost)
        if self._responses is None or (state.output_url is None and not _file_is_due(state)):
            self.settle(key, outcome, None, reading=reading)
            return None
        keep(self._context, key, reading)
        if state.output_url is None:
            self._await_address(key, outcome)
            return None
        key.outcome, key.output_url = outcome, state.output_url
        key.tries = Tries()
        self._context.journal.start_polling(key.seq, 0.0, claimed=True)
        self._context.journal.ended(key.seq, outcome, state.output_url)
        self._hold(key, self._context.clock.now())
        return None

    def _await_address(self, key: Follower, outcome: Outcome) -> None:
        """Polls an action that is over until the tenant names its response file, for at most ``FILE_WAIT``."""
        now = self._context.clock.now()
        if key.outcome is None:
            key.outcome, key.first_read_at, key.polls = outcome, now, 0
            self._context.journal.start_polling(key.seq, 0.0, claimed=True)
            self._context.journal.ended(key.seq, outcome, None)
        ends = self._ends(key, now)
        if now >= ends or self._responses is None:
            self.settle(key, outcome, _NO_ADDRESS)
        else:
            self._poll_again(key, now, ends)

    def _hold(self, key: Follower, due: float) -> None:
        self.held[key.seq] = key
        if key.output_url is not None:
            self._fetching.add(key.seq)
        job = self._read if key.output_url is None else self._fetch
        self._context.dispatcher.lanes.results.push(due, partial(job, key))
        self._context.dispatcher.kick()

    async def _read(self, key: Follower) -> Awaitable[None] | None:
        if key.first_read_at is None:
            key.first_read_at = self._context.clock.now()
        match await read_status(self._context, key, key.tries):
            case None:
                return None
            case Failed() as failed:
                self._call_failed(key, failed)
                return None
            case reading:
                return self.seen(key, reading)

    def _not_over(self, key: Follower, status: Status) -> Awaitable[None] | None:
        if not key.accepted and status is not Status.STOPPING:
            return self._still_running(key)
        now = self._context.clock.now()
        ends = self._ends(key, now)
        if now >= ends:
            self.settle(key, Outcome.UNCONFIRMED, self._not_settled(status))
            return None
        self._poll_again(key, now, ends)
        return None

    def _poll_again(self, key: Follower, now: float, ends: float) -> None:
        share, waited = self._calls_a_key(ends), now - ends + self._patience(key)
        due = now + interval(key.polls, waited, ends - now, share, self._context.random.uniform)
        key.polls += 1
        if self.spilled:
            self._spill(key, due)
        else:
            self._hold(key, due)

    async def _still_running(self, key: Follower) -> None:
        """No stop of ours was taken and the action runs: another stop, or the end of its tries."""
        if key.stop_again is not None and key.problem is not None:
            self.held.pop(key.seq, None)
            if await key.stop_again():
                return
        self.settle(key, Outcome.UNREACHABLE, key.problem)

    def _spill(self, key: Follower, due: float) -> None:
        self._context.journal.park(key.seq, due, key.first_read_at, key.polls)
        self.held.pop(key.seq, None)
        self.spilled += 1

    async def _fetch(self, key: Follower) -> Awaitable[None] | None:
        context = self._context
        assert self._responses is not None
        assert key.output_url is not None
        if not await context.may_call():
            return None
        track_id = context.track_id()
        retried = key.tries.made > 0
        key.tries.begin(context.clock.now())
        fetch = partial(context.tenant.download, key.output_url, track_id)
        try:
            await self._responses.fetch(key.bulk_key, fetch)
        except CallError as error:
            if error.kind is Kind.NO_RESPONSE_FILE:  # no call was made
                self._unusable(key, error)
                return None
            failed = call_failed(context, key, key.tries, "file", error, track_id, retried=retried)
            if failed.wait is None and error.http_status is not None and error.kind not in _PASSING:
                failed = await self._explain(key, failed)
            self._call_failed(key, failed)
            return None
        except TenantError as error:
            context.abort(error)
            return None
        context.journal.file_read(key.seq, retried=retried)
        return self._count(key)

    async def _explain(self, key: Follower, failed: Failed) -> Failed:
        """``failed``, or that the file is archived: how the tenant refuses an archived file is not documented."""
        context = self._context
        assert key.output_url is not None
        if not await context.may_call():
            return failed
        track_id = context.track_id()
        try:
            archived = await context.tenant.archived(key.output_url, track_id)
        except CallError as error:
            context.journal.read_failed(
                key.seq, "file", track_id, as_problem(error),
                throttled=error.kind is Kind.THROTTLED, retried=False,
            )  # fmt: skip
            return failed
        except TenantError as error:
            context.abort(error)
            return failed
        context.journal.file_read(key.seq, retried=False)
        if archived is None:
            return failed
        problem = structs.replace(failed.problem, kind=Kind.ARCHIVED.value, message=archived)
        return structs.replace(failed, problem=problem)

    async def _count(self, key: Follower) -> None:
        assert self._responses is not None
        try:
            records = await self._responses.count(key.bulk_key)
        except CallError as error:
            self._unusable(key, error)
            return
        assert key.outcome is not None
        self._context.journal.filed(key.seq, records, mismatch(key.told, records))
        self._context.tally.records_succeeded += records.succeeded or 0
        self.settle(key, key.outcome, None)

    def _unusable(self, key: Follower, error: CallError) -> None:
        assert key.outcome is not None
        error.message = self._context.tenant.redact(error.message)  # it may quote the file
        key.log.warning("file.unusable", message=error.message)
        self.settle(key, key.outcome, as_problem(error))

    def _ends(self, key: Follower, now: float) -> float:
        """Until when the end of ``key`` is waited for."""
        started = now if key.first_read_at is None else key.first_read_at
        return started + self._patience(key)

    def _patience(self, key: Follower) -> float:
        return self._context.settings.settle if key.outcome is None else FILE_WAIT

    def _call_failed(self, key: Follower, failed: Failed) -> None:
        now = self._context.clock.now()
        if failed.wait is not None and (key.outcome is not None or now < self._ends(key, now)):
            self._hold(key, now + failed.wait)
            return
        if key.outcome is not None:
            # A response file that cannot be had changes nothing about the action's end.
            self.settle(key, key.outcome, failed.problem)
        else:
            self.settle(key, self._unread(key, failed.error), key.problem or failed.problem)
        if failed.wait is None:
            self._context.tries_ended(key.tries, failed.error)

    def _unread(self, key: Follower, error: CallError) -> Outcome:
        if error.kind is Kind.NOT_FOUND and not key.accepted:
            return Outcome.REJECTED
        return given_up(accepted=key.accepted, lost=key.lost)

    def _not_settled(self, status: Status) -> Problem:
        waited = show_duration(self._context.settings.settle)
        return Problem(
            kind="not_settled",
            message=f"The action was still {status.value} when it had been followed for {waited} (--settle).",
        )


def _file_is_due(state: ActionState) -> bool:
    """Whether the tenant makes a response file of an action in this terminal ``state``."""
    return state.status is not Status.FAILED and bool(state.records.processed)


def mismatch(told: Records, counted: Records) -> dict[str, Records] | None:
    """Both counts, where the status and the response file disagree on any that both give."""
    pairs = (
        (told.total, counted.total),
        (told.processed, counted.processed),
        (told.succeeded, counted.succeeded),
        (told.failed, counted.failed),
    )
    if all(one is None or other is None or one == other for one, other in pairs):
        return None
    return {"status": told, "response_file": counted}
