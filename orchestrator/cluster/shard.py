"""One tenant's part of a run as a task of its own, on any machine: what a worker does.

A shard contains its keys, the settings, and where its credentials are. It keeps a journal in its folder, so that a
second try continues where the first was cut. A worker that belongs to others stays as it was. Umask, limits, garbage
collection and loggers are not changed. The thread ends with the last shard.
"""

import asyncio
import os
import time
from asyncio import wrap_future
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec
from anyio.from_thread import BlockingPortalProvider

from orchestrator.clock import Clock
from orchestrator.cluster import control
from orchestrator.cluster.control import INTERVAL, ControlMessage, Degree
from orchestrator.cluster.messages import Shard, ShardResult, decode_shard, progress_of, topic
from orchestrator.cluster.shared_dir import lock
from orchestrator.engine.cutoff import Cutoff, Ending
from orchestrator.errors import MassStopError, StorageError, UsageError
from orchestrator.journal import journal as journals
from orchestrator.journal import shards
from orchestrator.journal.entries import NO_KEYS, Counts, TenantInfo
from orchestrator.journal.intake import ReadAlready
from orchestrator.journal.journal import Journal
from orchestrator.journal.reader import JournalReader
from orchestrator.logs import Sink, make_log
from orchestrator.progress import Progress
from orchestrator.results.spool import ResponseFiles
from orchestrator.rundir import RunDirectory
from orchestrator.sessions.session import Common, initial_progress, tenant_session, track_letters
from orchestrator.settings import Settings
from orchestrator.settings.tenants import settings_of
from orchestrator.version import VERSION

LONGEST_LOCKED = 120.0
"""Seconds to wait for another try of the same shard that still runs."""

Report = Callable[[dict[str, Any]], None]
"""Receives the progress of all shards of a session, by tenant."""

_loop = BlockingPortalProvider("asyncio", {"use_uvloop": find_spec("uvloop") is not None})
"""The event loop, in a thread of its own, in which all shards of this process work."""


def work(data: bytes, report: Report | None = None) -> bytes:
    """Complete the shard ``data`` (of :func:`encode_shard`), and return its :class:`ShardResult` in msgpack.

    Blocks. Progress goes to ``report``, or to the subscribers of the run's topic at the dask scheduler.
    """
    shard = decode_shard(data)
    report = report or _dask_topic(shard.info.id)
    with _loop as portal:
        return msgspec.msgpack.encode(portal.call(_work, shard, report))


def receive(session: str, message: bytes) -> None:
    """Pass a control message, in JSON, to the shards of this process whose session's folder is ``session``."""
    if here := _sessions.get(Path(session)):
        with suppress(RuntimeError):  # the loop has just ended, with the last shard
            here.loop.call_soon_threadsafe(here.take, msgspec.json.decode(message, type=ControlMessage))


def _dask_topic(run_id: str) -> Report:
    from distributed import get_worker

    worker = get_worker()

    def report(progress: dict[str, Any]) -> None:
        worker.log_event(topic(run_id), progress)

    return report


_sessions: dict[Path, "_Session"] = {}
"""The sessions that have shards in this process, by their folders. Changed in the loop only."""


async def _work(shard: Shard, report: Report) -> ShardResult:
    folder = Path(shard.folder).parent
    session = _sessions.setdefault(folder, _Session(folder, report))
    session.shards += 1
    try:
        return await session.work(shard)
    finally:
        session.shards -= 1
        if not session.shards:
            del _sessions[folder]


class _Session:
    """The shards of one session in this process. They share one task that reads control messages and reports."""

    def __init__(self, folder: Path, report: Report) -> None:
        self.loop = asyncio.get_running_loop()
        self.shards = 0
        self._folder = folder
        self._report = report
        self._message = ControlMessage()
        self._running: dict[str, tuple[Cutoff, Progress]] = {}
        self._watch: asyncio.Task[None] | None = None

    async def work(self, shard: Shard) -> ShardResult:
        if shard.info.version != VERSION:
            return _refused(f"The worker {_host()} has mass-stop {VERSION}, the run {shard.info.version}.")
        try:
            await self._read_control()
            # The folder is gone if the caller has merged it already.
            directory = await lock(Path(shard.folder), LONGEST_LOCKED, self._is_cancelled)
        except UsageError as error:
            return _refused(str(error))
        try:
            if self._is_cancelled():
                return ShardResult.of(Ending.cut(self._message.error))
            return await self._work_in(directory, shard)
        finally:
            directory.close()

    async def _work_in(self, directory: RunDirectory, shard: Shard) -> ShardResult:
        try:
            settings = _settings_of(shard)
        except UsageError as error:
            return _refused(f"On the worker {_host()}: {error}")
        clock = self._callers_clock(directory)
        journal = await anyio.to_thread.run_sync(open_journal, directory, shard, clock)
        responses = ResponseFiles(directory.path, save=settings.save_responses, sort=False)
        sink = Sink(directory.log, None)
        try:
            counts = (await journal.reopen(kept=responses.keeps)).get(shard.name, NO_KEYS)
            sessions = len(await wrap_future(journal.read(JournalReader.sessions)))
            journal.begin_session()
            log = make_log(sink, clock, shard.info.id).bind(worker=_host(), attempt=sessions + 1)
            common = Common(
                planning=shard.info.command == "plan",
                clock=clock,
                journal=journal,
                log=log,
                responses=responses,
                label=f"{settings.track_prefix}-{shard.info.id}-{shard.session}{track_letters()}",
            )
            log.info("shard.started", tenant=shard.name, waiting=counts.waiting, polling=counts.polling)
            progress = initial_progress(counts, planning=common.planning)
            result = await self._run(shard, common, settings, progress, counts)
            if shard.name:
                journal.of(shard.name).tenant_state(result.state, result.reason)
            await journal.end_session(result.state, result.reason, result.exit_status)
            if trouble := journal.trouble or responses.trouble or sink.trouble:
                reason = f"On the worker {_host()}: {trouble}"
                result = ShardResult("aborted", reason, StorageError.exit_status)
            if journal.trouble:
                tables = await wrap_future(shards.read(journal))
                result = msgspec.structs.replace(result, tables=tables)
            return result
        finally:
            with suppress(StorageError):
                await anyio.to_thread.run_sync(journal.close)
            sink.close()

    def _callers_clock(self, directory: RunDirectory) -> Clock:
        """Return a clock that shows the caller's time: this machine's own may be wrong.

        The caller wrote its time into the control file, and the file system says how long ago that was. The deadline
        and the times in the report depend on this clock.
        """
        with suppress(OSError, msgspec.DecodeError):
            message, written = control.read(self._folder)
            return Clock(wall=message.at + directory.now() - written)
        return Clock()

    async def _run(
        self, shard: Shard, common: Common, settings: Settings, progress: Progress, counts: Counts
    ) -> ShardResult:
        cutoff = Cutoff()
        self._running[shard.name] = cutoff, progress
        if self._watch is None:
            self._watch = self.loop.create_task(self._keep_watch())
        self._apply_control()
        seconds = None if shard.deadline is None else shard.deadline - common.clock.wall()
        try:
            with cutoff.deadline(seconds):
                async with tenant_session(
                    common, settings, cutoff, progress, counts, name=shard.name, number=shard.number
                ) as session:
                    return ShardResult.of(await session.run(ReadAlready()))
        except MassStopError as error:
            return ShardResult.of(Ending.cut(error))
        finally:
            self._report_progress()
            del self._running[shard.name]

    async def _keep_watch(self) -> None:
        while self._running:
            await asyncio.sleep(INTERVAL)
            with suppress(UsageError):  # the shared folder may be gone for a while
                await self._read_control()
            self._apply_control()
            self._report_progress()
        self._watch = None

    async def _read_control(self) -> None:
        try:
            message, _ = await anyio.to_thread.run_sync(control.read, self._folder)
        except (OSError, msgspec.DecodeError):
            raise UsageError(
                f"The worker {_host()} does not see {self._folder}: --shared-dir must be a folder that this "
                "machine and every worker see under one path."
            ) from None
        self.take(message)

    def take(self, message: ControlMessage) -> None:
        """Keep the stricter of two messages. The file may be slower than dask."""
        self._message = self._message.or_stricter(message)

    def _is_cancelled(self) -> bool:
        return self._message.degree is Degree.CANCEL

    def _apply_control(self) -> None:
        for cutoff, _ in self._running.values():
            match self._message.degree:
                case Degree.STOP_SENDING:
                    cutoff.stop_sending(self._message.error)
                case Degree.INTERRUPT:
                    cutoff.interrupt(self._message.error, grace=None)
                case Degree.CANCEL:
                    cutoff.cancel(self._message.error)

    def _report_progress(self) -> None:
        if not self._running:
            return
        now = time.monotonic()
        with suppress(Exception):  # progress is only shown
            self._report({name: progress_of(progress, now) for name, (_, progress) in self._running.items()})


def open_journal(directory: RunDirectory, shard: Shard, clock: Clock) -> Journal:
    """Return the shard's journal: that of an earlier try, or a new one with the shard's keys.

    Raises StorageError if the journal of an earlier try cannot be read; it is left as it is.
    """
    untouched = shards.is_untouched(directory.path)
    earlier = None if untouched else shards.earlier(directory.journal)
    if earlier is not None:
        earlier.close()
        return journals.reopen(directory.journal, clock, shared=True)
    for begun in directory.path.glob("journal.*"):  # an earlier try did not fill it
        with suppress(OSError):
            begun.unlink()
    journal = journals.create(directory.journal, clock, shared=True)
    try:
        tenant = TenantInfo(shard.tenant.address, shard.tenant.entity_id, shard.tenant.org_ids)
        journal.begin(msgspec.structs.replace(shard.info, tenants={shard.name: tenant} if shard.name else {}))
        shards.put(journal, shard.rows).result()
        if untouched:
            shards.touch(directory.path)
        else:  # the journal of the earlier try is gone
            shards.doubt_unsent(journal).result()
    except BaseException:
        with suppress(StorageError):
            journal.close()
        raise
    return journal


def _settings_of(shard: Shard) -> Settings:
    """Raises UsageError for a credential that is missing on this machine."""
    base = msgspec.convert(shard.info.settings, Settings)
    base = msgspec.structs.replace(base, proxy_credentials=shard.proxy_credentials)
    return settings_of(shard.name, shard.tenant, base)


def _refused(sentence: str) -> ShardResult:
    return ShardResult.of(Ending.cut(UsageError(sentence)))


def _host() -> str:
    return f"{os.uname().nodename} (process {os.getpid()})"
