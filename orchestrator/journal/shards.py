"""The rows of a shard: from the run's journal into a journal of their own, and merged back with the results.

The caller creates the shard's folder with a mark in it. The worker removes the mark before its first call, which needs
no room on the disk. While the mark is there, nothing was sent, whatever else is in the folder. Without it, a stop may
have been sent, whatever is missing.
"""

import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec import Struct

from orchestrator.atomic import sync_directory
from orchestrator.errors import RunDirectoryError, StorageError
from orchestrator.journal import database
from orchestrator.journal.database import UNREADABLE, sql
from orchestrator.journal.journal import Journal
from orchestrator.journal.recovery.opening import recover
from orchestrator.model import Outcome

_UNTOUCHED = "untouched"

_RECORDS = ("failure", "pace")
"""Tables of events. A merge adds the shard's rows to them."""


class Rows(Struct, frozen=True):
    """Rows of a table, with the names of their columns."""

    columns: list[str]
    values: list[list[Any]]


Tables = dict[str, Rows]
"""All rows of a shard's journal that are merged, by table."""


def create_folder(folder: Path) -> None:
    """Create the folder of a shard, with the mark in it. Raises OSError."""
    folder.mkdir(mode=0o700)
    (folder / _UNTOUCHED).touch(mode=0o600, exist_ok=False)


def is_untouched(folder: Path) -> bool:
    """Whether no worker has started the shard in ``folder``. Raises StorageError."""
    try:
        # To open a file, a network file system asks its server. Whether a file exists it may answer from a cache.
        os.close(os.open(folder / _UNTOUCHED, os.O_RDONLY | os.O_CLOEXEC))
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"The folder {folder} cannot be read: {error.strerror}.") from error
    return True


def touch(folder: Path) -> None:
    """Remove the mark: from now on a call may be sent. Raises StorageError."""
    try:
        (folder / _UNTOUCHED).unlink(missing_ok=True)
        sync_directory(folder)
    except OSError as error:
        raise StorageError(
            f"The folder {folder} cannot be written to ({error.strerror}); nothing was sent."
        ) from error


def hand_over(journal: Journal, tenant: str, *, sending: bool) -> "Future[Rows]":
    """Return the rows of ``tenant`` that are not completed, for its shard.

    If the shard is ``sending`` stops, this journal records each waiting key as possibly stopped. That ends when the
    rows are merged (:func:`merge`), or when it is known that the shard did not start (:func:`return_untouched`).
    """

    def work(connection: sqlite3.Connection) -> Rows:
        rows = _rows(connection.execute(sql("open_actions"), {"tenant": tenant}))
        if sending:
            connection.execute(sql("hand_over"), {"tenant": tenant})
        return rows

    return journal.perform(work)


def return_untouched(journal: Journal, tenant: str, name: str) -> "Future[object]":
    """Record that the shard ``name`` did not start, unless it was merged already."""
    values = {"tenant": tenant, "shard": name}
    return journal.perform(lambda connection: connection.execute(sql("take_back"), values))


def put(journal: Journal, rows: Rows) -> "Future[None]":
    """Insert ``rows`` into the table ``action``. They replace rows with the same numbers."""
    return journal.perform(lambda connection: _insert(connection, "action", rows, "INSERT OR REPLACE"))


def earlier(path: Path) -> sqlite3.Connection | None:
    """Return a connection for reading the journal at ``path`` of an earlier try; None if it has no key.

    The journal is recovered first. Only for the process that holds the folder. Raises StorageError if it is damaged or
    cannot be read; then it is left as it is.
    """
    try:
        database.finish_replacing(path)
        if not path.exists():
            return None
        recover(path, shared=True)
        connection = database.read_only(path)
    except (OSError, *UNREADABLE) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise StorageError(f"The journal {path} cannot be read: {why}.") from error
    except RunDirectoryError as error:
        raise StorageError(str(error)) from error
    if connection.execute("SELECT EXISTS (SELECT 1 FROM action)").fetchone()[0]:
        return connection
    connection.close()
    return None


def doubt_unsent(journal: Journal) -> "Future[object]":
    """Record each waiting key as possibly stopped: the journal of an earlier try is lost."""
    return journal.perform(lambda connection: connection.execute(sql("doubt_unsent")))


def read(journal: Journal) -> "Future[Tables]":
    """Return all rows of a shard's journal that are merged."""
    return journal.perform(_tables)


def _tables(connection: sqlite3.Connection) -> Tables:
    names = ("action", "session", "tenant", *_RECORDS)
    return {name: _rows(connection.execute(f"SELECT * FROM {name}")) for name in names}


def read_left(path: Path) -> Tables | None:
    """Return all rows that an ended try left in the journal at ``path``; None if none. Raises as :func:`earlier`."""
    connection = earlier(path)
    if connection is None:
        return None
    with closing(connection):
        return _tables(connection)


def merge(journal: Journal, shard: Tables, name: str) -> "Future[list[tuple[int, Outcome]]]":
    """Merge the rows of the shard ``name``, once. Return number and outcome of each completed key.

    A tenant has one shard at a time, and its rows travel whole, so that they replace the rows here.

    Raises StorageError if they do not fit.
    """

    def work(connection: sqlite3.Connection) -> list[tuple[int, Outcome]]:
        if not connection.execute(sql("merge_once"), {"shard": name}).rowcount:
            return []
        try:
            for table in _RECORDS:
                _insert(connection, table, shard[table], "INSERT")
            _insert(connection, "action", shard["action"], "INSERT OR REPLACE")
        except sqlite3.IntegrityError as error:
            raise StorageError(f"The journal of the shard {name} is damaged: {error}.") from error
        connection.executemany(sql("merge_tenant"), _named(shard["tenant"]))
        token_calls = sum(session["token_calls"] for session in _named(shard["session"]))
        connection.execute(sql("merge_session"), {"token_calls": token_calls})
        seq, outcome, settled = map(shard["action"].columns.index, ("seq", "outcome", "settled_at"))
        return [
            (row[seq], Outcome(row[outcome])) for row in shard["action"].values if row[settled] is not None
        ]

    return journal.perform(work)


def _named(rows: Rows) -> Iterator[dict[str, Any]]:
    return (dict(zip(rows.columns, values, strict=True)) for values in rows.values)


def _rows(found: sqlite3.Cursor) -> Rows:
    return Rows([column[0] for column in found.description], [list(row) for row in found])


def _insert(connection: sqlite3.Connection, table: str, rows: Rows, how: str) -> None:
    columns = ", ".join(f'"{name}"' for name in rows.columns)
    places = ", ".join("?" * len(rows.columns))
    connection.executemany(f'{how} INTO "{table}" ({columns}) VALUES ({places})', rows.values)
