"""A tenant's part of a run as a task of its own, on whatever machine: what a worker does.

A shard carries its keys, the settings and the place of its credentials, never a secret. It keeps a journal in its
folder below the shared directory, so that a second try goes on where the first was cut. Its caller speaks to it
through one file of orders there, which no broken connection can hold up.
"""

import asyncio
import os
import resource
import sqlite3
import threading
import time
from asyncio import wrap_future
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from orchestrator import collector
from orchestrator.clock import Clock
from orchestrator.cluster import control as orders
from orchestrator.cluster.control import LOOK, Orders
from orchestrator.cluster.messages import Done, Shard, counts_of, decode_shard, topic
from orchestrator.cluster.shard_journal import open_journal
from orchestrator.engine.cutoff import Cutoff, Ending
from orchestrator.errors import MassStopError, StorageError, UsageError
from orchestrator.journal import shards
from orchestrator.journal.entries import NOTHING, Standing, standings
from orchestrator.journal.intake import ReadAlready
from orchestrator.logs import Sink, make_log
from orchestrator.progress import Tally
from orchestrator.results.spool import ResponseFiles
from orchestrator.runs import rundir
from orchestrator.runs.rundir import DirectoryInUse, RunDirectory
from orchestrator.runs.session import Common, first_tally, tenant_session, track_letters
from orchestrator.settings import Settings
from orchestrator.settings.tenants import settings_of
from orchestrator.version import VERSION

LONGEST_LOCKED = 120.0
"""Seconds to wait for another try of the same shard that is still at work."""


def work(data: bytes, tell: Callable[[dict[str, Any]], None] | None = None) -> bytes:
    """Works on the shard ``data`` (of :func:`encode_shard`) to its end; gives a :class:`Done`.

    Blocks; all shards of one process share one event loop in a thread of its own. Counts go to ``tell``, or to whoever
    subscribed to the run's topic at the dask scheduler.
    """
    shard = decode_shard(data)
    with _Crew.joined(shard, tell or _dask_topic(shard.info.id)) as crew:
        return msgspec.msgpack.encode(crew.work(shard))


def hear(home: str, told: bytes) -> None:
    """Follows the orders ``told`` (as :class:`Orders`, in JSON), which could not be written to ``home``."""
    _Crew.hear(Path(home), msgspec.json.decode(told, type=Orders))


def _dask_topic(run_id: str) -> Callable[[dict[str, Any]], None]:
    from distributed import get_worker

    worker = get_worker()

    def tell(counts: dict[str, Any]) -> None:
        worker.log_event(topic(run_id), counts)

    return tell


class _Crew:
    """All shards of one session that are at work in this process: one loop, one look at the orders for all."""

    _lock = threading.Lock()
    _loop: asyncio.AbstractEventLoop | None = None
    _crews: dict[Path, "_Crew"] = {}  # noqa: RUF012 - one registry a process

    def __init__(self, home: Path, tell: Callable[[dict[str, Any]], None]) -> None:
        self._home = home
        self._tell = tell
        self._shards: dict[str, tuple[Cutoff, Tally]] = {}
        self._watch: asyncio.Task[None] | None = None
        self.members = 0
        self.orders = Orders()

    @classmethod
    @contextmanager
    def joined(cls, shard: Shard, tell: Callable[[dict[str, Any]], None]) -> Iterator["_Crew"]:
        """The crew of the shard's session, which lasts from its first shard in this process to its last."""
        home = Path(shard.folder).parent
        with cls._lock:
            if cls._loop is None:
                cls._loop = _running_loop()
            crew = cls._crews.setdefault(home, cls(home, tell))
            crew.members += 1
        try:
            yield crew
        finally:
            with cls._lock:
                crew.members -= 1
                if not crew.members:
                    del cls._crews[home]

    @classmethod
    def hear(cls, home: Path, told: Orders) -> None:
        with cls._lock:
            if home in cls._crews:
                cls._crews[home]._take(told)  # noqa: SLF001 - its own

    def work(self, shard: Shard) -> Done:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(self._work(shard), self._loop).result()

    async def _work(self, shard: Shard) -> Done:
        if shard.info.version != VERSION:
            return _refused(f"The worker {_host()} has mass-stop {VERSION}, the run {shard.info.version}.")
        try:
            await self._look()
            directory = await _opened(Path(shard.folder), self._cancelled)
        except UsageError as error:
            return _refused(str(error))
        try:
            if self.orders.cut is not None:
                return Done.of(Ending.cut(self.orders.reason))
            return await self._in(directory, shard)
        finally:
            directory.close()

    async def _in(self, directory: RunDirectory, shard: Shard) -> Done:
        try:
            base = msgspec.convert(shard.info.settings, Settings)
            base = msgspec.structs.replace(base, proxy_credentials=shard.proxy_credentials)
            settings = settings_of(shard.name, shard.tenant, base)
        except UsageError as error:
            return _refused(f"On the worker {_host()}: {error}")
        clock = self._callers_clock(directory)
        journal = await anyio.to_thread.run_sync(open_journal, directory, shard, clock)
        responses = ResponseFiles(directory.path, save=settings.save_responses)
        sink = Sink(directory.log, None)
        try:
            await journal.reopen(kept=responses.keeps)
            standing = (await wrap_future(journal.perform(standings))).get(shard.name, NOTHING)
            sessions = await wrap_future(journal.perform(_sessions))
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
            log.info(
                "shard.started", tenant=shard.name, waiting=standing.waiting, following=standing.following
            )
            tally = first_tally(standing, planning=common.planning)
            done = await self._follow_orders(shard, common, settings, tally, standing)
            if shard.name:
                journal.of(shard.name).tenant_state(done.state, done.reason)
            await journal.end_session(done.state, done.reason, done.exit_status)
            if trouble := journal.trouble or responses.trouble or sink.trouble:
                done = Done("aborted", f"On the worker {_host()}: {trouble}", StorageError.exit_status)
            if journal.trouble:
                done = msgspec.structs.replace(done, told=await wrap_future(journal.perform(shards.read)))
            return done
        finally:
            with suppress(StorageError):
                await anyio.to_thread.run_sync(journal.close)
            sink.close()

    def _callers_clock(self, directory: RunDirectory) -> Clock:
        """A clock that goes as the caller's, as told by the folder that both see: this machine's own may be off.

        By it go the deadline, and the times in the report.
        """
        with suppress(OSError, msgspec.DecodeError):
            told, at = orders.read(self._home)
            return Clock(wall=told.at + directory.now() - at)
        return Clock()

    async def _follow_orders(
        self, shard: Shard, common: Common, settings: Settings, progress: Tally, standing: Standing
    ) -> Done:
        cutoff = Cutoff()
        self._shards[shard.name] = cutoff, progress
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._keep_watch())
        self._pass_on()
        seconds = None if shard.deadline is None else shard.deadline - common.clock.wall()
        try:
            with cutoff.deadline(seconds):
                async with tenant_session(
                    common, settings, cutoff, progress, standing, name=shard.name, number=shard.number
                ) as session:
                    return Done.of(await session.run(ReadAlready()))
        except MassStopError as error:
            return Done.of(Ending.cut(error))
        finally:
            self._tell_counts()
            del self._shards[shard.name]

    async def _keep_watch(self) -> None:
        while self._shards:
            await asyncio.sleep(LOOK)
            with suppress(UsageError):  # whoever cleared the folder away wants no more either
                await self._look()
            self._pass_on()
            self._tell_counts()
        self._watch = None

    async def _look(self) -> None:
        try:
            told, _ = await anyio.to_thread.run_sync(orders.read, self._home)
        except (OSError, msgspec.DecodeError):
            raise UsageError(
                f"The worker {_host()} does not see {self._home}: --shared-dir must be a folder that this "
                "machine and every worker see under one path."
            ) from None
        self._take(told)

    def _take(self, told: Orders) -> None:
        """No order is taken back, and of two ways to give one the file may be the slower."""
        self.orders = max(self.orders, told, key=lambda one: one.strictness)

    def _pass_on(self) -> None:
        for cutoff, _ in self._shards.values():
            if self.orders.stop_sending is not None:
                cutoff.stop_sending(self.orders.reason)
            if self.orders.cut is not None:
                cutoff.cancel(self.orders.reason)

    def _tell_counts(self) -> None:
        if not self._shards:
            return
        now = time.monotonic()
        with suppress(Exception):  # the counts are for the eye only
            self._tell({name: counts_of(progress, now) for name, (_, progress) in self._shards.items()})

    def _cancelled(self) -> bool:
        return self.orders.cut is not None


def _refused(sentence: str) -> Done:
    return Done.of(Ending.cut(UsageError(sentence)))


async def _opened(folder: Path, cancelled: Callable[[], bool]) -> RunDirectory:
    """The shard's folder, held by this try alone. One that is gone was taken back by the caller."""
    give_up = asyncio.get_running_loop().time() + LONGEST_LOCKED
    while True:
        try:
            return rundir.reopen(folder, shared=True)
        except DirectoryInUse:
            if asyncio.get_running_loop().time() > give_up or cancelled():
                raise
        await asyncio.sleep(LOOK)


def _sessions(connection: sqlite3.Connection) -> int:
    count: int = connection.execute("SELECT COUNT(*) FROM session").fetchone()[0]
    return count


def _host() -> str:
    return f"{os.uname().nodename} (process {os.getpid()})"


def _running_loop() -> asyncio.AbstractEventLoop:
    """A loop that runs in a thread of its own to the end of the process."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold the token
    collector.seldom()
    try:
        import uvloop

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    except ImportError:
        loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="mass-stop", daemon=True).start()
    return loop
