"""The consolidated report: made from the journal alone, in one pass, in memory that does not grow with the run."""

import csv
import io
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from orchestrator.clock import seconds_between, stamp
from orchestrator.model import Outcome, Problem, Records
from orchestrator.store.database import statements
from orchestrator.store.entries import (
    RunInfo,
    TenantStanding,
    TenantState,
    done_in,
    read_run,
    read_tenants,
)
from orchestrator.store.remediation import guard

SCHEMA: Literal["mass-stop/report/1"] = "mass-stop/report/1"

Write = Callable[[bytes], object]


class TenantEntry(Struct, frozen=True):
    """The tenant, and what of it the run was about. One of several also tells how its part of the run stands."""

    base_url: str
    entity_id: str | None
    org_ids: tuple[str, ...]
    state: TenantState | UnsetType = UNSET
    reason: str | UnsetType | None = UNSET


class SourceEntry(Struct, frozen=True):
    """``sha256`` is of the bytes as read; null while the source was not read to its end."""

    name: str
    sha256: str | None
    rows: int


class RunEntry(Struct, frozen=True):
    """The run as a whole; ``resumed`` counts the sessions after the first.

    A run of several tenants has them in ``tenants``, by name, and null as its ``tenant``.
    """

    id: str
    command: str
    version: str
    started_at: str
    ended_at: str | None
    duration_seconds: float | None
    tenant: TenantEntry | None
    sources: list[SourceEntry]
    state: Literal["finished", "interrupted", "aborted", "running"]
    reason: str | None
    resumed: int
    exit_status: int | None
    tenants: dict[str, TenantEntry] | UnsetType = UNSET


class RecordTotals(Struct, frozen=True):
    """Sums over all actions whose counts are known."""

    total: int
    processed: int
    succeeded: int
    failed: int
    unprocessed: int


class CallTotals(Struct, frozen=True):
    """Calls made, those that repeated one that had failed, and those refused for the tenant's limits."""

    stop: int
    status: int
    file: int
    token: int
    retried: int
    throttled: int


class Timing(Struct, frozen=True):
    """Seconds from the start of the process: the first stop sent, the last accepted, the last key settled."""

    first_stop_seconds: float | None
    last_stop_seconds: float | None
    settled_seconds: float | None


class Summary(Struct, frozen=True):
    """``keys`` are distinct and well-formed; ``outcomes`` counts every action, malformed rows too.

    A run of several tenants has a summary of each under ``by_tenant``; a row whose tenant is not known is in none.
    """

    keys: int
    duplicates: int
    malformed: int
    outcomes: dict[Outcome, int]
    records: RecordTotals
    calls: CallTotals
    timing: Timing
    by_tenant: "dict[str, Summary] | UnsetType" = UNSET


class StopEntry(Struct, frozen=True):
    """``answer`` is there where the answer to our stop was lost, and the status told that it had worked."""

    attempts: int
    accepted_at: str | None
    track_id: str | None
    request_id: str | None
    answer: Literal["lost"] | UnsetType = UNSET


class DuplicateEntry(Struct, frozen=True):
    """Where a key stood once more."""

    source: str
    row: int


class PlanEntry(Struct, frozen=True):
    """``plan`` only: speed as seen between two readings, null where the action was not being processed.

    ``remaining`` records are what a stop saves; ``done_in_seconds`` is when they would all have been processed.
    """

    records_per_second: float | None
    remaining: int | None
    done_in_seconds: float | None


class ActionEntry(Struct, frozen=True):
    """One action. ``duplicates`` is there where a duplicate stood in another source than the first.

    ``tenant`` is there in a run of several; for a malformed row, it is what the row held.
    """

    bulk_key: str
    source: str
    row: int
    duplicate_rows: list[int]
    labels: dict[str, str]
    outcome: Outcome
    status: str | None
    action_type: str | None
    stop: StopEntry
    records: Records
    error: Problem | None
    duplicates: list[DuplicateEntry] | UnsetType = UNSET
    mismatch: dict[str, Records] | UnsetType = UNSET
    plan: PlanEntry | UnsetType = UNSET
    tenant: str | UnsetType = UNSET


class Report(Struct, frozen=True):
    """The whole report, as ``report.json`` holds it."""

    schema: Literal["mass-stop/report/1"]
    run: RunEntry
    summary: Summary
    actions: list[ActionEntry]


def json_schema() -> dict[str, Any]:
    """The report's JSON Schema (draft 2020-12)."""
    schema = msgspec.json.schema(Report)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The report of a mass-stop run",
        **schema,
    }


def write_json(connection: sqlite3.Connection, write: Write) -> None:
    """Writes the report to ``write``, action by action."""
    encode = msgspec.json.Encoder().encode
    run, summary = read_head(connection)
    write(b'{\n"schema": ' + encode(SCHEMA))
    write(b',\n"run": ' + msgspec.json.format(encode(run), indent=2))
    write(b',\n"summary": ' + msgspec.json.format(encode(summary), indent=2))
    write(b',\n"actions": [')
    before = b"\n"
    for action in read_actions(connection):
        write(before + encode(action))
        before = b",\n"
    write(b"\n]\n}\n")


def write_csv(connection: sqlite3.Connection, write: Write) -> None:
    """Writes one line an action, with formulas disarmed: for a spreadsheet."""
    text = io.StringIO(newline="")
    table = csv.writer(text)

    def flush() -> None:
        write(text.getvalue().encode("utf-8", "surrogateescape"))
        text.seek(0)
        text.truncate()

    several = bool(read_tenants(connection))
    table.writerow((*_CSV_COLUMNS, "tenant") if several else _CSV_COLUMNS)
    for action in read_actions(connection):
        cells = [*_csv_cells(action), action.tenant] if several else _csv_cells(action)
        table.writerow([guard(cell) if isinstance(cell, str) else cell for cell in cells])
        flush()
    flush()


def read_report(connection: sqlite3.Connection) -> Report:
    """The whole report in memory."""
    run, summary = read_head(connection)
    return Report(SCHEMA, run, summary, list(read_actions(connection)))


def read_head(connection: sqlite3.Connection) -> tuple[RunEntry, Summary]:
    """What stands above the actions. Raises StorageError where the journal holds no run."""
    info = read_run(connection)
    sessions = connection.execute(_sql("sessions")).fetchall()
    tenants = read_tenants(connection)
    return _run(connection, info, sessions, tenants), _summary(connection, info, sessions, tenants)


def count_missing_files(connection: sqlite3.Connection) -> int:
    """Response files that the tenant offers and that could not be fetched or understood."""
    count: int = connection.execute(_sql("files_missing")).fetchone()[0]
    return count


def read_actions(
    connection: sqlite3.Connection, which: str = "actions", values: dict[str, int] | None = None
) -> Iterator[ActionEntry]:
    """The rows of the input, each once, in input order: all, or those of the statement ``which``."""
    names = {row[0]: row[1] for row in connection.execute(_sql("sources"))}
    any_duplicates = connection.execute("SELECT EXISTS (SELECT 1 FROM duplicate)").fetchone()[0]
    info = read_run(connection)
    planned, several = info.command == "plan", bool(info.tenants)
    for row in connection.execute(_sql(which), values or {}):
        duplicates = connection.execute(_sql("duplicates_of"), {"first": row[0]}) if any_duplicates else ()
        yield _action(row, names, list(duplicates), planned=planned, several=several)


def _action(
    row: Any, names: dict[int, str], duplicates: list[tuple[int, int]], *, planned: bool, several: bool
) -> ActionEntry:
    (
        _, key, source, number, labels, outcome, status, action_type, attempts, accepted_at, track_id, request_id,
        lost, total, processed, succeeded, failed, unprocessed, counts_from, mismatch, speed, error, _,
        tenant,
    ) = row  # fmt: skip
    elsewhere = any(where != source for where, _ in duplicates)
    return ActionEntry(
        bulk_key=key,
        source=names[source],
        row=number,
        duplicate_rows=[row for _, row in duplicates],
        labels=msgspec.json.decode(labels, type=dict[str, str]) if labels else {},
        outcome=Outcome(outcome),
        status=status,
        action_type=action_type,
        stop=StopEntry(
            attempts,
            accepted_at,
            track_id,
            request_id,
            "lost" if lost and accepted_at is None and outcome == Outcome.STOPPED else UNSET,
        ),
        records=Records(total, processed, succeeded, failed, unprocessed, counts_from),
        error=msgspec.json.decode(error, type=Problem) if error else None,
        duplicates=[DuplicateEntry(names[where], row) for where, row in duplicates] if elsewhere else UNSET,
        mismatch=msgspec.json.decode(mismatch, type=dict[str, Records]) if mismatch else UNSET,
        plan=PlanEntry(speed, unprocessed, done_in(unprocessed, speed))
        if planned and outcome == Outcome.WOULD_STOP
        else UNSET,
        tenant=tenant if several else UNSET,
    )


def _run(
    connection: sqlite3.Connection, info: RunInfo, sessions: list[Any], tenants: dict[str, TenantStanding]
) -> RunEntry:
    _, _, ended_at, state, reason, exit_status, _ = sessions[-1]
    sources = connection.execute(_sql("sources")).fetchall()
    return RunEntry(
        id=info.id,
        command=info.command,
        version=info.version,
        started_at=info.started_at,
        ended_at=ended_at,
        duration_seconds=seconds_between(info.started_at, ended_at),
        tenant=None if tenants else TenantEntry(info.base_url, info.entity_id, info.org_ids),
        sources=[SourceEntry(row[1], row[3], row[4]) for row in sources],
        state=state,
        reason=reason,
        resumed=len(sessions) - 1,
        exit_status=exit_status,
        tenants={
            name: TenantEntry(
                told.info.base_url, told.info.entity_id, told.info.org_ids, told.state, told.reason
            )
            for name, told in tenants.items()
        }
        or UNSET,
    )


class _Counts:
    """What a summary is made from: of one tenant, or of several together."""

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.sums = [0] * _SUMS
        self.duplicates = 0
        self.token_calls = 0
        self.first_stop: str | None = None
        self.last_stop: str | None = None
        self.settled: str | None = None

    def add(
        self, sums: list[int], first_stop: str | None, last_stop: str | None, settled: str | None
    ) -> None:
        self.sums = [one + more for one, more in zip(self.sums, sums, strict=True)]
        self.first_stop = min(filter(None, (self.first_stop, first_stop)), default=None)
        self.last_stop = max(filter(None, (self.last_stop, last_stop)), default=None)
        self.settled = max(filter(None, (self.settled, settled)), default=None)

    def summary(self, start: str) -> Summary:
        (
            keys, malformed, total, processed, succeeded, failed, unprocessed, stops, statuses, files, retried,
            throttled,
        ) = self.sums  # fmt: skip
        return Summary(
            keys=keys,
            duplicates=self.duplicates,
            malformed=malformed,
            outcomes=dict(self.outcomes),
            records=RecordTotals(total, processed, succeeded, failed, unprocessed),
            calls=CallTotals(stops, statuses, files, self.token_calls, retried, throttled),
            timing=Timing(
                seconds_between(start, self.first_stop),
                seconds_between(start, self.last_stop),
                seconds_between(start, self.settled),
            ),
        )


_SUMS = 12
"""Columns of the statement ``summaries`` that are added up."""


def _summary(
    connection: sqlite3.Connection, info: RunInfo, sessions: list[Any], tenants: dict[str, TenantStanding]
) -> Summary:
    every = _Counts()
    of: defaultdict[str, _Counts] = defaultdict(_Counts)
    for row in connection.execute(_sql("summaries")):
        sums, times, tenant = row[:_SUMS], row[_SUMS:-1], row[-1]
        for counts in (every, of[tenant]):
            counts.add(sums, *times)
    for tenant, outcome, count in connection.execute(_sql("outcomes_by_tenant")):
        for counts in (every, of[tenant]):
            counts.outcomes[Outcome(outcome)] += count
    for tenant, count in connection.execute(_sql("duplicates_by_tenant")):
        for counts in (every, of[tenant]):
            counts.duplicates += count
    for name, told in tenants.items():
        of[name].token_calls = told.token_calls
    every.token_calls = sum(row[-1] for row in sessions) + sum(one.token_calls for one in tenants.values())
    start = stamp(info.process_started_at)
    summary = every.summary(start)
    if not tenants:
        return summary
    return msgspec.structs.replace(summary, by_tenant={name: of[name].summary(start) for name in tenants})


_CSV_COLUMNS = (
    "bulk_key", "source", "row", "outcome", "status", "action_type", "attempts", "accepted_at", "track_id",
    "request_id", "total", "processed", "succeeded", "failed", "unprocessed", "counts_from", "error_kind",
    "error_code", "error_message", "duplicate_rows", "labels",
)  # fmt: skip


def _csv_cells(action: ActionEntry) -> list[Any]:
    error = action.error or Problem(kind="")
    stop, records = action.stop, action.records
    return [
        action.bulk_key, action.source, action.row, action.outcome.value, action.status, action.action_type,
        stop.attempts, stop.accepted_at, stop.track_id, stop.request_id,
        records.total, records.processed, records.succeeded, records.failed, records.unprocessed, records.source,
        error.kind, error.code, error.message, " ".join(map(str, action.duplicate_rows)),
        msgspec.json.encode(action.labels).decode() if action.labels else "",
    ]  # fmt: skip


def _sql(name: str) -> str:
    return statements()[name]
