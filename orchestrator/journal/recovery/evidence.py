"""What a journal is held against: its structure, the digests of its sources, the seals of its settled rows."""

import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import msgspec

from orchestrator.clock import seconds_between
from orchestrator.errors import MassStopError
from orchestrator.journal import database
from orchestrator.journal.database import UNREADABLE, statements
from orchestrator.journal.entries import SourceInfo, chained, read_sources
from orchestrator.model import InputRow, Outcome, Problem, Records
from orchestrator.report import ActionEntry, RunEntry, Summary, read_actions, read_head, read_run_entry

_BATCH = 10_000
_OUTCOMES = {"outcomes": msgspec.json.encode(list(Outcome)).decode()}
_labels = msgspec.json.Decoder(dict[str, str]).decode
_error = msgspec.json.Decoder(Problem).decode
_mismatch = msgspec.json.Decoder(dict[str, Records]).decode
BROKEN = (
    sqlite3.Error,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    msgspec.MsgspecError,
    MassStopError,
)
"""What reading a damaged journal may raise."""


def problem_of(connection: sqlite3.Connection, path: Path) -> str | None:
    """What is wrong with the journal in a few words; None where every check holds. ``connection`` is to ``path``.

    The first stop of a resumed run waits for this: SQLite looks at the structure beside us, and a row is read as the
    report reads it only where its columns do not look as they always do.
    """
    with ThreadPoolExecutor(1) as beside:
        structure = beside.submit(_broken_structure, path)
        rows = _broken_rows(connection)
        return structure.result() or rows


def _broken_structure(path: Path) -> str | None:
    try:
        with closing(database.reopen(path)) as connection, closing(database.in_memory()) as made:
            if _schema(connection) != _schema(made):
                return "its tables are not what they were made"
            found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except BROKEN as error:
        return str(error)
    return None if found == "ok" else found.splitlines()[-1]


def _schema(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """Tables, indexes and views by name, without the comments and spaces of their statements."""
    found = connection.execute(
        "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name"
    )
    return [(kind, name, "".join(re.sub("--.*", "", sql).split())) for kind, name, sql in found]


def _broken_rows(connection: sqlite3.Connection) -> str | None:
    try:
        speakable(read_run_entry(connection))
        for source in read_sources(connection):
            if chain_of(connection, source) != source.chain:
                return f"the rows of {source.name} are not those that were read"
        if next(distrusted(connection), None) is not None:
            return "settled rows are not what they were"
        for moments in connection.execute(statements()["first_and_last"]):
            for moment in moments:
                seconds_between(moment, moment)
        for first, last in _batches(connection):
            connection.execute(statements()["texts"], {"first": first, "last": last}).fetchone()
        for labels, error, mismatch in connection.execute(statements()["kept_as_json"]):
            if labels is not None:
                _labels(labels)
            if error is not None:
                _error(error)
            if mismatch is not None:
                _mismatch(mismatch)
        unusual = False
        for action in read_actions(connection, "unusual", _OUTCOMES):
            unusual = True
            speakable(action)
        if unusual:
            for part in read_head(connection):
                speakable(part)
    except BROKEN as broken:
        return str(broken)
    return None


def chain_of(connection: sqlite3.Connection, source: SourceInfo) -> str:
    """The digest over the rows and keys of ``source`` as they are now."""
    rows = connection.execute(statements()["admitted"], {"source": source.id})
    return chained("", (InputRow(number, key, tenant=tenant) for number, key, tenant in rows))


def distrusted(connection: sqlite3.Connection) -> Iterator[int]:
    """The numbers of the actions whose evidence does not hold, or cannot even be told."""
    for first, last in _batches(connection):
        yield from _distrusted_between(connection, first, last)


def _batches(connection: sqlite3.Connection) -> Iterator[tuple[int, int]]:
    """The first and the last number of some thousand actions at a time."""
    last = connection.execute("SELECT COALESCE(MAX(seq), 0) FROM action").fetchone()[0]
    for first in range(1, last + 1, _BATCH):
        yield first, min(last, first + _BATCH - 1)


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


def speakable(part: RunEntry | Summary | ActionEntry) -> None:
    """Raises one of `BROKEN` where a part of the report holds what cannot stand there."""
    msgspec.convert(msgspec.to_builtins(part), type(part))
