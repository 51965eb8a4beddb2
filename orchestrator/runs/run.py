"""One session of one run, from its parts to its files.

The run owns a journal, one cutoff and the sessions of its tenants. :meth:`Run.execute` works through the keys and then
writes the files. :mod:`orchestrator.sessions.session` claims the keys of one tenant and starts their journeys. The
steps of one key are in :mod:`orchestrator.engine.journey`.
"""

import traceback
from asyncio import wrap_future
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio

from orchestrator.clock import Clock, process_started_at
from orchestrator.engine.cutoff import GRACE, Cutoff, Ending
from orchestrator.engine.input import InputCut
from orchestrator.engine.ports import Intake
from orchestrator.errors import (
    ALL_REFUSED,
    CredentialsRefused,
    MassStopError,
    StorageError,
    TenantError,
    TenantUnreachable,
    UsageError,
)
from orchestrator.journal.entries import NO_KEYS, Counts, RunInfo
from orchestrator.journal.journal import Journal
from orchestrator.journal.reader import JournalReader
from orchestrator.logs import Log, Screen, Sink, make_log
from orchestrator.model import GOOD, RESUMABLE, Outcome, Problem
from orchestrator.results.spool import ResponseFiles
from orchestrator.rundir import RunDirectory
from orchestrator.runs.files import Files
from orchestrator.sessions.session import Common, initial_progress, tenant_session, track_letters
from orchestrator.settings import Settings
from orchestrator.telemetry import NAME, run_span
from orchestrator.threads import NO_THREAD, in_thread, is_no_thread
from orchestrator.version import VERSION

if TYPE_CHECKING:
    from orchestrator.settings.tenants import Tenant

R = TypeVar("R")

SORTED, REPORTED, HANDED_OVER = 0.4, 0.7, 0.8
"""The share of the files that is written after each step: records sorted, ``report.json``, ``needs-person.csv``."""

OnCompleted = Callable[[int, Outcome], None]


class Run:
    """One session of one run.

    Attributes:
        tenants: the tenants by name, if the run has several.
        counts: by tenant, the keys that earlier sessions left.
        progress: what the screen shows.
        cutoff: ends the run early.
        started: the session leaves traces, because calls may have been made. Otherwise :meth:`close` removes them.
        ending: how the session ended.
        exit_status: the exit status, once the session has ended.
        unordered: a sentence on the rows without a number, if an order was asked for. Known once all keys were read.

    ``rejected_before`` are the keys that an earlier session rejected and that this one tries again, with the error.
    ``on_completed`` is called with the number in the journal and the outcome of each completed key.
    """

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
        counts: Mapping[str, Counts] | None = None,
        rejected_before: Mapping[int, str] | None = None,
        tenants: "Mapping[str, Tenant] | None" = None,
        on_completed: OnCompleted = lambda *_: None,
    ) -> None:
        self.settings = settings
        self.info = info
        self.directory = directory
        self.journal = journal
        self.counts = dict(counts or {})
        self.tenants = tenants or {}
        self.sink = Sink(directory.log, screen)
        self.log: Log = make_log(self.sink, clock, info.id)
        self.progress = initial_progress(
            self.total_counts, planning=info.command == "plan", results=not settings.no_results
        )
        self.unordered: str | None = None
        self.exit_status = 0
        self.cutoff = Cutoff()
        self.cutoff.subscribe(self._show_end)
        self.started = False
        self.ending = Ending("running")
        self._clock = clock
        self._on_completed = on_completed
        self._session = session
        self._rejected_before = rejected_before or {}
        self._responses = ResponseFiles(
            directory.path, save=settings.save_responses, tenants=bool(self.tenants)
        )
        self._files = Files(directory, journal, self._responses, self.log)

    @property
    def total_counts(self) -> Counts:
        """The keys that earlier sessions left, of all tenants."""
        return sum(self.counts.values(), NO_KEYS)

    @property
    def troubles(self) -> list[str]:
        """Sentences on what this machine could not do for the run."""
        without_thread = NO_THREAD if str(self.ending.cut_by) == NO_THREAD else None
        found = (self.journal.trouble, self._responses.trouble, self.sink.trouble, without_thread)
        return [*self._files.troubles, *(trouble for trouble in found if trouble)]

    @property
    def saved(self) -> bool:
        """Whether the report was written."""
        return self._files.saved

    async def execute(self, intake: Intake) -> int:
        """Work through all keys, then write the files of the run. Return the exit status of the command.

        If it is cancelled, calls in flight are cancelled too, and the files are written all the same.

        Raises:
            UsageError: the input cannot be used; nothing was sent.
            StorageError: the journal could be kept neither on disk nor in memory.
        """
        with run_span(self.info.id, self.info.command) as span:
            try:
                return await self._execute(intake)
            finally:
                if span is not None:
                    span.set_attribute(f"{NAME}.state", self.ending.state)
                    span.set_attribute(f"{NAME}.exit_status", self.exit_status)

    async def _execute(self, intake: Intake) -> int:
        where = {"tenants": len(self.tenants)} if self.tenants else {"base_url": self.info.base_url}
        self.log.info("run.started", command=self.info.command, version=VERSION, **where)
        if self._session == 1 and self.directory.warning:
            self.log.warning("run_directory.open_to_others", message=self.directory.warning)
        if self.unordered:
            self.log.warning("input.unordered", message=self.unordered)
        try:
            self.ending = await self._work(intake)
        except anyio.get_cancelled_exc_class():
            how = (
                "A second signal cancelled the calls in flight."
                if self.cutoff.closing
                else "The run was cancelled, and calls in flight were cancelled."
            )
            self.ending = Ending("interrupted", how, self.cutoff.reason if self.cutoff.closing else None)
            await self.finish()
            raise
        except UsageError:
            self.started = False  # nothing was sent, so nothing is left behind
            raise
        except Exception as error:
            if not is_no_thread(error):
                if not isinstance(error, MassStopError):
                    self.log.error("run.crashed", traceback=traceback.format_exc())
                raise
            self.ending = Ending.cut(StorageError(NO_THREAD))
        cut_by = self.ending.cut_by
        if isinstance(cut_by, UsageError):
            if self._session == 1 or not self.progress.tenant_answered:
                self.started = False
            else:
                await self.finish()
            raise cut_by
        status = await self.finish()
        if isinstance(cut_by, InputCut) and cut_by.error is not None:
            raise cut_by.error
        return status

    async def _work(self, intake: Intake) -> Ending:
        """Run the session of the tenant, or of all tenants, in this process or on a dask cluster."""
        # The first session's id is unique. A later one may be that of a copy of the run as well.
        session = f"{self._session}{track_letters() if self._session > 1 else ''}"
        common = Common(
            planning=self.info.command == "plan",
            clock=self._clock,
            journal=self.journal,
            log=self.log,
            responses=self._responses,
            label=f"{self.settings.track_prefix}-{self.info.id}-{session}",
            on_completed=self._on_completed,
        )
        deadline = self.deadline
        self.started = True
        with self.cutoff.deadline(None if deadline is None else deadline - self._clock.wall()):
            # A plan starts no processes. But a cluster that is there may be the only place with the credentials.
            if self.settings.engine == "dask" and not (common.planning and self.settings.scheduler is None):
                from orchestrator.cluster import ClusterSession

                cluster = ClusterSession(
                    common, self.info, self._session, self.settings, self.tenants, self.counts, self.progress,
                    self.cutoff, self.directory.path, deadline,
                )  # fmt: skip
                return await cluster.run(intake)
            if self.tenants:
                from orchestrator.sessions.several import MultiTenantSession

                sessions = MultiTenantSession(
                    common, self.settings, self.tenants, self.counts, self.progress, self.cutoff
                )
                return await sessions.run(intake)
            async with tenant_session(
                common, self.settings, self.cutoff, self.progress, self.total_counts
            ) as tenant:
                return await tenant.run(intake)

    @property
    def deadline(self) -> float | None:
        """The deadline in seconds since the epoch. It counts from the start of this process."""
        return None if self.settings.deadline is None else process_started_at() + self.settings.deadline

    async def finish(self) -> int:
        """Record how the session ended, then write all files. Return the exit status.

        Shielded: a signal that comes now has no calls to cancel, and must not prevent the report.
        """
        with anyio.CancelScope(shield=True):
            self.exit_status = await self._finish()
        return self.exit_status

    def _show_end(self) -> None:
        """Show when the last call ends at the latest, once the run ends early."""
        self.progress.confirming = self.cutoff.confirming
        if self.cutoff.closing and self.progress.closing_by is None:
            grace = GRACE if self.cutoff.confirming else 0.0
            self.progress.closing_by = self._clock.now() + grace + self.settings.timeout

    def _show_sorted(self, share: float) -> None:
        self.progress.writing = SORTED * share

    async def _finish(self) -> int:
        progress = self.progress
        progress.writing = 0.0
        if self._rejected_before:
            self._reject(await self.read(self._not_tried))
        outcomes = {Outcome(name) for name in await self.read(JournalReader.outcomes)}
        if self.ending.cut_by is None and await self.read(JournalReader.all_credentials_refused):
            self.ending = Ending.cut(CredentialsRefused(ALL_REFUSED))
        if self.info.command != "plan" and not self.settings.no_results:
            await self._files.remediate(self._show_sorted)
        status = await self._exit_status(outcomes)
        await self.journal.end_session(self.ending.state, self.ending.reason, status)
        progress.writing = SORTED
        await self._files.write_report()
        progress.writing = REPORTED
        await self._files.write_handover()
        if self.troubles and status != StorageError.exit_status:  # one of these files could not be written
            status = await self._end_again(StorageError.exit_status)
        if self.ending.state == "finished" and not outcomes & RESUMABLE:
            await self._discard_responses()
        progress.writing = HANDED_OVER
        await self._write_page()
        progress.writing = 1.0
        why = {"reason": self.ending.reason} if self.ending.reason else {}
        self.log.info("run.ended", state=self.ending.state, exit_status=status, **why)
        return status

    async def _discard_responses(self) -> None:
        """Remove the response files of a complete run, unless ``mass-stop resume`` may need them."""
        missing = await self.read(
            JournalReader.missing_files
        )  # resume may fetch it, and then needs all others too
        if self.saved and not missing and not self._files.troubles:
            await in_thread(self._responses.discard)

    async def _exit_status(self, outcomes: Set[Outcome]) -> int:
        cut_by = self.ending.cut_by
        if self.troubles:
            return StorageError.exit_status
        if isinstance(cut_by, TenantError):
            # The journal knows. The progress of shards on other machines may be late, or lost.
            unreachable = isinstance(cut_by, TenantUnreachable)
            began = JournalReader.any_stop_sent if unreachable else JournalReader.any_possibly_stopped
            return 4 if await self.read(began) else cut_by.exit_status
        if cut_by is not None:
            return cut_by.exit_status
        if self.ending.state == "interrupted":
            return 130
        return 0 if outcomes <= GOOD else 1

    async def undelivered(self, sentence: str, exit_status: int) -> None:
        """Record that a copy of the report was not written, why (``sentence``), and the exit status that follows."""
        with anyio.CancelScope(shield=True):
            self._files.troubles.append(sentence)
            self.log.error("report.undelivered", message=sentence)
            if self.exit_status != StorageError.exit_status:
                self.exit_status = await self._end_again(exit_status)
                await self._write_page()

    async def _write_page(self) -> None:
        """Write the page, and the metrics if a file was named for them."""
        await self._files.write_page()
        if self.settings.metrics is not None:
            await self._files.write_metrics(Path(self.settings.metrics))

    async def _end_again(self, status: int) -> int:
        """Write journal and report once more, with the first trouble and the exit status that follows."""
        await self.journal.end_session(self.ending.state, self.ending.reason or self.troubles[0], status)
        await self._files.write_report()
        return status

    async def read(self, work: Callable[[JournalReader], R], *, batched: bool = False) -> R:
        """Read the journal, including every change so far. With ``batched``, wait for the next commit."""
        return await wrap_future(self.journal.read(work, batched=batched))

    def close(self) -> None:
        """Close journal, log and directory. Blocks until all is on the disk.

        A session that never started leaves nothing behind.
        """
        with suppress(StorageError):
            if not self.started and self._session > 1:
                self._reject(self.journal.read(self._not_tried).result())
                self.journal.withdraw_session()
            self.journal.close()
        self.sink.close()
        if not self.started and self._session == 1:
            self.directory.discard()
        self.directory.close()

    def _not_tried(self, reader: JournalReader) -> list[tuple[int, Problem]]:
        """Return the keys that an earlier session rejected and this one did not try, with the error."""
        return reader.still_refused(self._rejected_before)

    def _reject(self, keys: list[tuple[int, Problem]]) -> None:
        """Restore the rejection of ``keys``."""
        for seq, problem in keys:
            self.journal.completed(seq, Outcome.REJECTED, problem)
