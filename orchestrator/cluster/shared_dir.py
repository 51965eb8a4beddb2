"""The folders in which shards keep their journals: one for each session, and in it one for each tenant."""

import secrets
import shutil
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import anyio

from orchestrator import rundir
from orchestrator.cluster import control
from orchestrator.cluster.control import INTERVAL, ControlMessage
from orchestrator.errors import RunDirectoryError, UsageError
from orchestrator.journal import shards
from orchestrator.rundir import DirectoryInUse, RunDirectory
from orchestrator.settings import Settings
from orchestrator.settings.owners import is_foreign, user_name


def sessions_folder(settings: Settings, directory: Path, run_id: str) -> Path:
    """Return the folder of all sessions of a run: in the shared folder, or in the run's own ``directory``."""
    if settings.shared_dir:
        return (Path(settings.shared_dir) / f"mass-stop-{run_id}").absolute()
    return (directory / "shards").absolute()


def new_session_name(session: int) -> str:
    """Return a name for a session's folder that no other has, not even a second resume of a copy of the run."""
    return f"{session}-{secrets.token_hex(2)}"


def is_superseded(session: Path, sessions: int) -> bool:
    """Whether a later session than that of the folder took place. It knows more about the keys by now."""
    return int(session.name.partition("-")[0]) < sessions


def create_session(session: Path, folders: Sequence[Path]) -> None:
    """Create the folder of a session, and in it those of its shards; all of them or none.

    Raises UsageError if that fails, if other users could change the folders, or if the file system has no locks.
    """
    try:
        session.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        refuse_foreign(session.parent)
        session.mkdir(mode=0o700)
    except UsageError:
        with suppress(OSError):
            session.parent.rmdir()
        raise
    except FileExistsError:
        raise UsageError(f"--shared-dir: {session} exists. Is this run resumed elsewhere too?") from None
    except OSError as error:
        raise UsageError(f"--shared-dir: {session} cannot be created: {error.strerror}.") from None
    try:
        control.write(session, ControlMessage())
        for folder in folders:
            shards.create_folder(folder)
        rundir.reopen(folders[0], shared=True).close()
    except (OSError, RunDirectoryError) as error:
        remove(session)
        if isinstance(error, RunDirectoryError):
            raise
        raise UsageError(f"--shared-dir: {session} cannot be filled: {error.strerror}.") from None


def refuse_foreign(sessions: Path) -> None:
    """Raise UsageError if another user could have made the folder ``sessions``, or could replace it.

    The journals in it decide what the report says. Raises OSError.
    """
    shared = sessions.parent
    mode = shared.stat().st_mode
    if not mode & stat.S_IWOTH:
        return
    found = sessions.lstat()
    if is_foreign(found) or not stat.S_ISDIR(found.st_mode):
        raise UsageError(
            f"--shared-dir: {sessions} belongs to {user_name(found.st_uid)}, who could put false results there. "
            "Remove it, or give another folder."
        )
    keeps_modes = not found.st_mode & 0o077
    if keeps_modes and not mode & stat.S_ISVTX:
        raise UsageError(
            f"--shared-dir: every user of this machine can replace what is in {shared}. "
            f"Give a folder that only you can change, or run: chmod +t {shared}"
        )


async def lock(folder: Path, patience: float, no_longer: Callable[[], bool] = lambda: False) -> RunDirectory:
    """Lock the folder of a shard against another process, in ``patience`` seconds or until ``no_longer``.

    Raises DirectoryInUse if another process holds it, and RunDirectoryError if it is gone or has no locks.
    """
    give_up = anyio.current_time() + patience
    while True:
        try:
            return rundir.reopen(folder, shared=True)
        except DirectoryInUse:
            if anyio.current_time() > give_up or no_longer():
                raise
        await anyio.sleep(INTERVAL)


def subfolders(path: Path) -> list[Path]:
    """Return the folders in ``path``, sorted; none if it does not exist. Raises OSError if it cannot be read."""
    try:
        return sorted(folder for folder in path.iterdir() if folder.is_dir())
    except FileNotFoundError:
        return []


def remove_if_merged(session: Path) -> None:
    """Remove the folder of a session if no shard's folder is left in it."""
    with suppress(OSError):
        if session.is_dir() and not subfolders(session):
            remove(session)


def remove(session: Path) -> None:
    """Remove the folder of a session, and the folder of all sessions if it was the last."""
    shutil.rmtree(session, ignore_errors=True)
    with suppress(OSError):
        session.parent.rmdir()
