"""Copy a journal into memory: all rows of one of an old form, or the readable rows of a damaged one."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.errors import StorageError
from orchestrator.journal import database
from orchestrator.journal.database import UNREADABLE, sql
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.recovery.integrity import BROKEN, chain_of
from orchestrator.model import Problem

_HEADER = b"SQLite format 3\0\x10\0\2\2\0@  "  # of every journal: pages of 4096 bytes, a log beside it
_NAMED = 5  # rows that a sentence names
_DISTRUSTED = Problem(
    kind="journal_damaged",
    message="The journal was damaged, and what it holds of this action cannot be trusted. Read its status.",
)


def in_current_form(connection: sqlite3.Connection) -> sqlite3.Connection:
    """A journal of the current form, in memory, with the rows of an older one. Raises sqlite3.Error."""
    memory = database.in_memory()
    for (table,) in memory.execute(sql("tables")).fetchall():
        _copy(connection, memory, table)
    return memory


def rebuilt(copy: Path, path: Path, problem: str) -> tuple[sqlite3.Connection, list[str]]:
    """The rows of a damaged journal that can be read, in memory, and sentences on what is missing.

    ``copy`` is a copy of the journal at ``path``, and is changed. A row without a valid seal is unconfirmed, and
    nothing else is claimed of it. Raises StorageError.
    """
    with copy.open("r+b") as file:
        file.write(_HEADER)
    try:
        with closing(sqlite3.connect(copy, isolation_level=None)) as damaged:
            damaged.text_factory = partial(str, encoding="utf-8", errors="replace")
            damaged.execute("PRAGMA writable_schema = ON")  # otherwise a file that was cut is not read at all
            memory = in_current_form(damaged)
        try:
            memory.executescript(sql("complete"))
            error = msgspec.json.encode(_DISTRUSTED).decode()
            distrusted = [row for (row,) in memory.execute(sql("distrust"), {"error": error})]
            if not memory.execute("SELECT EXISTS (SELECT 1 FROM action)").fetchone()[0]:
                raise StorageError("no row of the input can be read")
            sentences = [
                f"The journal {path} is damaged ({problem}).",
                *_lost(memory),
                *_unconfirmed(sorted(distrusted)),
            ]
        except BaseException:
            memory.close()
            raise
        return memory, sentences
    except BROKEN as broken:
        raise StorageError(
            f"The journal {path} is damaged, and nothing can be read from it: {broken}."
        ) from broken


def _copy(source: sqlite3.Connection, memory: sqlite3.Connection, table: str) -> None:
    """Copies the rows of ``table`` that can be read, with the columns that both journals have."""
    columns = _columns(memory, table)
    with suppress(*UNREADABLE):
        columns = [name for name in columns if name in _columns(source, table)]
    into = f"INSERT OR IGNORE INTO {table} (rowid, {', '.join(columns)}) VALUES (?{', ?' * len(columns)})"
    for row in _readable(source, f"SELECT rowid, {', '.join(columns)} FROM {table} ORDER BY rowid"):
        with suppress(*UNREADABLE):
            memory.execute(into, row)


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


def _readable(source: sqlite3.Connection, select: str) -> Iterator[tuple[Any, ...]]:
    """The rows of ``select`` from both ends up to the first that cannot be read."""
    try:
        yield from source.execute(select)
    except UNREADABLE:
        with suppress(*UNREADABLE):
            yield from source.execute(f"{select} DESC")


def _lost(memory: sqlite3.Connection) -> Iterator[str]:
    """Sentences on rows of the input that are missing, or whose keys cannot be trusted."""
    for source in JournalReader(memory).sources():
        rows = memory.execute(sql("admitted"), {"source": source.id}).fetchall()
        if len(rows) < source.rows:
            yield f"{source.rows - len(rows)} of the {source.rows} rows of {source.name} are lost."
        elif chain_of(memory, source) != source.chain:
            yield f"A row or a key of {source.name} was changed, and it is not known which: compare them with it."


def _unconfirmed(rows: list[int]) -> Iterator[str]:
    if rows:
        named = ", ".join(str(row) for row in rows[:_NAMED]) + (", …" if len(rows) > _NAMED else "")
        yield f"Its content for {len(rows)} rows cannot be trusted (row {named}): they are reported as unconfirmed."
