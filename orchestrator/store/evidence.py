"""What a journal is held against: its structure, the digests of its sources, the seals of its settled rows."""

import sqlite3
from collections.abc import Iterator

import msgspec

from orchestrator.errors import MassStopError
from orchestrator.model import InputRow
from orchestrator.store.database import UNREADABLE, statements
from orchestrator.store.entries import SourceInfo, chained, read_run, read_sources
from orchestrator.store.report import ActionEntry, RunEntry, Summary, read_actions, read_head

_BATCH = 10_000
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


def problem_of(connection: sqlite3.Connection) -> str | None:
    """What is wrong with the journal in a few words; None where every check holds."""
    try:
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            return str(found).splitlines()[-1]
        read_run(connection)
        for source in read_sources(connection):
            if chain_of(connection, source) != source.chain:
                return f"the rows of {source.name} are not those that were read"
        if next(distrusted(connection), None) is not None:
            return "settled rows are not what they were"
        for part in read_head(connection):
            speakable(part)
        for action in read_actions(connection):
            speakable(action)
    except BROKEN as error:
        return str(error)
    return None


def chain_of(connection: sqlite3.Connection, source: SourceInfo) -> str:
    """The digest over the rows and keys of ``source`` as they are now."""
    rows = connection.execute(statements()["admitted"], {"source": source.id})
    chain = ""
    while batch := rows.fetchmany(_BATCH):
        chain = chained(chain, [InputRow(number, key, tenant=tenant) for number, key, tenant in batch])
    return chain


def distrusted(connection: sqlite3.Connection) -> Iterator[int]:
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


def speakable(part: RunEntry | Summary | ActionEntry) -> None:
    """Raises one of `BROKEN` where a part of the report holds what cannot stand there."""
    msgspec.convert(msgspec.to_builtins(part), type(part))
