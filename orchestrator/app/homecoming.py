"""The folders in which shards journal: where they are, and how what was done there comes back into the run."""

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import anyio
import anyio.to_thread

from orchestrator.app.messages import LOOK, Orders, give_orders
from orchestrator.errors import RunDirectoryError, StorageError
from orchestrator.model import Outcome
from orchestrator.settings import Settings
from orchestrator.store import database, rundir, shards
from orchestrator.store.atomic import replacing
from orchestrator.store.entries import RunInfo
from orchestrator.store.journal import Journal

PATIENCE = 30.0
"""Seconds to wait for a shard that nobody answers for any more to let go of its folder."""


def home_of(settings: Settings, directory: Path, run_id: str) -> Path:
    """Where the shards of a run are: a folder for each session, and in it one for each tenant."""
    shared = Path(settings.shared_dir) if settings.shared_dir else directory / "shards"
    return (shared / f"mass-stop-{run_id}").absolute()


async def bring_back(
    journal: Journal, folder: Path, tenant: str, directory: Path, *, patience: float, sent: bool
) -> list[tuple[int, Outcome]] | None:
    """Takes what a shard did into ``journal`` and ``directory``, and its folder away.

    Gives the number and outcome of each key that is over; None where the shard is still at work after ``patience``
    seconds.
    """
    give_up = anyio.current_time() + patience
    held = None
    while held is None:
        try:
            held = rundir.reopen(folder, shared=True)
        except RunDirectoryError:
            if not await anyio.Path(folder).is_dir():
                return []
            if anyio.current_time() > give_up:
                return None
            await anyio.sleep(LOOK)
    try:
        return await anyio.to_thread.run_sync(_merged, journal, folder, tenant, directory, sent)
    finally:
        held.close()


def _merged(
    journal: Journal, folder: Path, tenant: str, directory: Path, sent: bool
) -> list[tuple[int, Outcome]]:
    settled: list[tuple[int, Outcome]] = []
    name = f"{folder.parent.name}/{folder.name}"
    if not _has_rows(folder):
        # The journal comes before the first call: without one, nothing was sent.
        if sent:
            journal.perform(lambda db: shards.take_back(db, tenant, name)).result()
    else:
        for kind in (".responses", "responses"):
            for path in (folder / kind).rglob("*.zip" if kind == ".responses" else "*.csv"):
                _move(path, directory / path.relative_to(folder))
        with closing(database.reopen(folder / "journal.db", shared=True)) as shard:
            settled = journal.perform(lambda db: shards.merge(db, shard, name)).result()
        with suppress(OSError), (directory / "run.log").open("ab") as log:
            log.write((folder / "run.log").read_bytes())
    shutil.rmtree(folder, ignore_errors=True)
    return settled


def _has_rows(folder: Path) -> bool:
    try:
        with closing(database.reopen(folder / "journal.db", shared=True)) as connection:
            return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM action)").fetchone()[0])
    except (RunDirectoryError, StorageError, sqlite3.Error):
        return False


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        source.replace(target)
    except OSError:  # on another disk
        with source.open("rb") as file, replacing(target) as copy:
            shutil.copyfileobj(file, copy)


async def collect(journal: Journal, info: RunInfo, settings: Settings, directory: Path) -> None:
    """Brings back what the shards of earlier sessions did. Those that are still at work are told to end.

    Raises RunDirectoryError where one does not.
    """
    home = home_of(settings, directory, info.id)
    if not home.is_dir():
        return
    for session in sorted(path for path in home.iterdir() if path.is_dir()):
        with suppress(OSError):
            give_orders(session, Orders(cut="The run is resumed elsewhere.", exit_status=4))
        for folder in sorted(path for path in session.iterdir() if path.is_dir()):
            tenant = folder.name if info.tenants else ""
            back = await bring_back(
                journal, folder, tenant, directory, patience=PATIENCE, sent=info.command != "plan"
            )
            if back is None:
                raise RunDirectoryError(
                    f"A dask worker is still at work in {folder}: let it end, or end it, and resume again."
                )
        clear(session)


def clear(session: Path) -> None:
    """Takes away what a session's shards have left, if all of them are back."""
    if session.is_dir() and not any(path.is_dir() for path in session.iterdir()):
        shutil.rmtree(session, ignore_errors=True)
        for path in (session.parent, session.parent.parent):
            if path.name == "shards" or path.name.startswith("mass-stop-"):
                with suppress(OSError):
                    os.rmdir(path)  # noqa: PTH106 - only if it is empty
