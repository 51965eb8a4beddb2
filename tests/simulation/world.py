"""A tenant, a journal, and the sessions between them: wired as in orchestrator/runs, in virtual time."""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from orchestrator.clock import Clock
from orchestrator.engine.backlog import Backlog
from orchestrator.engine.cutoff import Cutoff, Ending
from orchestrator.engine.gate import Gate
from orchestrator.engine.outage import Outage
from orchestrator.engine.pace import Pace
from orchestrator.engine.ramp import Ramp
from orchestrator.errors import MassStopError
from orchestrator.journal import database
from orchestrator.journal.entries import NO_KEYS, Counts, RunInfo, SourceInfo
from orchestrator.journal.intake import ReadAlready
from orchestrator.journal.journal import Journal
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.writer import FallbackConnection
from orchestrator.logs import Sink, make_log
from orchestrator.model import Answered, InputRow, Outcome
from orchestrator.pacing.circuit import MOST_PROBES
from orchestrator.pacing.pacer import Pacer
from orchestrator.pacing.slots import TenantSlots
from orchestrator.progress import Progress
from orchestrator.report import ActionEntry, Report, read_report
from orchestrator.results.spool import ResponseFiles
from orchestrator.sessions.session import Common, TenantSession
from orchestrator.settings import Settings
from tests.inline_writer import InlineWriter
from tests.simulation.memory import Batch, LaggingWriter, MemoryIntake, MemoryResponses, SlowJournal
from tests.simulation.tenant import VirtualTenant, bulk_key
from tests.simulation.virtual import EPOCH, now


@dataclass(frozen=True)
class Grant:
    """One granted slot: its call, and the number of stops that waited for a slot at that time."""

    at: float
    to: str
    stops_waiting: int
    in_flight: int


class WatchedGate(Gate):
    """A gate that records each granted slot, and the calls that waited."""

    def __init__(
        self,
        pace: Pace,
        backlog: Backlog,
        cutoff: Cutoff,
        clock: Clock,
        tenant: VirtualTenant,
        journal: Journal,
        outage: Outage,
    ) -> None:
        super().__init__(pace, outage, backlog, cutoff, clock, Ramp(), tenant)
        self.grants: list[Grant] = []
        self.most_later = 0
        self._journal = journal

    def _grant(self) -> bool:
        at = self._clock.now()
        queue = self._queue
        self.most_later = max(self.most_later, queue.retries)
        later = sum(due <= at for part in (queue._retries, queue._late_retries) for due, _, _ in part.heap)
        stops = len(queue.stops) + later
        guards, results = len(queue.guards), len(queue.polls) + len(queue.files)
        granted = super()._grant()
        if granted:
            if len(queue.polls) + len(queue.files) < results:
                to = "result"
            else:
                to = "guard" if len(queue.guards) < guards else "stop"
            unclaimed = self._unclaimed() if to == "result" and self._cutoff.stops_allowed else 0
            self.grants.append(Grant(at, to, stops + guards + unclaimed, self._pacer.in_flight))
        return granted

    def _unclaimed(self) -> int:
        work = "SELECT COUNT(*) FROM action WHERE stage = 0"
        count: int = self._journal.perform(lambda db: db.execute(work).fetchone()[0]).result()
        return count


def settings(**values: Any) -> Settings:
    """Return the settings of a run in virtual time, by default without headroom and with ten slots."""
    defaults: dict[str, Any] = {
        "base_url": "https://tenant.invalid",
        "headroom": 0.0,
        "concurrency": 10,
    }
    return Settings(**(defaults | values))


@dataclass
class World:
    """A tenant, a journal, and the sessions between them."""

    tenant: VirtualTenant
    settings: Settings = field(default_factory=settings)
    command: str = "run"
    lagging: bool = False
    disk: float = 0.0
    seed: int = 0
    responses: MemoryResponses | None = field(default_factory=MemoryResponses)
    sink: Sink = field(default_factory=lambda: Sink(None, None))
    settled: list[tuple[int, Outcome]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sessions = 0
        self.connection = database.in_memory()
        weakref.finalize(self, self.connection.close)
        self.most_held = 0
        self.had_outage = False
        self.first_call_after_crash = 0

    async def run(self, rows: Sequence[InputRow] | Sequence[Batch], **options: Any) -> Ending:
        """Run one session of the run to its end, from its first key or from the state that an earlier session left."""
        return await self.session(rows, **options).run()

    def session(self, rows: Sequence[InputRow] | Sequence[Batch], **options: Any) -> "Session":
        self.sessions += 1
        return Session(self, _batches(rows), msgspec.structs.replace(self.settings, **options))

    def most_open(self, slots: int) -> int:
        """Return the most calls that may be open. An outage adds probes, and as many hanging calls from before it."""
        return 2 * (slots + MOST_PROBES) if self.had_outage else slots

    def report(self) -> Report:
        return read_report(JournalReader(self.connection))


class Session:
    """The wiring of ``orchestrator/runs``, with everything in memory."""

    def __init__(self, world: World, batches: Sequence[Batch], settings: Settings) -> None:
        self.world = world
        self.settings = settings
        started = now()
        # Each process has its own monotonic clock.
        self.clock = Clock(lambda: now() - started + 3.0, wall=EPOCH + started)
        connection = FallbackConnection(world.connection)
        self.writer = LaggingWriter(connection)
        inline = InlineWriter(connection)
        self.journal = SlowJournal(self.writer if world.lagging else inline, self.clock, world.disk)
        self.progress = Progress()
        self.cutoff = Cutoff()
        self.backlog = Backlog()
        self.batches = batches
        self.over = False
        log = make_log(world.sink, self.clock, "run")
        slots = TenantSlots(settings.headroom / 100, settings.concurrency)
        self.pacer = Pacer(slots, settings.headroom / 100, settings.rate, Random(world.seed).uniform)
        self.pace = Pace(self.pacer, self.backlog, self.journal, self.progress, self.clock, log)
        outage = Outage(
            settings.wait_for_tenant, self.pace, self.cutoff, self.clock, answered=world.sessions > 1
        )
        self.gate = WatchedGate(
            self.pace, self.backlog, self.cutoff, self.clock, world.tenant, self.journal, outage
        )
        common = Common(
            planning=world.command == "plan",
            clock=self.clock,
            journal=self.journal,
            log=log,
            responses=ResponseFiles(Path(), save=False),
            label=f"t-{world.sessions}",
            on_completed=lambda seq, outcome: world.settled.append((seq, outcome)),
            random=Random(world.seed + world.sessions),
        )
        self.session = TenantSession(
            common, settings, world.tenant, self.gate, self.pace, outage, self.backlog, self.cutoff, self.journal,
            None if settings.no_results else world.responses, self.progress, log, track_prefix=common.label,
        )  # fmt: skip

    async def run(self) -> Ending:
        counts, info = await self._open()
        self.progress.keys, self.progress.accepted = counts.keys, counts.accepted
        self.backlog.waiting, self.backlog.parked = counts.waiting, counts.polling
        self.journal.begin_session()
        self.world.tenant.answered = self._receive
        intake = ReadAlready() if info.complete else MemoryIntake(self.journal, info, self.batches)
        try:
            with self.cutoff.deadline(self.settings.deadline):
                ending = await self.session.run(intake)
        finally:
            outage = self.pacer.circuit.outage_seconds(float("-inf"), self.clock.now())
            self.world.had_outage = self.world.had_outage or outage > 0
        self.over = True
        await self.journal.end_session(ending.state, ending.reason, 0)
        return ending

    def cut(self, reason: MassStopError) -> None:
        self.cutoff.cancel(reason)

    def interrupt(self, reason: MassStopError) -> None:
        self.cutoff.interrupt(reason)

    def cut_if_running(self, reason: MassStopError) -> None:
        if not self.over:
            self.cutoff.cancel(reason)

    def _receive(self, answer: Answered) -> None:
        self.pace.receive(answer)
        self.world.most_held = max(self.world.most_held, self.backlog.followed)

    async def _open(self) -> tuple[Counts, SourceInfo]:
        if self.world.sessions > 1:
            files = self.world.responses.files if self.world.responses else {}
            counts = await self.journal.reopen(kept=files.__contains__)
            return counts.get("", NO_KEYS), JournalReader(self.world.connection).sources()[0]
        self.journal.begin(
            RunInfo(
                id="run",
                command=self.world.command,
                version="0",
                process_started_at=self.clock.wall(),
                started_at=self.clock.stamp(),
                base_url=self.settings.address,
                entity_id=None,
                org_ids=(),
                settings={},
            )
        )
        (info,) = self.journal.add_sources([("keys.csv", "keys.csv")])
        return NO_KEYS, info


def _batches(
    rows: Sequence[InputRow] | Sequence[Batch],
) -> list[Batch]:
    if rows and isinstance(rows[0], tuple):
        return [batch for batch in rows if isinstance(batch, tuple)]
    return [(0.0, [row for row in rows if isinstance(row, InputRow)])] if rows else []


def rows_of(count: int, first: int = 1) -> list[InputRow]:
    """Return rows for ``count`` keys, starting with number ``first``, on the lines after a header."""
    return [InputRow(number + 1, bulk_key(number)) for number in range(first, first + count)]


def entry(report: Report, number: int) -> ActionEntry:
    """Return the report's entry of key ``number``."""
    (found,) = (action for action in report.actions if action.bulk_key == bulk_key(number))
    return found
