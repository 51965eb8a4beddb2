"""The run directory: only its owner can read it, and one process at a time works in it."""

import fcntl
import os
import secrets
import stat
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.atomic import clear_leftovers, set_mode, sync_directory
from orchestrator.errors import RunDirectoryError


def new_run_id() -> str:
    """A new id such as ``20261123-225013-7f3a9c``. Ids are unique, and sort by the start of their runs."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


HANDOVER = "needs-person.csv"
"""The file in a run directory that lists every key that needs a person."""

JOURNAL, LOG, PAGE = "journal.db", "run.log", "report.html"

_UNSENT = (JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm", LOG, "keys.csv")
"""The files that a run makes before it sends anything: ``keys.csv`` is a drill's."""

PATIENCE = 0.5
"""Seconds to wait for a lock: the command ``report`` holds it for a moment."""


class DirectoryInUse(RunDirectoryError):
    """Another process works in the directory now."""


class NoDirectory(RunDirectoryError):
    """The directory never existed, or was removed."""


class RunDirectory:
    """A run's directory, locked against a second process until :meth:`close`.

    A directory that is ``shared`` between machines is locked by a file beside it, open for writing. NFS (version 4)
    shows this lock to other machines, and not a lock on a directory. The file is beside it, since NFS keeps the name
    of an open file, and a directory with such a file cannot be removed.
    """

    def __init__(self, path: Path, *, made: bool, shared: bool = False) -> None:
        self.path = path
        self.journal = path / JOURNAL
        self.report = path / "report.json"
        self.page = path / PAGE
        self.handover = path / HANDOVER
        self.log = path / LOG
        self._made = made
        try:
            if shared:
                lock = path.with_name(f".{path.name}.lock")
                self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            else:
                self._lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise RunDirectoryError(f"The run directory {path} cannot be used: {error.strerror}.") from None
        try:
            _lock(self._lock, patience=0.0 if shared else PATIENCE)
        except OSError as error:
            os.close(self._lock)
            if isinstance(error, BlockingIOError):
                raise DirectoryInUse(
                    f"Another mass-stop is at work in {path}. Let it end, or give this run a directory of its own "
                    "(--out)."
                ) from None
            wanted = (
                "Give --shared-dir a folder whose file system has locks that hold between machines: on NFS that takes "
                "version 4, mounted without nolock and local_lock."
                if shared
                else "Give --out a folder on a file system that has locks, such as a local disk."
            )
            raise RunDirectoryError(
                f"{path} cannot be locked ({error.strerror}), and without a lock nothing keeps two processes from "
                f"working on one run. {wanted}"
            ) from None
        self._new = [path / name for name in _UNSENT if not os.path.lexists(path / name)]

    @property
    def warning(self) -> str | None:
        """A sentence if other users can read the directory, because its mode could not be set to 0700."""
        mode = stat.S_IMODE(self.path.stat().st_mode)
        if not mode & 0o077:
            return None
        who = "every user of this machine" if mode & 0o007 else "its group"
        return (
            f"{self.path} is open to {who} (mode {mode:04o}), and this user or its file system cannot change that. It "
            "will hold bulk keys and records: give --out a directory of your own if that matters."
        )

    def now(self) -> float:
        """The time by the file system of a ``shared`` directory, in seconds since the epoch. Raises OSError."""
        os.ftruncate(self._lock, 0)  # changes nothing but the time, which a server sets
        return os.fstat(self._lock).st_mtime

    def close(self) -> None:
        os.close(self._lock)

    def discard(self) -> None:
        """Remove the files of a run that sent nothing, so that its directory can be used again.

        Files that were there before the run stay.
        """
        for path in self._new:
            path.unlink(missing_ok=True)
        if self._made:
            with suppress(OSError):  # it holds other files, which stay
                self.path.rmdir()


def _lock(descriptor: int, patience: float) -> None:
    """Lock a run directory within ``patience`` seconds. Raises OSError; BlockingIOError if another process holds it."""
    until = time.monotonic() + patience
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.01)


def create(path: Path) -> RunDirectory:
    """Make the directory of a new run, with mode 0700 where this user and the file system permit it.

    Raises RunDirectoryError if it contains a run or cannot be made.
    """
    try:
        new = [directory for directory in (path, *path.parents) if not directory.exists()]
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise RunDirectoryError(
            f"The run directory {path} cannot be made: there is a file in its place or above it. Give another --out."
        ) from None
    except OSError as error:
        raise RunDirectoryError(f"The run directory {path} cannot be made: {error.strerror}.") from None
    with suppress(OSError):  # if the disk fails here, so does the journal, which reports it
        for made in new:
            sync_directory(made.parent)
    directory = RunDirectory(path, made=bool(new))
    if directory.journal.exists() or directory.report.exists():
        directory.close()
        raise RunDirectoryError(
            f"{path} already contains a run. Continue it with: mass-stop resume {path} - or give another --out."
        )
    set_mode(path, 0o700)
    return directory


def reopen(path: Path, *, shared: bool = False) -> RunDirectory:
    """Lock the directory of an earlier run, and remove its temporary files. Raises RunDirectoryError.

    Other machines may lock a ``shared`` directory too. Each of them must pass ``shared``.
    """
    try:
        there = path.is_dir()
    except OSError as error:  # a network file system that fails
        raise RunDirectoryError(f"The run directory {path} cannot be used: {error.strerror}.") from None
    if not there:
        raise NoDirectory(f"There is no run directory {path}.")
    directory = RunDirectory(path, made=False, shared=shared)
    for place in (path, path / "remediation", path / "responses"):
        clear_leftovers(place)
    return directory
