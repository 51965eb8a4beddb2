"""A damaged journal's valid rows: read as far as they go and held against their evidence; the rest is said."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.clock import seconds_between
from orchestrator.errors import StorageError
from orchestrator.journal import database
from orchestrator.journal.database import UNREADABLE, statements
from orchestrator.journal.entries import read_sources
from orchestrator.journal.recovery.evidence import BROKEN, chain_of, distrusted, speakable
from orchestrator.model import Problem
from orchestrator.report import read_actions, read_head

_TABLES = ("run", "session", "tenant", "source", "action", "duplicate", "failure", "pace")
_HEADER = b"SQLite format 3\0\x10\0\2\2\0@  "  # of every journal: pages of 4096 bytes, a log beside it
_NAMED = 5  # rows that a sentence names one by one


def salvaged(path: Path, problem: str, *, shortened: bool) -> tuple[sqlite3.Connection, list[str]]:
    """A journal in memory of the rows that can be read, and sentences on what it lacks.

    Where it was ``shortened``, what it holds as not sent may have been sent. Raises StorageError.
    """
    memory = database.in_memory()
    try:
        with _copied(path) as damaged:
            for table in _TABLES:
                _copy(damaged, memory, table)
        if not memory.execute("SELECT EXISTS (SELECT 1 FROM action)").fetchone()[0]:
            raise StorageError("not one row of the input can be read")
        memory.create_function("moment", 1, _is_moment)
        memory.executescript(statements()["complete"])
        if shortened:
            memory.execute(statements()["doubt_unsent"])
        sentences = [f"The journal {path} is damaged ({problem}).", *_lost(memory), *_doubted(memory)]
        for part in read_head(memory):
            speakable(part)
    except (*BROKEN, OSError) as error:
        memory.close()
        raise StorageError(
            f"The journal {path} is damaged, and nothing can be told from it: {error}."
        ) from error
    return memory, sentences


@contextmanager
def _copied(path: Path) -> Iterator[sqlite3.Connection]:
    """A copy of a damaged journal, opened as far as it goes: opening alone may change what is there."""
    import tempfile  # rarely needed

    with tempfile.TemporaryDirectory(prefix="mass-stop-") as directory:
        copy = Path(directory) / path.name
        shutil.copyfile(path, copy)
        with suppress(FileNotFoundError):
            shutil.copyfile(path.with_name(f"{path.name}-wal"), copy.with_name(f"{path.name}-wal"))
        with copy.open("r+b") as file:
            file.write(_HEADER)
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            connection.text_factory = partial(str, encoding="utf-8", errors="replace")
            connection.execute(
                "PRAGMA writable_schema = ON"
            )  # otherwise a file that was cut is not read at all
            yield connection


def _copy(damaged: sqlite3.Connection, memory: sqlite3.Connection, table: str) -> None:
    """Copies the rows of ``table`` that can be read."""
    columns = [row[1] for row in memory.execute(f"PRAGMA table_info({table})")]
    into = f"INSERT OR IGNORE INTO {table} (rowid, {', '.join(columns)}) VALUES (?{', ?' * len(columns)})"
    for row in _readable(damaged, f"SELECT rowid, {', '.join(columns)} FROM {table}"):
        with suppress(*UNREADABLE):
            memory.execute(into, row)


def _readable(damaged: sqlite3.Connection, select: str) -> Iterator[tuple[Any, ...]]:
    """The rows of ``select`` that can be read, by rowid; where the way breaks off, it goes on behind the gap."""
    behind: int | None = 0
    while behind is not None:
        try:
            for row in damaged.execute(f"{select} WHERE rowid > ? ORDER BY rowid", (behind,)):
                yield row
                behind = row[0]
            return
        except UNREADABLE:
            behind = _behind_gap(damaged, select, behind or 0)


def _behind_gap(damaged: sqlite3.Connection, select: str, gap: int) -> int | None:
    """The least number above ``gap`` behind which a row can be read; None where there is none."""

    def goes_on(behind: int) -> bool:
        try:
            damaged.execute(f"{select} WHERE rowid > ? ORDER BY rowid LIMIT 1", (behind,)).fetchone()
        except UNREADABLE:
            return False
        return True

    broken = gap
    # Behind the first few, so far apart that no gap takes long.
    steps: list[int] = [*range(1, 64), *(1 << power for power in range(6, 40))]
    for step in steps:
        if goes_on(gap + step):
            whole = gap + step
            while whole - broken > 1:
                middle = (broken + whole) // 2
                broken, whole = (broken, middle) if goes_on(middle) else (middle, whole)
            return whole
        broken = gap + step
    return None


def _is_moment(text: object) -> bool | None:
    """Whether ``text`` is a time as the journal has it (SQL: ``moment``); None for none at all."""
    if text is None:
        return None
    try:
        return isinstance(text, str) and seconds_between(text, text) == 0
    except ValueError:
        return False


def _lost(memory: sqlite3.Connection) -> Iterator[str]:
    """Sentences on rows of the input that are not there any more, or whose keys cannot be trusted."""
    for source in read_sources(memory):
        rows = memory.execute(statements()["admitted"], {"source": source.id}).fetchall()
        if len(rows) < source.rows:
            yield f"{source.rows - len(rows)} of the {source.rows} rows of {source.name} are lost."
        elif chain_of(memory, source) != source.chain:
            yield f"A row or a key of {source.name} was changed, and it cannot be told which: compare them with it."


def _doubted(memory: sqlite3.Connection) -> Iterator[str]:
    """Takes back what is told of rows whose evidence does not hold, and says which they are."""
    doubted = {*distrusted(memory), *_unspeakable(memory)}
    message = (
        "The journal was damaged, and what it held of this action does not hold. Its status tells what it is."
    )
    error = msgspec.json.encode(Problem(kind="journal_damaged", message=message)).decode()
    for seq in doubted:
        memory.execute(statements()["distrust"], {"seq": seq, "error": error})
    if memory.execute("SELECT EXISTS (SELECT 1 FROM action WHERE stage <> 3)").fetchone()[0]:
        yield "Rows that were not settled yet have no seal: what it holds of them may not be so."
    if doubted:
        rows = [
            memory.execute("SELECT row FROM action WHERE seq = ?", (seq,)).fetchone()[0]
            for seq in sorted(doubted)
        ]
        named = ", ".join(str(row) for row in rows[:_NAMED]) + (", …" if len(rows) > _NAMED else "")
        yield f"What it holds of {len(rows)} rows cannot be trusted (row {named}): they are told as unconfirmed."


def _unspeakable(memory: sqlite3.Connection) -> Iterator[int]:
    """Actions that no report can be made of: an unknown outcome, a label that is no JSON."""
    for (seq,) in memory.execute("SELECT seq FROM action ORDER BY seq").fetchall():
        try:
            for action in read_actions(memory, "action", {"seq": seq}):
                speakable(action)
        except BROKEN:
            yield seq
