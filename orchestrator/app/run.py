"""One session of one run, from its parts to its files; readable from top to bottom."""

import sqlite3
import traceback
from asyncio import wrap_future
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import anyio

from orchestrator.clock import Clock, process_started_at
from orchestrator.engine.context import Context
from orchestrator.engine.dispatcher import Dispatcher
from orchestrator.engine.ports import Intake
from orchestrator.engine.responses import ResponseFiles
from orchestrator.engine.run import Ending, Engine
from orchestrator.errors import MassStopError, StorageError, TenantError, UsageError
from orchestrator.logs import Log, Screen, Sink, make_log
from orchestrator.model import OVER, Answered, Outcome
from orchestrator.pacing.pacer import Pacer
from orchestrator.pacing.slots import TenantSlots
from orchestrator.progress import Tally
from orchestrator.settings import Settings
from orchestrator.store import database
from orchestrator.store import report as reports
from orchestrator.store.atomic import replacing
from orchestrator.store.entries import RunInfo, Standing
from orchestrator.store.journal import Journal
from orchestrator.store.rundir import RunDirectory
from orchestrator.version import VERSION
from orchestrator.zuora.client import ZuoraClient

R = TypeVar("R")

OPEN = frozenset({Outcome.UNCONFIRMED, Outcome.UNREACHABLE, Outcome.NOT_ATTEMPTED})
"""Outcomes that a resumed run may still change."""

GOOD = OVER | {Outcome.WOULD_STOP}


class Run:
    """One session of one run, wired and ready."""

    def __init__(
        self,
        settings: Settings,
        info: RunInfo,
        directory: RunDirectory,
        journal: Journal,
        clock: Clock,
        screen: Screen | None,
        *,
        session: int = 1,
        standing: Standing | None = None,
    ) -> None:
        self.settings = settings
        self.info = info
        self.directory = directory
        self.journal = journal
        self.standing = standing or Standing(0, 0, 0, 0)
        self.sink = Sink(directory.log, screen)
        self.log: Log = make_log(self.sink, clock, info.id)
        self.tally = Tally(keys=self.standing.keys, accepted=self.standing.accepted)
        self.saved = False
        self.exit_status = 0
        self.cut_by: MassStopError | None = None
        self.ending = Ending("running")
        self.on_settled: Callable[[int, Outcome], None] = lambda *_: None
        self._clock = clock
        self._session = session
        self._pacer = Pacer(
            TenantSlots(settings.headroom / 100, settings.concurrency), settings.headroom / 100, settings.rate
        )
        self._responses = ResponseFiles(directory.path, save=settings.save_responses)
        self._track_prefix = f"{settings.track_prefix}-{info.id}-{session}"
        self._engine: Engine | None = None
        self._troubles: list[str] = []

    @property
    def troubles(self) -> list[str]:
        """Sentences on what the machine could not do for this run."""
        found = (self.journal.trouble, self._responses.trouble, self.sink.trouble)
        return [*self._troubles, *(trouble for trouble in found if trouble)]

    async def execute(self, intake: Intake) -> int:
        """Works to the end of the run and writes its files. Returns the exit status of the contract.

        Cancelling it cuts calls short and still leaves a report.

        Raises:
            UsageError: the input cannot be used; nothing was sent.
            StorageError: the journal could be kept neither on disk nor in memory.
        """
        self.log.info("run.started", command=self.info.command, version=VERSION, base_url=self.info.base_url)
        try:
            async with ZuoraClient(
                self.settings, self._clock, self._answered, self.journal.token_call
            ) as tenant:
                context = Context(
                    settings=self.settings,
                    tenant=tenant,
                    journal=self.journal,
                    dispatcher=Dispatcher(self._pacer, self._clock),
                    clock=self._clock,
                    log=self.log,
                    tally=self.tally,
                    track_prefix=self._track_prefix,
                    abort=self.cut,
                )
                self._engine = Engine(
                    context,
                    self._pacer,
                    intake,
                    None if self.settings.no_results else self._responses,
                    planning=self.info.command == "plan",
                    deadline=self._seconds_left(),
                    on_settled=self.on_settled,
                )
                self.ending = await self._engine.run(self.standing.waiting, self.standing.following)
        except anyio.get_cancelled_exc_class():
            self.ending = Ending(
                "interrupted", "The run was cancelled, and calls under way were cut.", self.cut_by
            )
            with anyio.CancelScope(shield=True):
                await self.finish()
            raise
        except MassStopError:
            raise
        except Exception:
            self.log.error("run.crashed", traceback=traceback.format_exc())
            raise
        if isinstance(self.ending.cut_by, UsageError):
            if self._session == 1:
                self._engine = None
            else:
                await self.finish()
            raise self.ending.cut_by
        status = await self.finish()
        if self.ending.error is not None:
            raise self.ending.error
        return status

    @property
    def started(self) -> bool:
        """Whether calls may have left."""
        return self._engine is not None

    def cut(self, reason: MassStopError) -> None:
        """Lets no further call start; those under way come back first."""
        self.cut_by = self.cut_by or reason
        if self._engine is not None:
            self._engine.cut(reason)

    async def finish(self) -> int:
        """Writes down how the session ended, then remediation and report. Returns the exit status."""
        outcomes = await self.read(lambda db: dict(db.execute(database.statements()["outcomes"]).fetchall()))
        await self._remediate()
        status = self._exit_status({Outcome(name) for name in outcomes})
        await self.journal.end_session(self.ending.state, self.ending.reason, status)
        self.saved = await self._write_report()
        if self.troubles and status != 5:
            status = 5
            await self.journal.end_session(self.ending.state, self.ending.reason or self.troubles[0], status)
            self.saved = await self._write_report()
        if self.saved and self.ending.state == "finished" and not {Outcome(name) for name in outcomes} & OPEN:
            self._responses.discard()
        self.log.info("run.ended", state=self.ending.state, exit_status=status, reason=self.ending.reason)
        self.exit_status = status
        return status

    def end(self) -> None:
        """Lets go of journal, log and directory; leaves nothing behind of a new run that came to no start."""
        with suppress(StorageError):
            self.journal.close()
        self.sink.close()
        if self._engine is None and self._session == 1:
            self.directory.discard()
        self.directory.close()

    async def read(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Reads the journal, with all in it that was said so far."""
        return await wrap_future(self.journal.perform(work))

    def _seconds_left(self) -> float | None:
        """Until the deadline, which counts from the start of this process."""
        if self.settings.deadline is None:
            return None
        return process_started_at() + self.settings.deadline - self._clock.wall()

    def _answered(self, answer: Answered) -> None:
        if self._engine is not None:
            self._engine.answered(answer)

    def _exit_status(self, outcomes: set[Outcome]) -> int:
        cut_by = self.ending.cut_by
        if self.troubles:
            return 5
        if isinstance(cut_by, TenantError):
            may_have_stopped = self.tally.accepted or Outcome.UNCONFIRMED in outcomes
            return 4 if may_have_stopped else cut_by.exit_status
        if cut_by is not None:
            return cut_by.exit_status
        if self.ending.state == "interrupted":
            return 130
        return 0 if outcomes <= GOOD else 1

    async def _remediate(self) -> None:
        if self.info.command == "plan" or self.settings.no_results:
            return
        if self._responses.remediated:
            return
        rows = await self.read(lambda db: db.execute(database.statements()["filed_keys"]).fetchall())
        try:
            for bulk_key, sentence in await self._responses.remediate(key for (key,) in rows):
                self.log.error("remediation.left_out", bulk_key=bulk_key, message=sentence)
                self._troubles.append(f"The remediation files lack the records of {bulk_key}: {sentence}")
        except StorageError as error:
            self._troubles.append(str(error))

    async def _write_report(self) -> bool:
        try:
            await self.read(lambda db: write_report(db, self.directory.report))
        except OSError as error:
            self._troubles.append(
                f"The report {self.directory.report} could not be written: {error.strerror}."
            )
            return False
        return True


def write_report(connection: sqlite3.Connection, path: Path) -> None:
    """Writes ``report.json``, whole or not at all. Raises OSError."""
    with replacing(path) as file:
        reports.write_json(connection, file.write)
