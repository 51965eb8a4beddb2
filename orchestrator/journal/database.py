"""SQLite as the journal uses it: one file of one form, statements by name from .sql files."""

import errno
import os
import re
import sqlite3
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec

from orchestrator.atomic import sync_directory
from orchestrator.errors import RunDirectoryError, StorageError
from orchestrator.journal import checksum, mark

FORM = 4
OLDEST_FORM = 3
"""Journals from this form on can be read. Earlier forms were never released."""

CHECKPOINT = 1_000
"""Pages in the log from which a commit moves them into the file."""

_SQL = Path(__file__).parent / "sql"
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
"""Errors of SQLite: a message that quotes a damaged schema may not be valid text."""


class NotBegun(StorageError):
    """The journal holds no run, and it is known that nothing was sent."""


_encode = msgspec.json.Encoder().encode


@cache
def sql(name: str) -> str:
    """The statement that has this name in one of the files in ``sql/``."""
    # A run starts with those in queries.sql. The other files are read when one of theirs is needed.
    for file in ("queries.sql", "recovery.sql", "page.sql"):
        if name in (statements := _statements(file)):
            return statements[name]
    raise KeyError(name)


@cache
def _statements(file: str) -> dict[str, str]:
    parts = re.split(r"^-- name: (\w+)\n", (_SQL / file).read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@cache
def by_position(name: str) -> tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
    """The statement ``name`` for many rows: with its values numbered, and what puts values by name in that order.

    SQLite would look up each name again for each row, which costs a third of the change of a wide row.
    """
    text = re.sub(r"--.*", "", sql(name))
    order = list(dict.fromkeys(re.findall(r":([a-z_]\w*)", text)))
    numbered = re.sub(r":([a-z_]\w*)", lambda found: f"?{order.index(found[1]) + 1}", text)
    return numbered, itemgetter(*order) if len(order) > 1 else lambda values: tuple(values.values())


def create(path: Path, *, shared: bool = False) -> sqlite3.Connection:
    """A new journal at ``path`` (mode 0600), in a folder that may be ``shared`` between machines.

    It appears complete, with the digest that says that nothing is missing. Raises sqlite3.Error or OSError if the disk
    refuses; then nothing is left that looks like the journal of a run that never began.
    """
    if path.exists() or path.is_symlink():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    with closing(in_memory()) as made:
        image = bytearray(made.serialize())
    image[18:20] = b"\2\2"  # with a write-ahead log, as SQLite notes it in the header
    fresh = path.with_suffix(".fresh")
    try:
        with os.fdopen(_created(fresh), "wb") as file:
            file.write(checksum.with_digest(bytes(image)))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)  # SQLite syncs the directory, and with it this name, when it creates the log
        return connect(path, shared=shared)
    except BaseException:
        for left in (fresh, path, mark.log_of(path), path.with_name(f"{path.name}-shm")):
            with suppress(OSError):
                left.unlink(missing_ok=True)
        mark_left(path)
        raise


def _created(fresh: Path) -> int:
    """A descriptor of a new file that only its owner can read. Raises OSError."""
    fresh.unlink(missing_ok=True)
    return os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def mark_left(path: Path) -> None:
    """Marks the journal at ``path`` as left behind by a run that continues in memory. Needs no space on the disk.

    The mark is the sticky bit, which has no other meaning for a file.
    """
    with suppress(OSError):
        path.chmod(0o600 | stat.S_ISVTX)


def was_left(path: Path) -> bool:
    """Whether the journal at ``path`` was left behind by its run. Raises OSError."""
    return bool(path.stat().st_mode & stat.S_ISVTX)


def unmark(path: Path) -> None:
    """Removes the mark of :func:`mark_left`, once the journal itself records what may have been lost."""
    with suppress(OSError):
        path.chmod(0o600)


def in_memory() -> sqlite3.Connection:
    """A new journal in memory, for a machine whose disk fails."""
    return _with_schema(_connect(":memory:"))


def connect(path: Path, *, shared: bool = False) -> sqlite3.Connection:
    """The journal at ``path`` for reading and writing, in a folder that may be ``shared`` between machines.

    Raises sqlite3.Error.
    """
    return _connect(str(path), alone=shared)


def reopen(path: Path, *, shared: bool = False) -> sqlite3.Connection:
    """The journal at ``path``, checked to be one, for reading and writing.

    Raises:
        RunDirectoryError: there is none, or a later version wrote it.
        StorageError: it cannot be read as a journal.
    """
    return _checked(path, lambda: connect(path, shared=shared))


def read_only(path: Path, *, at_work: bool = False) -> sqlite3.Connection:
    """The journal at ``path``, checked to be one, for reading. Nothing is written beside it.

    A journal whose session is ``at_work`` is read with its log; any other must hold everything without one. Raises as
    :func:`reopen`.
    """
    how = "mode=ro" if at_work else "mode=ro&immutable=1"
    uri = f"{path.absolute().as_uri()}?{how}"

    def opened() -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

    return _checked(path, opened)


def form_of(connection: sqlite3.Connection) -> int:
    """The form of the journal behind ``connection``; 0 for a database that is not a journal."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _checked(path: Path, opened: Callable[[], sqlite3.Connection]) -> sqlite3.Connection:
    """The connection that ``opened`` makes to the journal at ``path``. Raises as :func:`reopen`."""
    require_journal(path)
    try:
        connection = opened()
        try:
            form = form_of(connection)
        except BaseException:
            connection.close()
            raise
    except UNREADABLE as error:
        raise StorageError(f"The journal {path} cannot be read: {error}.") from error
    if OLDEST_FORM <= form <= FORM:
        return connection
    connection.close()
    if form == 0:
        raise StorageError(f"The journal {path} is empty or is no journal of mass-stop.")
    raise RunDirectoryError(
        f"{path} is a journal of form {form}. This version of mass-stop reads the forms {OLDEST_FORM} to {FORM}: "
        "use the version that wrote it."
    )


def require_journal(path: Path) -> None:
    """Raises RunDirectoryError if there is no journal at ``path``."""
    if path.is_symlink() or not path.is_file():
        raise RunDirectoryError(f"{path.parent} holds no run: it has no journal.db.")


def copy_to_memory(connection: sqlite3.Connection) -> sqlite3.Connection:
    """A copy in memory of the journal behind ``connection``. Raises sqlite3.Error if it cannot be read."""
    memory = _connect(":memory:")
    try:
        connection.backup(memory)
    except sqlite3.Error:
        memory.close()
        raise
    return memory


def copy_to_file(connection: sqlite3.Connection, path: Path) -> None:
    """Replace the file ``path`` with the journal behind ``connection``. Raises OSError or sqlite3.Error.

    If this is cut, the old journal or the new one remains: see :func:`_put_in_place`.
    """
    fresh = path.with_suffix(".fresh")
    os.close(_created(fresh))
    try:
        with closing(sqlite3.connect(fresh)) as target:
            connection.backup(target)
            target.execute("PRAGMA journal_mode = WAL")  # as every journal: opening it must not change it
        with descriptor_of(fresh) as descriptor:
            checksum.append(descriptor)
        fresh.replace(whole(path))
    finally:
        fresh.unlink(missing_ok=True)
    _put_in_place(path)


@contextmanager
def descriptor_of(path: Path) -> Iterator[int]:
    """A descriptor of the journal at ``path``, which no connection may use meanwhile. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def whole(path: Path) -> Path:
    """The name of a journal that is complete, on its way to ``path``."""
    return path.with_suffix(".whole")


def _put_in_place(path: Path) -> None:
    """The last steps of :func:`copy_to_file`. They can be repeated.

    SQLite would apply the old journal's log to the new journal, and the old journal is incomplete without its log. So
    the log is removed first, after the new journal has a name by which it is found.
    """
    sync_directory(path.parent)
    for name in (f"{path.name}-wal", f"{path.name}-shm"):
        path.with_name(name).unlink(missing_ok=True)
    sync_directory(path.parent)
    whole(path).replace(path)
    sync_directory(path.parent)


def finish_replacing(path: Path) -> None:
    """Complete a :func:`copy_to_file` that was cut. Only for the process that locked the run directory."""
    if whole(path).is_file():
        _put_in_place(path)
    path.with_suffix(".fresh").unlink(missing_ok=True)


def seal(*values: object) -> int:
    """A checksum over the evidence of one completed row. A flipped bit in it changes the checksum (SQL: ``seal``)."""
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
        # No commit changes the file before its session has removed the digest: see JournalFile.begin.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    except BaseException:
        connection.close()
        raise
    return connection


def _with_schema(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        connection.executescript(
            f"BEGIN;\n{(_SQL / 'schema.sql').read_text('utf-8')}\nPRAGMA user_version = {FORM};\nCOMMIT;"
        )
        connection.execute("INSERT INTO mark (text) VALUES (?)", (str(mark.new()),))
    except BaseException:
        connection.close()
        raise
    return connection
