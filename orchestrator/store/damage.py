"""Whether a journal is what was written, and what can still be told from one that is not.

A disk may lose or change what it was given, and SQLite notices only some of that. What is checked, by what:

- a journal that was closed in good order: every byte, by the digest behind it;
- one that a killed process left: its structure by SQLite, the rows and keys of each source by the digest that was kept
  while they were read, each settled row by its seal, and the log by the count of its frames in the index beside it.

What does not hold is never told as an outcome.
"""

import fcntl
import os
import shutil
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.clock import seconds_between
from orchestrator.errors import MassStopError, RunDirectoryError, StorageError
from orchestrator.model import InputRow, Problem
from orchestrator.store import checksum, database
from orchestrator.store.database import UNREADABLE, statements
from orchestrator.store.entries import SourceInfo, chained, read_run, read_sources
from orchestrator.store.report import ActionEntry, RunEntry, Summary, read_actions, read_head

_TABLES = ("run", "session", "tenant", "source", "action", "duplicate", "failure", "pace")
_HEADER = b"SQLite format 3\0\x10\0\2\2\0@  "  # of every journal: pages of 4096 bytes, a log beside it
_NAMED = 5  # rows that a sentence names one by one
_BATCH = 10_000
_BROKEN = (
    sqlite3.Error,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    msgspec.MsgspecError,
    MassStopError,
)
"""What reading a damaged journal may raise."""
_SHORTENED = (
    "The journal {} ends before its run did: the disk took no more, or has lost the end of it. What it holds was true "
    "once. What it holds as not sent may have been sent since: mass-stop resume asks the tenant."
)


def open_whole(path: Path) -> tuple[sqlite3.Connection, list[str]]:
    """The journal at ``path``, to go on with, and a sentence where it ends before its run did.

    That alone is no reason not to go on: what is held was committed once, and what is held as not sent is taken for
    perhaps sent from then on.

    Raises:
        RunDirectoryError: there is none, or it was written by another version.
        StorageError: it is damaged.
    """
    connection, sentences, whole = _opened(path)
    if whole:
        return connection, sentences
    connection.close()
    raise StorageError(
        f"{' '.join(sentences)} It is not gone on with. mass-stop report {path.parent} tells what can be told. To stop "
        "the rest, start the same input anew with another --out: what is stopped already stays stopped."
    )


def open_valid(path: Path) -> tuple[sqlite3.Connection, list[str]]:
    """What is valid in the journal at ``path``, and sentences on what is not: none where all of it holds.

    Raises:
        RunDirectoryError: there is none, or it was written by another version.
        StorageError: nothing can be told from it.
    """
    connection, sentences, _ = _opened(path)
    return connection, sentences


def _opened(path: Path) -> tuple[sqlite3.Connection, list[str], bool]:
    """The journal or what is valid of it, sentences on what is not, and whether it can be gone on with."""
    with _held(path.parent) as held:
        if not held:
            return database.reopen(path), [], True  # its session is at work, and would notice
        database.finish_replacing(path)
        left = database.take_up(path)
        intact = None if _log(path).exists() else checksum.holds(path)
        if intact:
            return database.reopen(path), [], True
        indexed = _indexed_frames(path)
        try:
            connection = database.reopen(path)
        except (StorageError, RunDirectoryError) as error:
            if intact is None and not isinstance(error.__cause__, UNREADABLE):
                raise
            return *_salvaged(path, str(error)), False
        shortened = left or _frames(connection) < indexed
        problem = _problem(connection)
        if problem is None and shortened:
            connection.execute(statements()["doubt_unsent"])
        if problem is None and intact is None:
            return connection, [_SHORTENED.format(path)] if shortened else [], True
        connection.close()
        return *_salvaged(path, problem or "it is not what was written"), False


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


def _frames(connection: sqlite3.Connection) -> int:
    """How many frames of the log are valid."""
    try:
        _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return max(0, int(frames))
    except UNREADABLE:
        return 0


def _problem(connection: sqlite3.Connection) -> str | None:
    """What is wrong with the journal in a few words; None where every check holds."""
    try:
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            return str(found).splitlines()[-1]
        read_run(connection)
        for source in read_sources(connection):
            if _chain(connection, source) != source.chain:
                return f"the rows of {source.name} are not those that were read"
        if next(_distrusted(connection), None) is not None:
            return "settled rows are not what they were"
        for part in read_head(connection):
            _speakable(part)
        for action in read_actions(connection):
            _speakable(action)
    except _BROKEN as error:
        return str(error)
    return None


def _chain(connection: sqlite3.Connection, source: SourceInfo) -> str:
    rows = connection.execute(statements()["admitted"], {"source": source.id})
    chain = ""
    while batch := rows.fetchmany(_BATCH):
        chain = chained(chain, [InputRow(number, key, tenant=tenant) for number, key, tenant in batch])
    return chain


def _distrusted(connection: sqlite3.Connection) -> Iterator[int]:
    """The numbers of the actions whose evidence does not hold, or cannot even be told."""
    last = connection.execute("SELECT COALESCE(MAX(seq), 0) FROM action").fetchone()[0]
    for first in range(1, last + 1, _BATCH):
        yield from _distrusted_between(connection, first, min(last, first + _BATCH - 1))


def _distrusted_between(connection: sqlite3.Connection, first: int, last: int) -> Iterator[int]:
    try:
        rows = connection.execute(statements()["broken_seals"], {"first": first, "last": last}).fetchall()
    except UNREADABLE:
        if first == last:
            yield first
            return
        middle = (first + last) // 2
        yield from _distrusted_between(connection, first, middle)
        yield from _distrusted_between(connection, middle + 1, last)
        return
    yield from (seq for (seq,) in rows)


def _salvaged(path: Path, problem: str) -> tuple[sqlite3.Connection, list[str]]:
    """A journal in memory of the rows that can be read, and sentences on what it lacks. Raises StorageError."""
    memory = database.in_memory()
    try:
        with _copied(path) as damaged:
            for table in _TABLES:
                _copy(damaged, memory, table)
        if not memory.execute("SELECT EXISTS (SELECT 1 FROM action)").fetchone()[0]:
            raise StorageError("not one row of the input can be read")
        memory.create_function("moment", 1, _is_moment)
        memory.executescript(statements()["complete"])
        sentences = [f"The journal {path} is damaged ({problem}).", *_lost(memory), *_doubted(memory)]
        for part in read_head(memory):
            _speakable(part)
    except (*_BROKEN, OSError) as error:
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
            shutil.copyfile(_log(path), _log(copy))
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


def _speakable(part: RunEntry | Summary | ActionEntry) -> None:
    """Raises one of `_BROKEN` where a part of the report holds what cannot stand there."""
    msgspec.convert(msgspec.to_builtins(part), type(part))


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
        elif _chain(memory, source) != source.chain:
            yield f"A row or a key of {source.name} was changed, and it cannot be told which: compare them with it."


def _doubted(memory: sqlite3.Connection) -> Iterator[str]:
    """Takes back what is told of rows whose evidence does not hold, and says which they are."""
    doubted = {*_distrusted(memory), *_unspeakable(memory)}
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
            msgspec.convert(
                msgspec.to_builtins(list(read_actions(memory, "action", {"seq": seq}))), list[ActionEntry]
            )
        except _BROKEN:
            yield seq
