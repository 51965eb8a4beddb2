"""SQLite as the journal uses it: one file, one schema version, statements by name from .sql files."""

import os
import re
import sqlite3
import stat
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from orchestrator.atomic import sync_directory
from orchestrator.errors import RunDirectoryError, StorageError

SCHEMA_VERSION = 4
_SQL = Path(__file__).parent / "sql"
NOT_BEGUN = (
    "The journal {} is empty: the run was cut before it began, and nothing was sent. Start it anew with another --out. "
    "(Was the file copied without its journal.db-wal? Then that is where the run is.)"
)
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
"""What SQLite's refusals come as: a message that quotes a damaged schema may be no text."""


class NotBegun(StorageError):
    """The first commit of a run did not come through."""


_encode = msgspec.json.Encoder().encode


@cache
def statements(file: str = "queries.sql") -> dict[str, str]:
    """The statements of ``file`` in ``sql/`` by the name each is given there."""
    parts = re.split(r"^-- name: (\w+)\n", (_SQL / file).read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@cache
def by_position(name: str) -> tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
    """The statement ``name`` for many rows: with its values numbered, and what puts values by name in that order.

    SQLite would look up each name for each row anew, which for a wide row costs a third of its change.
    """
    text = re.sub(r"--.*", "", statements()[name])
    order = list(dict.fromkeys(re.findall(r":([a-z_]\w*)", text)))
    numbered = re.sub(r":([a-z_]\w*)", lambda found: f"?{order.index(found[1]) + 1}", text)
    return numbered, itemgetter(*order) if len(order) > 1 else lambda values: tuple(values.values())


def create(path: Path, *, shared: bool = False) -> sqlite3.Connection:
    """A new journal at ``path`` (mode 0600), in a folder that may be ``shared`` between machines.

    Raises sqlite3.Error or OSError where the disk does not take it; nothing is left then that looks like a journal of a
    run that did not begin.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    try:
        return _with_schema(_connect(str(path), alone=shared))
    except BaseException:
        for suffix in ("", "-wal", "-shm", "-journal"):
            with suppress(OSError):
                path.with_name(f"{path.name}{suffix}").unlink(missing_ok=True)
        mark_left(path)
        raise


def mark_left(path: Path) -> None:
    """Marks the journal at ``path`` as left behind by a run that goes on in memory: read-only. Needs no room."""
    with suppress(OSError):
        path.chmod(0o400)


def take_up(path: Path) -> bool:
    """Whether the journal at ``path`` was left behind by its run; it can be written again then. Raises OSError.

    The mark stays, now as the sticky bit, until it is taken away by :func:`unmark`: whoever learns of it may die before
    he has written down what follows from it.
    """
    if path.is_symlink() or not path.is_file():
        return False
    mode = path.stat().st_mode
    left = not mode & 0o200 or bool(mode & stat.S_ISVTX)
    if left:
        path.chmod(0o600 | stat.S_ISVTX)
    return left


def unmark(path: Path) -> None:
    """Takes the mark of a journal away that was left behind, once it says itself what may have been lost."""
    with suppress(OSError):
        path.chmod(0o600)


def in_memory() -> sqlite3.Connection:
    """A journal with nothing under it, for a machine whose disk takes none."""
    return _with_schema(_connect(":memory:"))


def reopen(path: Path, *, shared: bool = False) -> sqlite3.Connection:
    """The journal at ``path``, in a folder that may be ``shared`` between machines.

    Raises:
        RunDirectoryError: there is none, or it was written by a later version.
        NotBegun: it is empty.
        StorageError: it cannot be read as a journal.
    """
    if path.is_symlink() or not path.is_file():
        raise RunDirectoryError(f"{path.parent} holds no run: it has no journal.db.")
    log = path.with_name(f"{path.name}-wal")
    if not path.stat().st_size and log.is_file() and log.stat().st_size:
        # SQLite would delete the log, and with it all that is left.
        raise StorageError(
            f"The journal {path} is empty, yet its log {log.name} is not: damaged, and left as it is."
        )
    try:
        connection = _connect(str(path), alone=shared)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except UNREADABLE as error:
        raise StorageError(f"The journal {path} cannot be read: {error}.") from error
    if version == 0:
        connection.close()
        raise NotBegun(NOT_BEGUN.format(path))
    if version != SCHEMA_VERSION:
        connection.close()
        raise RunDirectoryError(
            f"{path} is a journal of form {version}; this version of mass-stop reads form {SCHEMA_VERSION}."
        )
    return connection


def copy_to_memory(connection: sqlite3.Connection) -> sqlite3.Connection:
    """All that ``connection`` holds, in memory. Raises sqlite3.Error where it cannot even be read."""
    memory = _connect(":memory:")
    try:
        connection.backup(memory)
    except sqlite3.Error:
        memory.close()
        raise
    return memory


def copy_to_file(connection: sqlite3.Connection, path: Path) -> None:
    """Puts all that ``connection`` holds into a new journal in the place of ``path``; raises where the disk refuses.

    Cut at any moment, it leaves the old journal or the new one: see :func:`_put_in_place`.
    """
    fresh = path.with_suffix(".fresh")
    fresh.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    try:
        with closing(sqlite3.connect(fresh)) as target:
            connection.backup(target)
            target.execute("PRAGMA journal_mode = WAL")  # as every journal: opening it must not change it
        fresh.replace(_whole(path))
    finally:
        fresh.unlink(missing_ok=True)
    _put_in_place(path)


def _whole(path: Path) -> Path:
    """The name of a journal that is complete, on its way to ``path``."""
    return path.with_suffix(".whole")


def _put_in_place(path: Path) -> None:
    """The last steps of :func:`copy_to_file`, which may be taken again.

    SQLite would take the old journal's log for the new one's, and the old one without its log is not whole: so the log
    goes first, but not before the new journal has a name by which it is found.
    """
    sync_directory(path.parent)
    for name in (f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
    sync_directory(path.parent)
    _whole(path).replace(path)
    sync_directory(path.parent)


def finish_replacing(path: Path) -> None:
    """Does what a :func:`copy_to_file` that was cut had left to do. Only for who holds the run's directory alone."""
    if _whole(path).is_file():
        _put_in_place(path)


def seal(*values: object) -> int:
    """A checksum over what is evidence of one settled row, which tells a flipped bit in any of it (SQL: ``seal``)."""
    return crc32(_encode(values))


def _connect(path: str, *, alone: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)
    connection.create_function("seal", -1, seal, deterministic=True)
    try:
        if alone:  # so that SQLite needs no memory that processes share, which is none between machines
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA busy_timeout = 2000")
    except BaseException:
        connection.close()
        raise
    return connection


def _with_schema(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        connection.executescript(
            f"BEGIN;\n{(_SQL / 'schema.sql').read_text('utf-8')}\nPRAGMA user_version = {SCHEMA_VERSION};\nCOMMIT;"
        )
    except BaseException:
        connection.close()
        raise
    return connection
