"""Whether a journal is what was written, and what can still be told from one that is not.

A disk may lose or change what it was given, and SQLite notices only some of that. What is checked, by what:

- a journal that was closed in good order: every byte, by the digest behind it;
- one that a killed process left: its structure by SQLite, the rows and keys of each source by the digest that was kept
  while they were read, each settled row by its seal, and the log by the count of its frames in the index beside it.

What does not hold is never told as an outcome.
"""

import fcntl
import os
import sqlite3
import stat
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from orchestrator.errors import RunDirectoryError, StorageError
from orchestrator.journal import database
from orchestrator.journal.database import UNREADABLE, statements
from orchestrator.journal.recovery import checksum
from orchestrator.journal.recovery.evidence import problem_of
from orchestrator.journal.recovery.salvage import salvaged

_NEVER = (
    "The disk took no journal of this run ({} is empty): it went on in memory, and its end was told on standard error. "
    "Start the same input anew with another --out: what is stopped already stays stopped."
)
_SHORTENED = (
    "The journal {} ends before its run did: the disk took no more, or has lost the end of it. What it holds was true "
    "once. What it holds as not sent may have been sent since: mass-stop resume asks the tenant."
)
_DAMAGED = (
    "It is not gone on with. mass-stop report {0} tells what can be told. To stop the rest, start the same input anew "
    "with another --out: what is stopped already stays stopped."
)
_NO_ROOM = "The disk still takes nothing, and so it is not gone on with: make room, then mass-stop resume {0}"


def open_whole(path: Path) -> tuple[sqlite3.Connection, list[str]]:
    """The journal at ``path``, to go on with, and a sentence where it ends before its run did.

    That alone is no reason not to go on: what is held was committed once, and what is held as not sent is taken for
    perhaps sent from then on.

    Raises:
        RunDirectoryError: there is none, or it was written by another version.
        StorageError: it is damaged, or its disk takes nothing.
    """
    connection, sentences, refusal = _opened(path)
    if refusal is None:
        return connection, sentences
    connection.close()
    raise StorageError(f"{' '.join(sentences)} {refusal.format(path.parent)}")


def open_valid(path: Path) -> tuple[sqlite3.Connection, list[str]]:
    """What is valid in the journal at ``path``, and sentences on what is not: none where all of it holds.

    Raises:
        RunDirectoryError: there is none, or it was written by another version.
        StorageError: nothing can be told from it.
    """
    connection, sentences, _ = _opened(path)
    return connection, sentences


def _opened(path: Path) -> tuple[sqlite3.Connection, list[str], str | None]:
    """The journal or what is valid of it, sentences on what is not, and what to do where it cannot be gone on with.

    That is a text with places for the journal's folder.
    """
    _look_at(path.parent)
    with _held(path.parent) as held:
        if not held:
            return database.reopen(path), [], None  # its session is at work, and would notice
        database.finish_replacing(path)
        left = database.take_up(path)
        intact = None if _log(path).exists() else checksum.holds(path)
        if intact:
            return database.reopen(path), [], None
        indexed = _indexed_frames(path)
        try:
            connection = database.reopen(path)
        except (StorageError, RunDirectoryError) as error:
            if left and isinstance(error, database.NotBegun):
                raise StorageError(_NEVER.format(path)) from error
            if intact is None and not isinstance(error.__cause__, UNREADABLE):
                raise
            return *salvaged(path, str(error), shortened=left), _DAMAGED
        shortened = left or _indexed_frames(path) < indexed  # by now, the valid ones
        if intact is None and _not_begun(connection):
            connection.close()
            raise StorageError((_NEVER if left else database.NOT_BEGUN).format(path))
        problem = problem_of(connection, path)
        written = True
        if problem is None and shortened:
            connection, written = _doubted(connection, path)
            if left and written:
                database.unmark(path)
        if problem is None and intact is None:
            sentences = [_SHORTENED.format(path)] if shortened else []
            return connection, sentences, None if written else _NO_ROOM
        connection.close()
        return *salvaged(path, problem or "it is not what was written", shortened=shortened), _DAMAGED


def _doubted(connection: sqlite3.Connection, path: Path) -> tuple[sqlite3.Connection, bool]:
    """The journal with all that it holds as not sent taken for perhaps sent, and whether the disk took that.

    One that is still full takes nothing: then it is so in a copy in memory, and the journal is marked.
    """
    try:
        connection.execute(statements()["doubt_unsent"])
    except sqlite3.Error as error:
        database.mark_left(path)
        with closing(connection):
            try:
                memory = database.copy_to_memory(connection)
            except sqlite3.Error:
                raise StorageError(f"The journal {path} can be neither written nor read: {error}.") from error
        memory.execute(statements()["doubt_unsent"])
        return memory, False
    return connection, True


def _look_at(directory: Path) -> None:
    """Raises RunDirectoryError where ``directory`` is none, such as the report in it, or cannot be had."""
    try:
        if not stat.S_ISDIR(directory.stat().st_mode):
            raise RunDirectoryError(
                f"{directory} is a file, and no run directory. Give the directory that holds its journal.db."
            )
    except OSError as error:
        raise RunDirectoryError(f"{directory} holds no run that can be read: {error.strerror}.") from error


@contextmanager
def _held(directory: Path) -> Iterator[bool]:
    """Whether no session works on the run in ``directory``; none can start in this block."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield True
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def _not_begun(connection: sqlite3.Connection) -> bool:
    """Whether the first commit of the run did not come through."""
    tables = ("run", "source", "action")
    try:
        return not any(
            connection.execute(f"SELECT EXISTS (SELECT 1 FROM {table})").fetchone()[0] for table in tables
        )
    except UNREADABLE:
        return False


def _indexed_frames(path: Path) -> int:
    """How many frames the log had by the index of the process that wrote it last (-shm); 0 where that cannot be told.

    The index is never ahead of what a sync of the log has returned for (SQLite, "WAL-mode File Format", 2.1).
    """
    try:
        with path.with_name(f"{path.name}-shm").open("rb") as file:
            header = file.read(48)
    except OSError:
        return 0
    if len(header) < 48:
        return 0
    first = second = 0
    words = struct.unpack("=12I", header)
    for even, odd in zip(words[0:10:2], words[1:10:2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return words[4] if (first, second) == words[10:12] else 0
