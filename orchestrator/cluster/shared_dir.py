"""The folders in which shards journal: one a session, and in it one a tenant."""

import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.cluster import control as orders
from orchestrator.cluster.control import Orders
from orchestrator.errors import RunDirectoryError, UsageError
from orchestrator.journal import shards
from orchestrator.runs import rundir
from orchestrator.settings import Settings


def home_of(settings: Settings, directory: Path, run_id: str) -> Path:
    """Where the sessions' folders of the run ``run_id`` are: in the shared folder, or in its own ``directory``."""
    if settings.shared_dir:
        return (Path(settings.shared_dir) / f"mass-stop-{run_id}").absolute()
    return (directory / "shards").absolute()


def new_name(session: int) -> str:
    """The name of a session's folder, which no other has: not even a second resume of a copy of the run."""
    return f"{session}-{secrets.token_hex(2)}"


def overtaken(session: Path, sessions: int) -> bool:
    """Whether a session came after that of the folder: it went on without what was not there, and knows more by now."""
    return int(session.name.partition("-")[0]) < sessions


def lay_out(session: Path, folders: Sequence[Path]) -> None:
    """Makes the folder of a session, and in it those of its shards; all of them or none.

    Raises UsageError, also where they have no locks: that is known before anything is handed out.
    """
    try:
        session.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise UsageError(
            f"--shared-dir: {session} is there already. Is this run resumed elsewhere too?"
        ) from None
    except OSError as error:
        raise UsageError(f"--shared-dir: {session} cannot be made: {error.strerror}.") from None
    try:
        orders.give(session, Orders())
        for folder in folders:
            shards.lay_out(folder)
        rundir.reopen(folders[0], shared=True).close()
    except (OSError, RunDirectoryError) as error:
        remove(session)
        if isinstance(error, RunDirectoryError):
            raise
        raise UsageError(f"--shared-dir: {session} cannot be filled: {error.strerror}.") from None


def folders_in(path: Path) -> list[Path]:
    """Raises OSError where it cannot be told; none where ``path`` is not there."""
    try:
        return sorted(folder for folder in path.iterdir() if folder.is_dir())
    except FileNotFoundError:
        return []


def clear(session: Path) -> None:
    """Takes away what a session's shards have left, if all of them are back."""
    with suppress(OSError):
        if session.is_dir() and not folders_in(session):
            remove(session)


def remove(session: Path) -> None:
    """Takes the folder of a session away, and the home of the run's if it was the last."""
    shutil.rmtree(session, ignore_errors=True)
    with suppress(OSError):
        session.parent.rmdir()
