"""A tenant's keys, out of the run's journal into one of their own, and back with what came of them.

A shard journals in a folder that its caller makes, with a mark in it: nobody has worked on the keys yet. Whoever does
takes the mark away before the first call, which needs no room on the disk. So nothing was sent where the mark is,
whatever else is there; and where it is not, a stop may have been sent, whatever is missing.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec import Struct

from orchestrator.atomic import sync_directory
from orchestrator.errors import RunDirectoryError, StorageError
from orchestrator.journal import database
from orchestrator.journal.database import UNREADABLE, statements
from orchestrator.journal.recovery.integrity import broken_seals, sql
from orchestrator.journal.recovery.opening import recover
from orchestrator.model import Outcome

_UNTOUCHED = "untouched"

_RECORDS = ("failure", "pace")
"""Tables that tell what happened, and to which a shard adds."""


class Rows(Struct, frozen=True):
    """Rows of the table ``action`` as they stand, with the names of their columns."""

    columns: list[str]
    values: list[list[Any]]


Tables = dict[str, Rows]
"""All that the journal of a shard brings back, by table."""


def lay_out(folder: Path) -> None:
    """Makes the folder of a shard, with the mark in it. Raises OSError."""
    folder.mkdir(mode=0o700)
    (folder / _UNTOUCHED).touch(mode=0o600, exist_ok=False)


def is_untouched(folder: Path) -> bool:
    """Whether nobody has worked yet on the keys whose shard has ``folder``. Raises OSError."""
    try:
        # A network's file system asks its server whether a file can be opened, and may only remember that it is there.
        os.close(os.open(folder / _UNTOUCHED, os.O_RDONLY | os.O_CLOEXEC))
    except FileNotFoundError:
        return False
    return True


def touch(folder: Path) -> None:
    """Takes the mark away: from now on a call may leave. Raises OSError."""
    (folder / _UNTOUCHED).unlink(missing_ok=True)
    sync_directory(folder)


def take(connection: sqlite3.Connection, tenant: str, *, sending: bool) -> Rows:
    """The rows of ``tenant`` that are not over, to be worked on elsewhere.

    Where stops will be sent there, this journal takes each that waits for one that may have been sent, from now until
    the rows are back (:func:`merge`) or are known not to have been touched (:func:`take_back`).
    """
    found = connection.execute(statements()["open_actions"], {"tenant": tenant})
    rows = Rows([column[0] for column in found.description], [list(row) for row in found])
    if sending:
        connection.execute(statements()["hand_over"], {"tenant": tenant})
    return rows


def take_back(connection: sqlite3.Connection, tenant: str, name: str) -> None:
    """Nobody has worked on the rows that were taken for the shard ``name``, unless they are back from it already."""
    connection.execute(statements()["take_back"], {"tenant": tenant, "shard": name})


def put(connection: sqlite3.Connection, rows: Rows) -> None:
    """Puts ``rows`` into the table ``action``, in the place of those that have their numbers."""
    _insert(connection, "action", rows, "INSERT OR REPLACE")


def earlier(path: Path) -> sqlite3.Connection | None:
    """A connection to read with to the journal at ``path`` that an earlier try left; None if it holds no key.

    The journal is recovered first. Only for the process that holds the folder. Raises StorageError if it is damaged or
    cannot be read; then it is left as it is.
    """
    try:
        database.finish_replacing(path)
        if not path.exists():
            return None
        recover(path, shared=True, check=broken_seals)
        connection = database.read_only(path)
    except OSError as error:
        raise StorageError(f"The journal {path} cannot be read: {error.strerror}.") from error
    except UNREADABLE as error:
        raise StorageError(f"The journal {path} cannot be read: {error}.") from error
    except RunDirectoryError as error:
        raise StorageError(str(error)) from error
    if connection.execute("SELECT EXISTS (SELECT 1 FROM action)").fetchone()[0]:
        return connection
    connection.close()
    return None


def doubt(connection: sqlite3.Connection) -> None:
    """What is held as not sent may have been sent: an earlier try went on in memory, and that is lost."""
    connection.execute(sql("doubt_unsent"))


def read(connection: sqlite3.Connection) -> Tables:
    """All that the journal of a shard brings back."""
    return {name: _all(connection, name) for name in ("action", "session", "tenant", *_RECORDS)}


def read_left(path: Path) -> Tables | None:
    """All that a try which is over left in the journal at ``path``; None for none. Raises as :func:`earlier`."""
    connection = earlier(path)
    if connection is None:
        return None
    with closing(connection):
        return read(connection)


def merge(connection: sqlite3.Connection, shard: Tables, name: str) -> list[tuple[int, Outcome]]:
    """Brings back all that the journal of the shard ``name`` holds, once; gives number and outcome of what is over.

    A tenant is in one shard at a time, and its rows travel whole, so that they simply take the place of those here.

    Raises StorageError where they do not fit.
    """
    if not connection.execute(statements()["merge_once"], {"shard": name}).rowcount:
        return []
    try:
        for table in _RECORDS:
            _insert(connection, table, shard[table], "INSERT")
        put(connection, shard["action"])
    except sqlite3.IntegrityError as error:
        raise StorageError(f"The journal of the shard {name} is damaged: {error}.") from error
    for tenant in _named(shard["tenant"]):
        connection.execute(statements()["merge_tenant"], tenant)
    token_calls = sum(session["token_calls"] for session in _named(shard["session"]))
    connection.execute(statements()["merge_session"], {"token_calls": token_calls})
    seq, outcome, settled = map(shard["action"].columns.index, ("seq", "outcome", "settled_at"))
    return [(row[seq], Outcome(row[outcome])) for row in shard["action"].values if row[settled] is not None]


def _named(rows: Rows) -> Iterator[dict[str, Any]]:
    return (dict(zip(rows.columns, values, strict=True)) for values in rows.values)


def _all(connection: sqlite3.Connection, table: str) -> Rows:
    found = connection.execute(f'SELECT * FROM "{table}"')
    return Rows([column[0] for column in found.description], [list(row) for row in found])


def _insert(connection: sqlite3.Connection, table: str, rows: Rows, how: str) -> None:
    columns = ", ".join(f'"{name}"' for name in rows.columns)
    places = ", ".join("?" * len(rows.columns))
    connection.executemany(f'{how} INTO "{table}" ({columns}) VALUES ({places})', rows.values)
