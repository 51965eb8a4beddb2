"""The report out of the journal: what stands above the actions, and each action as it comes."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET

from orchestrator.clock import seconds_between, stamp
from orchestrator.journal.database import statements
from orchestrator.journal.entries import RunInfo, TenantRow, done_in, read_run, read_tenants
from orchestrator.model import Outcome, Problem, Provenance, Records
from orchestrator.report.schema import (
    SCHEMA,
    ActionEntry,
    CallTotals,
    DuplicateEntry,
    PlanEntry,
    RecordTotals,
    Report,
    RunEntry,
    SourceEntry,
    StopEntry,
    Summary,
    TenantEntry,
    Timing,
)


def read_report(connection: sqlite3.Connection) -> Report:
    """The whole report in memory."""
    run, summary = read_head(connection)
    return Report(SCHEMA, run, summary, list(read_actions(connection)))


def read_head(connection: sqlite3.Connection) -> tuple[RunEntry, Summary]:
    """What stands above the actions. Raises StorageError where the journal holds no run."""
    info = read_run(connection)
    sessions = connection.execute(_sql("sessions")).fetchall()
    tenants = read_tenants(connection)
    addresses = {name: told.info.base_url for name, told in tenants.items()} or {"": info.base_url}
    hosts = {name: _file_host(connection, name, address) for name, address in addresses.items()}
    run = _run(connection, info, sessions, tenants, hosts)
    return run, _summary(connection, info, sessions, tenants)


def read_run_entry(connection: sqlite3.Connection) -> RunEntry:
    """The run without its summary and file hosts, which cost time per action. Raises StorageError as `read_head`."""
    info = read_run(connection)
    sessions = connection.execute(_sql("sessions")).fetchall()
    return _run(connection, info, sessions, read_tenants(connection), {})


def count_missing_files(connection: sqlite3.Connection) -> int:
    """Response files that the tenant offers and that could not be fetched or understood."""
    count: int = connection.execute(_sql("files_missing")).fetchone()[0]
    return count


def payments_since(connection: sqlite3.Connection) -> str | None:
    """When the first action started that made payments, in the tenant's own words; None if none did."""
    since: str | None = connection.execute(_sql("payments_since")).fetchone()[0]
    return since


def read_actions(
    connection: sqlite3.Connection, which: str = "actions", values: dict[str, Any] | None = None
) -> Iterator[ActionEntry]:
    """The rows of the input, each once, in input order: all, or those of the statement ``which``."""
    names = {row[0]: row[1] for row in connection.execute(_sql("sources"))}
    any_duplicates = connection.execute("SELECT EXISTS (SELECT 1 FROM duplicate)").fetchone()[0]
    info = read_run(connection)
    planned, several = info.command == "plan", bool(info.tenants)
    for row in connection.execute(_sql(which), values or {}):
        sources: list[int] = []
        rows: list[int] = []
        # A key may have a million duplicates: as pairs they would take three times the room.
        query = connection.execute(_sql("duplicates_of"), {"first": row[0]}) if any_duplicates else ()
        for where, number in query:
            sources.append(where)
            rows.append(number)
        yield _action(row, names, sources, rows, planned=planned, several=several)


def _action(
    row: Any, names: dict[int, str], sources: list[int], rows: list[int], *, planned: bool, several: bool
) -> ActionEntry:
    """One row of the report's query; its duplicates stand in ``rows`` of ``sources``."""
    (
        _, key, source, number, labels, outcome, status, action_type, provenance, attempts, accepted_at, track_id,
        request_id, lost, total, processed, succeeded, failed, unprocessed, held, counts_from, mismatch, speed, error,
        _, tenant,
    ) = row  # fmt: skip
    origin = msgspec.json.decode(provenance, type=Provenance) if provenance else _UNKNOWN
    elsewhere = sources.count(source) < len(sources)
    return ActionEntry(
        bulk_key=key,
        source=names[source],
        row=number,
        duplicate_rows=rows,
        labels=msgspec.json.decode(labels, type=dict[str, str]) if labels else {},
        outcome=Outcome(outcome),
        status=status,
        action_type=action_type,
        uploaded_by=origin.uploaded_by,
        uploaded_on=origin.uploaded_on,
        started_on=origin.started_on,
        ended_on=origin.ended_on,
        stop=StopEntry(
            attempts,
            accepted_at,
            track_id,
            request_id,
            "lost" if lost and accepted_at is None and outcome == Outcome.STOPPED else UNSET,
        ),
        records=Records(total, processed, succeeded, failed, unprocessed, counts_from, held),
        error=msgspec.json.decode(error, type=Problem) if error else None,
        duplicates=[DuplicateEntry(names[where], at) for where, at in zip(sources, rows, strict=True)]
        if elsewhere
        else UNSET,
        mismatch=msgspec.json.decode(mismatch, type=dict[str, Records]) if mismatch else UNSET,
        plan=PlanEntry(speed, unprocessed, done_in(unprocessed, speed))
        if planned and outcome == Outcome.WOULD_STOP
        else UNSET,
        tenant=tenant if several else UNSET,
    )


def _file_host(connection: sqlite3.Connection, tenant: str, base_url: str) -> str | None:
    """The first host other than the tenant's own that an address of a response file names."""
    own = _host(base_url)
    values = {"tenant": tenant, "own": f"{base_url.rstrip('/')}/"}
    hosts = (_host(address) for (address,) in connection.execute(_sql("foreign_file_addresses"), values))
    return next((host for host in hosts if host and host != own), None)


def _host(address: str) -> str | None:
    """Host and port of ``address``, without a user name; None for a relative or broken address."""
    try:
        return urlsplit(address).netloc.rpartition("@")[2].casefold() or None
    except ValueError:
        return None


def _run(
    connection: sqlite3.Connection,
    info: RunInfo,
    sessions: list[Any],
    tenants: dict[str, TenantRow],
    file_hosts: dict[str, str | None],
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
        tenant=None
        if tenants
        else TenantEntry(info.base_url, info.entity_id, info.org_ids, file_host=file_hosts.get("")),
        sources=[SourceEntry(row[1], row[3], row[4]) for row in sources],
        state=state,
        reason=reason,
        resumed=len(sessions) - 1,
        exit_status=exit_status,
        tenants={
            name: TenantEntry(
                told.info.base_url,
                told.info.entity_id,
                told.info.org_ids,
                told.state,
                told.reason,
                file_hosts.get(name),
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
            keys, malformed, total, processed, succeeded, failed, unprocessed, held, stops, statuses, files, retried,
            throttled,
        ) = self.sums  # fmt: skip
        return Summary(
            keys=keys,
            duplicates=self.duplicates,
            malformed=malformed,
            outcomes=dict(self.outcomes),
            records=RecordTotals(total, processed, succeeded, failed, unprocessed, held),
            calls=CallTotals(stops, statuses, files, self.token_calls, retried, throttled),
            timing=Timing(
                seconds_between(start, self.first_stop),
                seconds_between(start, self.last_stop),
                seconds_between(start, self.settled),
            ),
        )


_SUMS = 13
_UNKNOWN = Provenance()
"""Columns of the statement ``summaries`` that are added up."""


def _summary(
    connection: sqlite3.Connection, info: RunInfo, sessions: list[Any], tenants: dict[str, TenantRow]
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


def _sql(name: str) -> str:
    return statements()[name]
