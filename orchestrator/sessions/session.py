"""One tenant's part of a session: the client, the gate and a journey for each of its keys, wired in one place."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from random import Random
from string import ascii_lowercase
from typing import Any

import anyio

from orchestrator.action import Action
from orchestrator.clock import Clock
from orchestrator.engine.backlog import Backlog
from orchestrator.engine.cutoff import Cutoff, Ending
from orchestrator.engine.gate import Gate
from orchestrator.engine.guards import Expectations, FailureGuard
from orchestrator.engine.hedge import Hedging
from orchestrator.engine.input import read_to_end
from orchestrator.engine.journey import Journey
from orchestrator.engine.outage import Outage
from orchestrator.engine.pace import Pace
from orchestrator.engine.plan import PlanJourney
from orchestrator.engine.polling import PollSchedule
from orchestrator.engine.ports import Intake, Tenant
from orchestrator.engine.ramp import Ramp
from orchestrator.engine.reading import Reader, TrackIds
from orchestrator.engine.recorder import Recorder
from orchestrator.engine.retry import Retry
from orchestrator.engine.sending import StopSender
from orchestrator.engine.stalls import StallWatch
from orchestrator.errors import CallError, TenantError
from orchestrator.journal.entries import NO_KEYS, Counts
from orchestrator.journal.journal import Journal
from orchestrator.logs import Log
from orchestrator.model import Outcome
from orchestrator.pacing.circuit import PROBE_EVERY
from orchestrator.pacing.pacer import Pacer
from orchestrator.pacing.slots import TenantSlots
from orchestrator.progress import Progress
from orchestrator.results.spool import ResponseFiles, Responses
from orchestrator.settings import Settings
from orchestrator.telemetry import TracedTenant, find_telemetry
from orchestrator.zuora.client import ZuoraClient
from orchestrator.zuora.shared_tokens import SharedTokens


@dataclass(frozen=True)
class Common:
    """The parts that all tenants of one session share.

    Attributes:
        planning: every status is read and no stop is sent.
        label: the start of every track id.
        on_completed: called with the number in the journal and the outcome of each completed key.
        guards: they count the failures of all tenants.
    """

    planning: bool
    clock: Clock
    journal: Journal
    log: Log
    responses: ResponseFiles
    label: str
    on_completed: Callable[[int, Outcome], None] = lambda *_: None
    guards: Sequence[FailureGuard] = ()
    ramp: Ramp = field(default_factory=Ramp)
    random: Random = field(default_factory=Random)


@asynccontextmanager
async def tenant_session(
    common: Common,
    settings: Settings,
    cutoff: Cutoff,
    progress: Progress,
    counts: Counts = NO_KEYS,
    *,
    name: str = "",
    number: int = 0,
    tokens: SharedTokens | None = None,
    hold_results: Callable[[], bool] = lambda: False,
) -> "AsyncIterator[TenantSession]":
    """A session with one tenant, from what an earlier one left (``counts``).

    ``name`` is the tenant's name in a run of several, ``number`` its place among them. Raises UsageError without
    credentials.
    """
    journal = common.journal.of(name)
    log = common.log.bind(tenant=name) if name else common.log
    backlog = Backlog(waiting=counts.waiting, parked=counts.polling)
    headroom = settings.headroom / 100
    slots = TenantSlots(headroom, settings.concurrency)
    pacer = Pacer(slots, headroom, settings.rate, common.random.uniform)
    pace = Pace(pacer, backlog, journal, progress, common.clock, log)
    responses = common.responses.of(name) if name else common.responses
    telemetry = find_telemetry()
    async with ZuoraClient(
        settings, common.clock, on_answer=pace.receive, on_token=journal.token_call, tokens=tokens,
        token_span=nullcontext if telemetry is None else partial(telemetry.call, "token"),
    ) as client:  # fmt: skip
        tenant: Tenant = client if telemetry is None else TracedTenant(client, telemetry)
        outage = Outage(settings.wait_for_tenant, pace, cutoff, common.clock, answered=counts.accepted > 0)
        gate = Gate(pace, outage, backlog, cutoff, common.clock, common.ramp, tenant, hold_results)
        yield TenantSession(
            common, settings, tenant, gate, pace, outage, backlog, cutoff, journal,
            None if settings.no_results else responses, progress, log,
            track_prefix=f"{common.label}.{number}" if name else common.label,
        )  # fmt: skip


class TenantSession:
    """Takes the keys of one tenant from the journal and runs a :class:`Journey` for each, until all are completed."""

    def __init__(
        self,
        common: Common,
        settings: Settings,
        tenant: Tenant,
        gate: Gate,
        pace: Pace,
        outage: Outage,
        backlog: Backlog,
        cutoff: Cutoff,
        journal: Journal,
        responses: Responses | None,
        progress: Progress,
        log: Log,
        *,
        track_prefix: str,
    ) -> None:
        clock, uniform = common.clock, common.random.uniform
        own = () if settings.max_failures is None else (FailureGuard(settings.max_failures, cutoff),)
        guards = (*common.guards, *own)
        recorder = Recorder(journal, backlog, progress, guards, clock, log, common.on_completed)
        schedule = PollSchedule(pace.pacer, backlog, uniform, settings.settle, not settings.no_results)
        retry = Retry(settings.max_attempts, uniform)
        track_ids = TrackIds(track_prefix)
        hedging = Hedging(gate, pace.pacer, clock, settings.hedge)
        reader = Reader(tenant, responses, gate, hedging, outage, recorder, schedule, retry, clock, track_ids)
        sender = StopSender(tenant, gate, hedging, outage, recorder, reader, retry, clock, track_ids)
        self._stalls = StallWatch(gate, pace.pacer, outage, hedging, clock)
        expectations = Expectations(settings)
        journey = PlanJourney if common.planning else Journey
        self._journey = journey(
            settings, gate, backlog, cutoff, recorder, sender, reader, schedule, retry, clock, expectations
        )
        self._claim_with_intent = not common.planning and not expectations
        self._recorder = recorder
        self._tenant = tenant
        self._timeout = settings.timeout
        self._gate = gate
        self._pace = pace
        self._outage = outage
        self._clock = clock
        self._uniform = uniform
        self._backlog = backlog
        self._cutoff = cutoff
        self._journal = journal
        self._progress = progress
        self._log = log

    async def run(self, intake: Intake) -> Ending:
        """Work until every key is completed, or until the run ends early and the calls in flight have finished."""
        backlog = self._backlog
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._read_input, intake)
                group.start_soon(self._fetch_first_token)
                group.start_soon(self._stalls.run)
                group.start_soon(self._gate.end_downloads, self._timeout)
                async with asyncio.TaskGroup() as journeys:
                    await self._start_journeys(journeys)
                await intake.finish()
                group.cancel_scope.cancel()
        finally:
            for action in backlog.active.values():  # cancelled before the task of this key started
                self._recorder.released(action)
            self._pace.close()
        return self._cutoff.ending()

    @property
    def stops_wait(self) -> bool:
        """Whether stops wait to be sent."""
        return self._gate.stops_wait

    def resume_results(self) -> None:
        """Results need not wait for other tenants any more."""
        self._gate.pump()
        self._backlog.changed.set()

    async def _start_journeys(self, journeys: asyncio.TaskGroup) -> None:
        """Claim keys from the journal as there is room. Return when no key is left, or the session is closing."""
        backlog, gate = self._backlog, self._gate
        while not self._cutoff.closing:
            if self._cutoff.stops_allowed and backlog.waiting > 0 and gate.claimable > 0:
                await self._claim(journeys)
            elif backlog.should_claim_parked and not gate.results_wait():
                await self._claim_parked(journeys)
            elif self._over():
                return
            else:
                backlog.changed.clear()
                await backlog.changed.wait()

    async def _claim(self, journeys: asyncio.TaskGroup) -> None:
        backlog = self._backlog
        backlog.claiming = True
        counted = backlog.waiting
        # Shielded: otherwise a claimed key could not be reported as unsent.
        with anyio.CancelScope(shield=True):
            try:
                claim = self._journal.claim(self._gate.claimable, intent=self._claim_with_intent)
                actions = await self._in_any_case(claim)
                # A journal that lost its disk may hold fewer keys than were counted. Keys read meanwhile stay counted.
                backlog.waiting -= len(actions) if actions else counted
                self._start(journeys, actions)
                await asyncio.sleep(0)  # now their stops are queued
            finally:
                backlog.claiming = False
        self._gate.pump()

    async def _in_any_case(self, claim: Coroutine[Any, Any, list[Action]]) -> list[Action]:
        """Await ``claim``. If a program cancels its task meanwhile, release the claimed keys."""
        task = asyncio.ensure_future(claim)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            for action in await task:
                self._recorder.released(action)
            raise

    async def _claim_parked(self, journeys: asyncio.TaskGroup) -> None:
        backlog = self._backlog
        counted = backlog.parked
        actions = await self._journal.claim_parked(backlog.room)
        # As above. Keys parked meanwhile stay counted.
        backlog.parked -= len(actions) if actions else counted
        self._start(journeys, actions)

    def _start(self, journeys: asyncio.TaskGroup, actions: Sequence[Action]) -> None:
        for action in actions:
            self._backlog.add(action)
            journeys.create_task(self._journey.run(action))

    def _over(self) -> bool:
        backlog = self._backlog
        keys_left = self._cutoff.stops_allowed and (backlog.input_open or backlog.waiting > 0)
        return not (keys_left or backlog.active or backlog.parked)

    async def _fetch_first_token(self) -> None:
        """Get a token before the first key needs one."""
        while self._cutoff.cancelled_by is None:
            try:
                await self._tenant.authenticate()
            except TenantError as error:
                self._cutoff.cancel(error)
            except CallError as error:
                self._outage.no_token(error)
                closed = self._pace.pacer.paused_until - self._clock.now()
                await asyncio.sleep(max(closed, self._uniform(*PROBE_EVERY)))
            else:
                return

    async def _read_input(self, intake: Intake) -> None:
        progress = self._progress
        progress.read_to_end = await read_to_end(
            intake.read(self._on_new),
            self._cutoff,
            self._log,
            any_key=lambda: progress.keys > 0,
            any_sent=lambda: progress.stops_sent > 0,
        )
        self._recorder.announce()  # the last key may have been over before the input ended
        self._backlog.input_open = False
        self._backlog.changed.set()
        self._gate.pump()

    def _on_new(self, new: Counter[str]) -> None:
        self._backlog.waiting += new.total()
        self._progress.keys += new.total()
        self._backlog.changed.set()


def track_letters() -> str:
    """Three letters that distinguish the track ids of processes in the same session."""
    return "".join(secrets.choice(ascii_lowercase) for _ in range(3))


def initial_progress(counts: Counts, *, planning: bool, results: bool = True) -> Progress:
    """The progress of a session that begins with ``counts``. ``results``: response files are fetched."""
    left = counts.keys - counts.waiting
    return Progress(
        keys=counts.keys,
        accepted=counts.accepted,
        sent_before=left - counts.accepted,
        confirmed_before=left - counts.polling + counts.ended,
        over_before=left - counts.polling,
        not_over_before=counts.not_over,
        planning=planning,
        results=results,
    )
