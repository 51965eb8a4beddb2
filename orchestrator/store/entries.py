"""The values that the journal gives out, and how they are read from it."""

import hashlib
import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from orchestrator.errors import InputError, StorageError
from orchestrator.model import InputRow, Outcome, Problem, Records
from orchestrator.store.database import statements


class RunInfo(Struct, frozen=True):
    """What a run is, as its first process wrote it. ``settings`` holds no secret."""

    id: str
    command: str
    version: str
    process_started_at: float
    started_at: str
    base_url: str
    entity_id: str | None
    org_ids: tuple[str, ...]
    settings: dict[str, Any]


class SourceInfo(Struct, frozen=True):
    """How far one source was read; ``chain`` is a digest over the rows admitted."""

    id: int
    name: str
    path: str | None = None
    sha256: str | None = None
    rows: int = 0
    last_row: int = 0
    chain: str = ""
    complete: bool = False


class Standing(Struct, frozen=True):
    """Counts of keys: all, with an accepted stop, yet to be sent, and being followed."""

    keys: int
    accepted: int
    waiting: int
    following: int


class Armed(Struct, frozen=True):
    """A key whose next stop is allowed to leave: the intent is on disk. ``attempts`` counts it."""

    seq: int
    bulk_key: str
    lost: bool
    attempts: int


class Followed(Struct, frozen=True):
    """A key whose status is to be read. ``outcome`` is set where only its response file is missing.

    ``attempts`` counts the stops sent so far.
    """

    seq: int
    bulk_key: str
    attempts: int
    due_at: float
    accepted: bool
    lost: bool
    outcome: Outcome | None
    output_url: str | None
    error: Problem | None
    read_from: float | None
    polls: int
    counts: Records


def read_run(connection: sqlite3.Connection) -> RunInfo:
    """Raises StorageError where the journal holds no run."""
    row = connection.execute(statements()["run"]).fetchone()
    if row is None:
        raise StorageError("The journal holds no run: its first commit did not come through.")
    values = dict(zip(RunInfo.__struct_fields__, row, strict=True))
    values |= {name: msgspec.json.decode(values[name]) for name in ("org_ids", "settings")}
    return msgspec.convert(values, RunInfo)


def read_sources(connection: sqlite3.Connection) -> list[SourceInfo]:
    """Every source of the run, in the order they were given."""
    rows = connection.execute(statements()["sources"])
    return [
        msgspec.convert(dict(zip(SourceInfo.__struct_fields__, row, strict=True)), SourceInfo, strict=False)
        for row in rows
    ]


def chained(chain: str, rows: Sequence[InputRow]) -> str:
    """The digest over rows up to and with ``rows``, given the one up to them. Each row counts by line and key."""
    for row in rows:
        chain = hashlib.blake2b(
            f"{chain}{row.number}\0{row.key}".encode("utf-8", "surrogatepass"), digest_size=8
        ).hexdigest()
    return chain


def same_rows(source: SourceInfo, chain: str) -> None:
    """Raises InputError where the rows read again are not those that were admitted."""
    if chain != source.chain:
        raise InputError(
            f"{source.name} is not what it was when the run was cut: its first {source.rows} rows have changed. "
            "Resume with the input the run began with."
        )


def followed(
    seq: int, key: str, attempts: int, due_at: float, accepted: int, lost: int, outcome: str | None,
    output_url: str | None, error: str | None, read_from: float | None, polls: int, total: int | None,
    processed: int | None, succeeded: int | None, failed: int | None, unprocessed: int | None,
) -> Followed:  # fmt: skip
    """A row of the statement ``claim_following``."""
    return Followed(
        seq, key, attempts, due_at, bool(accepted), bool(lost), Outcome(outcome) if outcome else None, output_url,
        msgspec.json.decode(error, type=Problem) if error else None, read_from, polls,
        Records(total, processed, succeeded, failed, unprocessed, "none" if total is None else "status"),
    )  # fmt: skip
