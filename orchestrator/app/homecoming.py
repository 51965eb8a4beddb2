"""The folders in which shards journal: where they are, and how what was done there comes back into the run."""

import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import anyio
import anyio.to_thread
from msgspec import Struct

from orchestrator.app import orders
from orchestrator.app.orders import LOOK, Orders
from orchestrator.errors import RunDirectoryError, StorageError, UsageError
from orchestrator.model import Outcome
from orchestrator.settings import Settings
from orchestrator.store import rundir, shards
from orchestrator.store.atomic import replacing
from orchestrator.store.entries import RunInfo
from orchestrator.store.journal import Journal
from orchestrator.store.rundir import DirectoryInUse, RunDirectory

PATIENCE = 30.0
"""Seconds to wait for a shard that nobody answers for any more to let go of its folder."""


def new_name(session: int) -> str:
    """The name of a session's folder, which no other has: not even a second resume of a copy of the run."""
    return f"{session}-{secrets.token_hex(2)}"


def _overtaken(folder: Path, sessions: int) -> bool:
    """Whether a session came after that of ``folder``: it went on without what was not there, and knows more by now."""
    return int(folder.name.partition("-")[0]) < sessions


def home_of(settings: Settings, directory: Path, run_id: str) -> Path:
    """Where the shards of a run are: a folder for each session, and in it one for each tenant."""
    shared = Path(settings.shared_dir) if settings.shared_dir else directory / "shards"
    return (shared / f"mass-stop-{run_id}").absolute()


def lay_out(home: Path, folders: Sequence[Path]) -> None:
    """Makes the folder of a session, ``home``, and in it those of its shards; all of them or none.

    Raises UsageError, also where they have no locks: that is known before anything is handed out.
    """
    try:
        home.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise UsageError(
            f"--shared-dir: {home} is there already. Is this run resumed elsewhere too?"
        ) from None
    except OSError as error:
        raise UsageError(f"--shared-dir: {home} cannot be made: {error.strerror}.") from None
    try:
        orders.give(home, Orders())
        for folder in folders:
            shards.lay_out(folder)
        rundir.reopen(folders[0], shared=True).close()
    except (OSError, RunDirectoryError) as error:
        shutil.rmtree(home, ignore_errors=True)
        _clear_above(home)
        if isinstance(error, RunDirectoryError):
            raise
        raise UsageError(f"--shared-dir: {home} cannot be filled: {error.strerror}.") from None


class Back(Struct, frozen=True):
    """What came back of a shard: number and outcome of each key that is over; whether a call may have left."""

    settled: list[tuple[int, Outcome]]
    touched: bool


async def bring_back(
    journal: Journal,
    folder: Path,
    tenant: str,
    directory: Path,
    *,
    sent: bool,
    told: shards.Tables | None = None,
) -> Back:
    """Takes what a shard did into ``journal`` and ``directory``, and its folder away.

    ``told`` is what the shard itself told, where its journal took no more.

    Raises:
        DirectoryInUse: the shard is still at work after :data:`PATIENCE`.
        RunDirectoryError: its folder is gone, or has no locks.
        StorageError: its journal cannot be read; it is left as it is.
    """
    with ExitStack() as stack:
        try:
            stack.callback((await _held(folder)).close)
        except DirectoryInUse:
            raise
        except RunDirectoryError:
            if told is None:
                raise
        return await anyio.to_thread.run_sync(_merged, journal, folder, tenant, directory, sent, told)


async def _held(folder: Path) -> RunDirectory:
    give_up = anyio.current_time() + PATIENCE
    while True:
        try:
            return rundir.reopen(folder, shared=True)
        except DirectoryInUse:
            if anyio.current_time() > give_up:
                raise
        await anyio.sleep(LOOK)


def _merged(
    journal: Journal, folder: Path, tenant: str, directory: Path, sent: bool, told: shards.Tables | None
) -> Back:
    name = f"{folder.parent.name}/{folder.name}"
    try:
        touched = told is not None or not shards.is_untouched(folder)
    except OSError as error:
        raise StorageError(f"The folder {folder} cannot be read: {error.strerror}.") from error
    back = Back([], touched)
    if not touched:
        if sent:
            journal.perform(lambda db: shards.take_back(db, tenant, name)).result()
    elif found := told or shards.read_left(folder / "journal.db", sent=sent):
        _move_responses(folder, directory)
        back = Back(journal.perform(lambda db: shards.merge(db, found, name)).result(), touched)
        with suppress(OSError), (directory / "run.log").open("ab") as log:
            log.write((folder / "run.log").read_bytes())
    if journal.trouble is None:  # else what was taken is gone with this process, and the folder has it still
        shutil.rmtree(folder, ignore_errors=True)
    return back


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
    home = home_of(settings, directory, info.id)
    for session in _folders(home):
        with suppress(OSError):
            orders.give(session, Orders(cut="The run is resumed elsewhere.", exit_status=4))
        if _overtaken(session, sessions):
            shutil.rmtree(session, ignore_errors=True)
            _clear_above(session)
            continue
        for folder in _folders(session):
            tenant = folder.name if info.tenants else ""
            try:
                await bring_back(journal, folder, tenant, directory, sent=info.command != "plan")
            except DirectoryInUse:
                raise RunDirectoryError(
                    f"A dask worker is still at work in {folder}: let it end, or end it, and resume again."
                ) from None
            except RunDirectoryError:
                if folder.is_dir():
                    raise
                # Whoever resumes a copy of the run was faster: what is not here was perhaps stopped.
            except StorageError as error:
                raise StorageError(
                    f"{error} Make it readable and resume again; or take {folder} away: its keys then count as perhaps "
                    "stopped, and are stopped once more, which does no harm."
                ) from error
        clear(session)


def _folders(path: Path) -> list[Path]:
    try:
        return sorted(folder for folder in path.iterdir() if folder.is_dir())
    except FileNotFoundError:
        return []


def clear(session: Path) -> None:
    """Takes away what a session's shards have left, if all of them are back."""
    if session.is_dir() and not _folders(session):
        shutil.rmtree(session, ignore_errors=True)
        _clear_above(session)


def _clear_above(session: Path) -> None:
    for path in (session.parent, session.parent.parent):
        if path.name == "shards" or path.name.startswith("mass-stop-"):
            with suppress(OSError):
                os.rmdir(path)  # noqa: PTH106 - only if it is empty
