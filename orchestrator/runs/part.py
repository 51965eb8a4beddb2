"""One tenant's part of a run: its client, its pace and its engine, wired in one place."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from string import ascii_lowercase

from orchestrator.clock import Clock
from orchestrator.engine.context import Context
from orchestrator.engine.dispatcher import Dispatcher, Ramp
from orchestrator.engine.guards import FailureGuard
from orchestrator.engine.ports import Intake
from orchestrator.engine.run import Ending, Engine
from orchestrator.errors import MassStopError
from orchestrator.journal.entries import NOTHING, Standing
from orchestrator.journal.journal import Journal
from orchestrator.logs import Log
from orchestrator.model import Outcome
from orchestrator.pacing.pacer import Pacer
from orchestrator.pacing.slots import TenantSlots
from orchestrator.progress import Tally
from orchestrator.results.spool import ResponseFiles
from orchestrator.settings import Settings
from orchestrator.zuora.client import ZuoraClient
from orchestrator.zuora.shared_tokens import SharedTokens


@dataclass(frozen=True)
class Common:
    """What all tenants of one session share.

    ``label`` starts every track id, ``deadline`` is the wall-clock time after which no call starts, ``on_settled`` is
    told the journal's number and the outcome of each key that comes to its end. ``guards`` count the failures of all.
    """

    planning: bool
    clock: Clock
    journal: Journal
    log: Log
    responses: ResponseFiles
    label: str
    deadline: float | None = None
    on_settled: Callable[[int, Outcome], None] = lambda *_: None
    guards: Sequence[FailureGuard] = ()
    ramp: Ramp = field(default_factory=Ramp)

    @property
    def seconds_left(self) -> float | None:
        """Until the deadline."""
        return None if self.deadline is None else self.deadline - self.clock.wall()


def track_letters() -> str:
    """For the track ids of one process: another may work on the same session, of a shard or of a copy of the run."""
    return "".join(secrets.choice(ascii_lowercase) for _ in range(3))


def first_tally(standing: Standing, *, planning: bool) -> Tally:
    """The counts of a session that begins with ``standing``."""
    left = standing.keys - standing.waiting
    return Tally(
        keys=standing.keys,
        accepted=standing.accepted,
        sent_before=left - standing.accepted,
        over_before=left - standing.following,
        planning=planning,
    )


class Part:
    """One tenant's part of a session. ``name`` is its name where there are several, ``number`` its place among them."""

    def __init__(
        self,
        common: Common,
        settings: Settings,
        tally: Tally,
        standing: Standing = NOTHING,
        *,
        name: str = "",
        number: int = 0,
        tokens: SharedTokens | None = None,
        results_wait: Callable[[], bool] = lambda: False,
    ) -> None:
        self.tally = tally
        self.engine: Engine | None = None
        self._common = common
        self._settings = settings
        self._standing = standing
        self._name = name
        self._label = f"{common.label}.{number}" if name else common.label
        self._tokens = tokens
        self._results_wait = results_wait
        self._cut_by: MassStopError | None = None
        self._shortened_by: MassStopError | None = None

    async def run(self, intake: Intake) -> Ending:
        """Works until every key of the tenant has its end, or it was cut. Raises UsageError without credentials."""
        common, settings = self._common, self._settings
        journal = common.journal.of(self._name)
        pacer = Pacer(
            TenantSlots(settings.headroom / 100, settings.concurrency), settings.headroom / 100, settings.rate
        )
        responses = common.responses.of(self._name) if self._name else common.responses
        client = ZuoraClient(settings, common.clock, on_token=journal.token_call, tokens=self._tokens)
        async with client as tenant:
            context = Context(
                settings=settings,
                tenant=tenant,
                journal=journal,
                dispatcher=Dispatcher(pacer, common.clock, common.ramp),
                clock=common.clock,
                log=common.log.bind(tenant=self._name) if self._name else common.log,
                tally=self.tally,
                track_prefix=self._label,
                abort=self.cut,
                settled=common.on_settled,
                guards=common.guards,
                results_wait=self._results_wait,
            )
            self.engine = Engine(
                context,
                pacer,
                intake,
                None if settings.no_results else responses,
                planning=common.planning,
                deadline=common.seconds_left,
            )
            tenant.on_answer = self.engine.answered
            if self._shortened_by is not None:
                self.engine.stop_sending(self._shortened_by)
            if self._cut_by is not None:
                self.engine.cut(self._cut_by)
            return await self.engine.run(self._standing.waiting, self._standing.following)

    def cut(self, reason: MassStopError) -> None:
        """Lets no further call start; those under way come back first."""
        self._cut_by = self._cut_by or reason
        if self.engine is not None:
            self.engine.cut(reason)

    def stop_sending(self, reason: MassStopError) -> None:
        """Lets no further stop leave; those sent are followed to their ends."""
        self._shortened_by = self._shortened_by or reason
        if self.engine is not None:
            self.engine.stop_sending(reason)
