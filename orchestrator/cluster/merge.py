"""Merging what shards did into the run's journal: each journal from its folder, once."""

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from orchestrator.atomic import replacing
from orchestrator.cluster import control
from orchestrator.cluster.control import ControlMessage, Degree
from orchestrator.cluster.shared_dir import (
    is_superseded,
    lock,
    refuse_foreign,
    remove,
    remove_if_merged,
    sessions_folder,
    subfolders,
)
from orchestrator.engine.cutoff import Ending
from orchestrator.errors import MassStopError, RunDirectoryError, StorageError, UsageError
from orchestrator.journal import shards
from orchestrator.journal.entries import RunInfo
from orchestrator.journal.journal import Journal
from orchestrator.model import Outcome
from orchestrator.rundir import JOURNAL, DirectoryInUse, NoDirectory
from orchestrator.settings import Settings

PATIENCE = 15.0
"""Seconds, besides those of a call, in which a shard that does not answer any more unlocks its folder."""


class ShardLost(MassStopError):
    """A shard did not complete although it was tried several times, or its cluster is lost."""

    exit_status = 5


def shard_lost(reason: str) -> Ending:
    """Return how a shard ended that did not complete."""
    return Ending.cut(ShardLost(reason))


@dataclass(frozen=True)
class ShardMerge:
    """Merges rows of shards into ``journal``, and their files into the run's ``directory``.

    ``sent`` says whether the shards send stops. ``timeout`` is that of their calls, in seconds. ``on_completed``
    receives the journal's number and the outcome of each completed key.
    """

    journal: Journal
    directory: Path
    sent: bool
    timeout: float
    on_completed: Callable[[int, Outcome], None] = lambda *_: None

    async def conclude(
        self, folder: Path, tenant: str, ending: Ending, tables: shards.Tables | None = None
    ) -> Ending:
        """Merge a shard that ended with ``ending``, and return how its tenant ended. See :meth:`merge`."""
        reason = (ending.reason or "").removesuffix(".")
        try:
            touched = await self.merge(folder, tenant, tables)
        except DirectoryInUse:
            return shard_lost(
                f"How its shard ended is not known ({reason}); it may still run. mass-stop resume merges its results "
                "once it is over."
            )
        except (StorageError, RunDirectoryError) as error:
            return shard_lost(
                f"The results of its shard are missing: {error} Its keys count as possibly stopped, until mass-stop "
                "resume finds the results or stops the keys again."
            )
        if isinstance(ending.cut_by, ShardLost) or (touched and isinstance(ending.cut_by, UsageError)):
            return shard_lost(
                f"Its shard did not complete: {reason}. Its results are kept; mass-stop resume does the rest."
            )
        return ending

    async def merge(self, folder: Path, tenant: str, tables: shards.Tables | None = None) -> bool:
        """Merge the shard of ``tenant``, and remove its ``folder``. Return whether a call of it may have been sent.

        ``tables`` is what the shard itself returned because its disk was full.

        Raises:
            DirectoryInUse: the shard still runs, for longer than a call and :data:`PATIENCE` allow.
            RunDirectoryError: its folder is gone, or has no locks.
            StorageError: its journal cannot be read; it is left as it is.
        """
        with ExitStack() as stack:
            try:
                stack.callback((await lock(folder, self.timeout + PATIENCE)).close)
            except DirectoryInUse:
                raise
            except RunDirectoryError:
                if tables is None:
                    raise
            touched, completed = await anyio.to_thread.run_sync(self._merge, folder, tenant, tables)
        for seq, outcome in completed:
            self.on_completed(seq, outcome)
        return touched

    def _merge(
        self, folder: Path, tenant: str, tables: shards.Tables | None
    ) -> tuple[bool, list[tuple[int, Outcome]]]:
        name = f"{folder.parent.name}/{folder.name}"
        touched = tables is not None or not shards.is_untouched(folder)
        completed = []
        if not touched:
            if self.sent:
                shards.return_untouched(self.journal, tenant, name).result()
        elif found := tables or shards.read_left(folder / JOURNAL):
            _move_responses(folder, self.directory)
            completed = shards.merge(self.journal, found, name).result()
            with suppress(OSError), (self.directory / "run.log").open("ab") as log:
                log.write((folder / "run.log").read_bytes())
        # A journal in memory ends with this process. In that case the folder is still needed.
        if self.journal.trouble is None:
            shutil.rmtree(folder, ignore_errors=True)
        return touched, completed


def _move_responses(folder: Path, directory: Path) -> None:
    """Move the response files. The remediation reports each that is missing."""
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


async def merge_left_behind(
    journal: Journal, info: RunInfo, settings: Settings, directory: Path, sessions: int
) -> None:
    """Merge what the shards of the last of ``sessions`` left behind. It cuts shards that still run.

    Raises RunDirectoryError if one does not end, UsageError if other users could have changed the results, and
    StorageError if they cannot be read.
    """
    merge = ShardMerge(journal, directory, info.command != "plan", settings.timeout)
    folder = sessions_folder(settings, directory, info.id)
    try:
        left_behind = subfolders(folder)
        if left_behind:
            refuse_foreign(folder)
        for session in left_behind:
            with suppress(OSError):
                control.write(session, ControlMessage(Degree.CANCEL, "The run is resumed elsewhere."))
            if is_superseded(session, sessions):
                remove(session)
                continue
            for shard in subfolders(session):
                await _merge_left_behind(merge, shard, shard.name if info.tenants else "")
            remove_if_merged(session)
    except OSError as error:
        raise StorageError(
            f"The folder {folder} of this run's shards cannot be read: {error.strerror}."
        ) from error


async def _merge_left_behind(merge: ShardMerge, shard: Path, tenant: str) -> None:
    try:
        await merge.merge(shard, tenant)
    except DirectoryInUse:
        raise RunDirectoryError(
            f"A dask worker is still at work in {shard}. Wait until it ends, or end it, and resume again."
        ) from None
    except NoDirectory:
        pass  # a resume of a copy of the run was faster: a key that is not here was possibly stopped
    except StorageError as error:
        raise StorageError(
            f"{error} Put a readable copy in its place and resume again. Or remove {shard}: its keys then count as "
            "possibly stopped, and are stopped again, which does no harm."
        ) from error
