"""How what shards did comes back into the run: each journal from its folder, once."""

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
import anyio.to_thread

from orchestrator.atomic import replacing
from orchestrator.cluster import control as orders
from orchestrator.cluster.control import LOOK, Orders
from orchestrator.cluster.shared_dir import clear, folders_in, home_of, overtaken, remove
from orchestrator.engine.cutoff import Ending
from orchestrator.errors import MassStopError, RunDirectoryError, StorageError, UsageError
from orchestrator.journal import shards
from orchestrator.journal.entries import RunInfo
from orchestrator.journal.journal import Journal
from orchestrator.model import Outcome
from orchestrator.runs import rundir
from orchestrator.runs.rundir import DirectoryInUse, NoDirectory, RunDirectory
from orchestrator.settings import Settings

PATIENCE = 15.0
"""Seconds, besides those of a call, in which a shard that nobody answers for any more lets go of its folder."""


class ShardLost(MassStopError):
    """A shard came to no end although it was tried again and again, or its cluster is gone."""

    exit_status = 5


@dataclass(frozen=True)
class Homecoming:
    """The way of rows back into ``journal``, and of files into the run's ``directory``.

    ``sent`` says whether the shards were there to send stops, ``timeout`` how many seconds a call of theirs may take.
    ``on_settled`` is told the journal's number and the outcome of each key that is over.
    """

    journal: Journal
    directory: Path
    sent: bool
    timeout: float
    on_settled: Callable[[int, Outcome], None] = lambda *_: None

    async def ended(
        self, folder: Path, tenant: str, ending: Ending, told: shards.Tables | None = None
    ) -> Ending:
        """``ending``, once the shard's rows are back (:meth:`bring_back`); or what is to be told in its place."""
        why = (ending.reason or "").removesuffix(".")
        try:
            touched = await self.bring_back(folder, tenant, told)
        except DirectoryInUse:
            return lost(
                f"Its shard came to no end that is known ({why}) and may still be at work. mass-stop resume brings in "
                "what it did, once it is over."
            )
        except (StorageError, RunDirectoryError) as error:
            return lost(
                f"What its shard did is not back: {error} Its keys count as perhaps stopped, until mass-stop resume "
                "finds what was done, or stops them once more."
            )
        if isinstance(ending.cut_by, ShardLost) or (touched and isinstance(ending.cut_by, UsageError)):
            return lost(
                f"Its shard came to no end: {why}. What it did is kept; mass-stop resume does the rest."
            )
        return ending

    async def bring_back(self, folder: Path, tenant: str, told: shards.Tables | None = None) -> bool:
        """Takes what the shard of ``tenant`` did, and its ``folder`` away; whether a call of it may have left.

        ``told`` is what the shard itself told, where its journal took no more.

        Raises:
            DirectoryInUse: the shard is still at work, and longer than a call and :data:`PATIENCE` allow.
            RunDirectoryError: its folder is gone, or has no locks.
            StorageError: its journal cannot be read; it is left as it is.
        """
        with ExitStack() as stack:
            try:
                stack.callback((await self._held(folder)).close)
            except DirectoryInUse:
                raise
            except RunDirectoryError:
                if told is None:
                    raise
            touched, settled = await anyio.to_thread.run_sync(self._merged, folder, tenant, told)
        for seq, outcome in settled:
            self.on_settled(seq, outcome)
        return touched

    async def _held(self, folder: Path) -> RunDirectory:
        give_up = anyio.current_time() + self.timeout + PATIENCE
        while True:
            try:
                return rundir.reopen(folder, shared=True)
            except DirectoryInUse:
                if anyio.current_time() > give_up:
                    raise
            await anyio.sleep(LOOK)

    def _merged(
        self, folder: Path, tenant: str, told: shards.Tables | None
    ) -> tuple[bool, list[tuple[int, Outcome]]]:
        name = f"{folder.parent.name}/{folder.name}"
        try:
            touched = told is not None or not shards.is_untouched(folder)
        except OSError as error:
            raise StorageError(f"The folder {folder} cannot be read: {error.strerror}.") from error
        settled = []
        if not touched:
            if self.sent:
                self.journal.perform(lambda db: shards.take_back(db, tenant, name)).result()
        elif found := told or shards.read_left(folder / "journal.db"):
            _move_responses(folder, self.directory)
            settled = self.journal.perform(lambda db: shards.merge(db, found, name)).result()
            with suppress(OSError), (self.directory / "run.log").open("ab") as log:
                log.write((folder / "run.log").read_bytes())
        # What a journal in memory has taken is gone with this process, and the folder has it still.
        if self.journal.trouble is None:
            shutil.rmtree(folder, ignore_errors=True)
        return touched, settled


def lost(reason: str) -> Ending:
    """How a shard ended that came to no end."""
    return Ending.cut(ShardLost(reason))


def _move_responses(folder: Path, directory: Path) -> None:
    """One that cannot be moved is missed where the remediation is made, and said there."""
    for kind, suffix in ((".responses", ".zip"), ("responses", ".csv")):
        for place, _, names in os.walk(folder / kind):
            for path in (Path(place, name) for name in names if name.endswith(suffix)):
                with suppress(OSError):
                    _move(path, directory / path.relative_to(folder))


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        source.replace(target)
    except OSError:  # on another disk
        with source.open("rb") as file, replacing(target) as copy:
            shutil.copyfileobj(file, copy)


async def collect(
    journal: Journal, info: RunInfo, settings: Settings, directory: Path, sessions: int
) -> None:
    """Brings back what the shards of the last of ``sessions`` did. Those that are still at work are told to end.

    Raises RunDirectoryError where one does not, or StorageError where it cannot be read.
    """
    way = Homecoming(journal, directory, info.command != "plan", settings.timeout)
    home = home_of(settings, directory, info.id)
    try:
        for session in folders_in(home):
            with suppress(OSError):
                orders.give(session, Orders(cut="The run is resumed elsewhere.", exit_status=4))
            if overtaken(session, sessions):
                remove(session)
                continue
            for folder in folders_in(session):
                await _collect(way, folder, folder.name if info.tenants else "")
            clear(session)
    except OSError as error:
        raise StorageError(
            f"The folder {home} of this run's shards cannot be read: {error.strerror}."
        ) from error


async def _collect(way: Homecoming, folder: Path, tenant: str) -> None:
    try:
        await way.bring_back(folder, tenant)
    except DirectoryInUse:
        raise RunDirectoryError(
            f"A dask worker is still at work in {folder}: let it end, or end it, and resume again."
        ) from None
    except NoDirectory:
        pass  # whoever resumes a copy of the run was faster: what is not here was perhaps stopped
    except StorageError as error:
        raise StorageError(
            f"{error} Make it readable and resume again; or take {folder} away: its keys then count as perhaps "
            "stopped, and are stopped once more, which does no harm."
        ) from error
