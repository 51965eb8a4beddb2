"""Whether a journal holds what was written: its structure, the digests of its sources, the seals of completed rows."""

import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec

from orchestrator.errors import MassStopError
from orchestrator.journal import database
from orchestrator.journal.database import UNREADABLE, sql
from orchestrator.journal.entries import SourceInfo, chained
from orchestrator.journal.reader import JournalReader
from orchestrator.model import InputRow, Outcome

_OUTCOMES = {"outcomes": msgspec.json.encode(list(Outcome)).decode()}
BROKEN = (
    *UNREADABLE,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    msgspec.MsgspecError,
    MassStopError,
)
"""Errors that reading a damaged journal may raise."""


def problem_of(connection: sqlite3.Connection, path: Path) -> str | None:
    """The damage of the journal in a few words, or None. ``connection`` is to ``path``.

    The first stop of a resumed run waits for this, so SQLite checks the structure in a thread of its own.
    """
    with ThreadPoolExecutor(1) as beside:
        structure = beside.submit(_broken_structure, path)
        rows = _broken_rows(connection)
        return structure.result() or rows


def broken_seals(connection: sqlite3.Connection) -> str | None:
    """As :func:`problem_of`, by the seals of completed rows alone."""
    try:
        found = connection.execute(sql("broken_seals")).fetchone()
    except UNREADABLE as error:
        return str(error)
    return None if found is None else "completed rows are not what they were"


def chain_of(connection: sqlite3.Connection, source: SourceInfo) -> str:
    """The digest over the rows and keys of ``source`` as they are now."""
    rows = connection.execute(sql("admitted"), {"source": source.id})
    return chained("", (InputRow(number, key, tenant=tenant) for number, key, tenant in rows))


def _broken_structure(path: Path) -> str | None:
    try:
        with closing(database.reopen(path)) as connection, closing(database.in_memory()) as made:
            if database.form_of(connection) == database.FORM and schema_of(connection) != schema_of(made):
                return "its tables are not what they were made"
            found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except BROKEN as error:
        return str(error)
    return None if found == "ok" else found.splitlines()[-1]


def schema_of(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """Tables, indexes and views by name, without the comments and spaces of their statements."""
    found = connection.execute(
        "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name"
    )
    return [(kind, name, "".join(re.sub("--.*", "", text).split())) for kind, name, text in found]


def _broken_rows(connection: sqlite3.Connection) -> str | None:
    try:
        for source in JournalReader(connection).sources():
            if chain_of(connection, source) != source.chain:
                return f"the rows of {source.name} are not those that were read"
        if problem := broken_seals(connection):
            return problem
        if (table := connection.execute(sql("unsound"), _OUTCOMES).fetchone()) is not None:
            return f"the table {table[0]} holds values that were never written"
        for _ in connection.execute(sql("texts")):
            pass
    except BROKEN as broken:
        return str(broken)
    return None
