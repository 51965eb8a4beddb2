"""Reads statuses and response files. Each call is repeated until it succeeds or no attempt is left."""

from asyncio import CancelledError
from functools import partial

from msgspec import Struct, structs

from orchestrator.action import Action, Attempts, Step
from orchestrator.clock import Clock
from orchestrator.engine.gate import Gate, Preempted
from orchestrator.engine.hedge import Hedging
from orchestrator.engine.outage import Outage
from orchestrator.engine.polling import PollSchedule
from orchestrator.engine.ports import Tenant
from orchestrator.engine.queue import Priority
from orchestrator.engine.race import CallKind, Failure, Probed, Race, Send
from orchestrator.engine.recorder import Recorder, as_problem
from orchestrator.engine.retry import Retry
from orchestrator.errors import CallError, Kind
from orchestrator.model import Problem, Reading
from orchestrator.results.spool import Responses

_PASSING = frozenset({Kind.THROTTLED, Kind.LOCKED, Kind.TEMPORARY, Kind.UNAUTHENTICATED})
"""Failures of a download that say nothing about its file."""


class AttemptsExhausted(Exception):
    """A status could not be read. ``error`` is the last failure."""

    def __init__(self, error: CallError) -> None:
        super().__init__(error.message)
        self.error = error
        self.problem = as_problem(error)


class TrackIds:
    """A ``Zuora-Track-Id`` for each call: ``prefix-1``, ``prefix-2`` …, at most 64 ASCII characters."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._calls = 0

    def next(self) -> str:
        """The next one."""
        self._calls += 1
        return f"{self._prefix}-{self._calls}"


class Reader(Struct, eq=False):
    """Reads statuses and response files of one tenant, each call in a slot of ``gate``."""

    _tenant: Tenant
    _responses: Responses | None
    _gate: Gate
    _hedging: Hedging
    _outage: Outage
    _recorder: Recorder
    _schedule: PollSchedule
    _retry: Retry
    _clock: Clock
    _track_ids: TrackIds

    @property
    def fetches_files(self) -> bool:
        """Whether response files are fetched at all."""
        return self._responses is not None

    async def status(
        self, action: Action, priority: Priority, due: float = 0.0, *, again: Priority
    ) -> Reading:
        """Read the status of ``action``.

        Args:
            action: which one.
            priority: of the first attempt.
            due: when the first attempt may start.
            again: the priority of further attempts.

        Raises:
            AttemptsExhausted: no attempt is left, or the time for which the action is polled is over.
            Closed: the call may not start any more.
        """
        attempts = Attempts()
        while True:
            call = (action, attempts, priority, due)
            response = await Race(self._hedging, CallKind.STATUS, self._send_status, call).result()
            if isinstance(response, Reading):
                return response
            if response.wait is None or self._settle_time_is_over(action):
                raise AttemptsExhausted(response.error) from response.error
            priority, due = again, self._clock.now() + response.wait

    async def _send_status(
        self, send: Send, action: Action, attempts: Attempts, priority: Priority, due: float
    ) -> Reading | Failure:
        async with self._gate.slot(priority, due):
            track_id = self._begin(action, "status", attempts, send)
            if action.step is Step.POLL and action.first_polled_at is None:
                action.first_polled_at = attempts.started_at
            try:
                with send:
                    state = await self._tenant.status(action.bulk_key, track_id)
                return Reading(state, retried=attempts.made > 1)
            except CallError as error:
                return Failure(error, self._failed(action, "status", attempts, error, track_id))
            except CancelledError:
                self._recorder.read_cancelled(action, "status", track_id)
                raise

    async def probe(self, action: Action) -> Probed | Failure:
        """Read the status once, in a slot that the caller has. A failure is never conclusive: a stop follows."""
        attempts = Attempts()
        attempts.begin(self._clock.now(), in_outage=True)
        track_id = self._track_ids.next()
        try:
            state = await self._tenant.status(action.bulk_key, track_id)
        except CallError as error:
            return Failure(error, self._failed(action, "status", attempts, error, track_id) or 0.0)
        except CancelledError:
            self._recorder.read_cancelled(action, "status", track_id)
            raise
        self._recorder.status(action, Reading(state, retried=False))
        return Probed(state.status)

    async def file(self, action: Action) -> Problem | None:
        """Fetch the response file of ``action`` and count its records. Return the problem if that is not possible."""
        if self._responses is None or action.output_url is None:
            return None
        attempts = Attempts()
        call = (action, action.output_url, self._responses, attempts)
        while True:
            counted = attempts.counted
            try:
                failure = await Race(self._hedging, CallKind.FILE, self._send_file, call).result()
            except Preempted:
                attempts.made -= 1  # a cancelled download is no attempt
                continue
            if failure is None:
                break
            if failure.error.kind is Kind.NO_RESPONSE_FILE:  # the address names no file, so no call was made
                return self._unusable(action, failure.error)
            if failure.wait is None:
                return await self._why_not_fetched(action, action.output_url, failure.error)
            action.due = self._clock.now() + failure.wait
            if attempts.counted == counted:
                # The failure did not count. If the tenant answers a poll, only its files fail, and the next one counts.
                async with self._gate.slot(Priority.POLL, action.due):
                    await self.probe(action)
        self._recorder.file_read(action, retried=attempts.made > 1)
        try:
            records = await self._responses.count(action.bulk_key, action.action_type)
        except CallError as error:
            return self._unusable(action, error)
        self._recorder.file_counted(action, records)
        return None

    async def _send_file(
        self, send: Send, action: Action, address: str, responses: Responses, attempts: Attempts
    ) -> Failure | None:
        """Download once. The send is hedged only until the response headers arrive."""
        async with self._gate.slot(Priority.FILE, action.due):
            track_id = self._begin(action, "file", attempts, send)
            download = partial(self._tenant.download, address, track_id, on_headers=send.responds)
            try:
                with send:
                    await responses.fetch(action.bulk_key, download)
                return None
            except CallError as error:
                if error.kind is Kind.NO_RESPONSE_FILE:
                    return Failure(error, None)
                return Failure(error, self._failed(action, "file", attempts, error, track_id))
            except CancelledError:
                self._recorder.read_cancelled(action, "file", track_id)
                raise

    def _begin(self, action: Action, call: str, attempts: Attempts, send: Send) -> str:
        """Count a send that leaves now. Return its track id."""
        track_id = self._track_ids.next()
        if send.is_hedge:
            self._recorder.hedged(action, call, track_id)
        else:
            attempts.begin(self._clock.now(), in_outage=self._outage.open)
        return track_id

    async def _why_not_fetched(self, action: Action, address: str, error: CallError) -> Problem:
        """``error``, or that the file is archived: how the tenant refuses an archived file is not documented."""
        problem = as_problem(error)
        if error.http_status is None or error.kind in _PASSING:
            return problem
        self._gate.check(Priority.FILE)
        async with self._gate.slot(Priority.POLL):
            track_id = self._track_ids.next()
            try:
                archived = await self._tenant.archived(address, track_id)
            except CallError as refusal:
                self._recorder.read_failed(action, "file", Attempts(made=1), refusal, track_id, wait=None)
                return problem
        self._recorder.file_read(action, retried=False)
        return structs.replace(problem, kind=Kind.ARCHIVED.value, message=archived) if archived else problem

    def _unusable(self, action: Action, error: CallError) -> Problem:
        error.message = self._tenant.redact(error.message)  # it may quote the file
        self._recorder.file_unusable(action, error.message)
        return as_problem(error)

    def _failed(
        self, action: Action, call: str, attempts: Attempts, error: CallError, track_id: str
    ) -> float | None:
        """Return the seconds until the next attempt, or None if no attempt is left."""
        in_outage = self._outage.covers(error, attempts)
        wait = self._retry.wait(attempts, error, self._clock.now(), in_outage=in_outage)
        self._recorder.read_failed(action, call, attempts, error, track_id, wait=wait)
        self._outage.failed(error, attempts.started_at)
        return wait

    def _settle_time_is_over(self, action: Action) -> bool:
        now = self._clock.now()
        return action.step is Step.POLL and action.outcome is None and now >= self._schedule.ends(action, now)
