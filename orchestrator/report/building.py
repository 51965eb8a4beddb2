"""The report out of the journal: the head, and each action in its order."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from orchestrator.clock import seconds_between, stamp
from orchestrator.journal.entries import RunInfo, TenantRow, done_in
from orchestrator.journal.reader import Actions, JournalReader, SessionRow
from orchestrator.model import Outcome, Problem, Provenance, Records, add_known
from orchestrator.report.headline import headline
from orchestrator.report.loaded import Report
from orchestrator.report.schema import (
    SCHEMA,
    ActionEntry,
    CallTotals,
    DuplicateEntry,
    FindingEntry,
    PlanEntry,
    RecordTotals,
    RunEntry,
    SourceEntry,
    StopEntry,
    Summary,
    TenantEntry,
    TenantRunEntry,
    Timing,
    VerificationEntry,
)


def read_report(reader: JournalReader, run_dir: Path | None = None) -> Report:
    """The whole report of the run in ``run_dir``, in memory."""
    run, summary = read_head(reader)
    return Report(SCHEMA, run, summary, list(read_actions(reader)), run_dir=run_dir)


def read_head(reader: JournalReader) -> tuple[RunEntry, Summary]:
    """The head of the report, above the actions. Raises StorageError where the journal holds no run."""
    info = reader.run()
    sessions = reader.sessions()
    tenants = reader.tenants()
    addresses = {name: row.info.base_url for name, row in tenants.items()} or {"": info.base_url}
    hosts = {name: _file_host(reader, name, address) for name, address in addresses.items()}
    run = _run(reader, info, sessions, tenants, hosts)
    summary = _summary(reader, info, sessions, tenants)
    unread = [source.name for source in reader.sources() if not source.complete]
    said = headline(run, summary, reader.failures(), unread, reader.missing_files(), reader.missing)
    return msgspec.structs.replace(run, headline=said), summary


def read_actions(
    reader: JournalReader, which: Actions = "actions", outcomes: Sequence[Outcome] = ()
) -> Iterator[ActionEntry]:
    """The rows of the input, each once, in input order. ``which`` and ``outcomes`` as in `JournalReader.actions`."""
    return _entries(reader, reader.actions(which, outcomes))


def read_first_to_stop(reader: JournalReader, most: int) -> list[ActionEntry]:
    """At most ``most`` actions that are stopped next, in the order of the run."""
    return list(_entries(reader, reader.first_to_stop(most)))


def read_action(reader: JournalReader, seq: int) -> ActionEntry | None:
    """The row ``seq`` of the input, or None."""
    return next(_entries(reader, reader.action(seq)), None)


def _entries(reader: JournalReader, found: Iterator[tuple[Any, ...]]) -> Iterator[ActionEntry]:
    names = {source.id: source.name for source in reader.sources()}
    any_duplicates = reader.any_duplicate()
    info = reader.run()
    planned, several = info.command == "plan", bool(info.tenants)
    for row in found:
        sources: list[int] = []
        rows: list[int] = []
        # A key may have a million duplicates: as pairs they would take three times the room.
        for where, number in reader.duplicates_of(row[0]) if any_duplicates else ():
            sources.append(where)
            rows.append(number)
        yield _action(row, names, sources, rows, planned=planned, several=several)


def _action(
    row: Any, names: dict[int, str], sources: list[int], rows: list[int], *, planned: bool, several: bool
) -> ActionEntry:
    """One row of the report's query; its duplicates are in ``rows`` of ``sources``."""
    (
        _, key, source, number, labels, outcome, status, action_type, provenance, attempts, accepted_at, track_id,
        request_id, lost, total, processed, succeeded, failed, unprocessed, held, counts_from, mismatch, speed, error,
        _, tenant,
    ) = row  # fmt: skip
    origin = _provenance(provenance) if provenance else _UNKNOWN
    answer: Literal["lost"] | None = (
        "lost" if lost and accepted_at is None and outcome == Outcome.STOPPED else None
    )
    elsewhere = sources.count(source) < len(sources)
    return ActionEntry(
        bulk_key=key,
        source=names[source],
        row=number,
        duplicate_rows=rows,
        labels=_labels(labels) if labels else {},
        outcome=_OUTCOMES[outcome],
        status=status,
        action_type=action_type,
        uploaded_by=origin.uploaded_by,
        uploaded_on=origin.uploaded_on,
        started_on=origin.started_on,
        ended_on=origin.ended_on,
        stop=StopEntry(attempts, accepted_at, track_id, request_id, answer),
        records=Records(total, processed, succeeded, failed, unprocessed, counts_from, held),
        error=_problem(error) if error else None,
        duplicates=[DuplicateEntry(names[where], at) for where, at in zip(sources, rows, strict=True)]
        if elsewhere
        else None,
        mismatch=_counts(mismatch) if mismatch else None,
        plan=PlanEntry(speed, unprocessed, done_in(unprocessed, speed))
        if planned and outcome == Outcome.WOULD_STOP
        else None,
        tenant=tenant if several else None,
    )


def _file_host(reader: JournalReader, tenant: str, base_url: str) -> str | None:
    """The first host other than the tenant's own that an address of a response file names."""
    own = _host(base_url)
    hosts = map(_host, reader.foreign_file_addresses(tenant, f"{base_url.rstrip('/')}/"))
    return next((host for host in hosts if host and host != own), None)


def _host(address: str) -> str | None:
    """Host and port of ``address``, without a user name; None for a relative or broken address."""
    try:
        return urlsplit(address).netloc.rpartition("@")[2].casefold() or None
    except ValueError:
        return None


def _run(
    reader: JournalReader,
    info: RunInfo,
    sessions: list[SessionRow],
    tenants: dict[str, TenantRow],
    file_hosts: dict[str, str | None],
) -> RunEntry:
    last = sessions[-1]
    return RunEntry(
        id=info.id,
        command=info.command,
        version=info.version,
        started_at=info.started_at,
        ended_at=last.ended_at,
        duration_seconds=seconds_between(stamp(info.process_started_at), last.ended_at),
        tenant=None
        if tenants
        else TenantEntry(info.base_url, info.entity_id, info.org_ids, file_host=file_hosts.get("")),
        sources=[SourceEntry(one.name, one.sha256, one.rows) for one in reader.sources()],
        state=last.state,  # type: ignore[arg-type]  # checked when the journal was opened
        reason=last.reason,
        resumed=len(sessions) - 1,
        exit_status=last.exit_status,
        operator=sessions[0].operator,
        resumed_by=[session.operator for session in sessions[1:]] or None,
        verifications=_verifications(reader, several=bool(tenants)) or None,
        tenants={
            name: TenantRunEntry(
                row.info.base_url,
                row.info.entity_id,
                row.info.org_ids,
                file_hosts.get(name),
                state=row.state,
                reason=row.reason,
            )
            for name, row in tenants.items()
        }
        or None,
    )


def _verifications(reader: JournalReader, *, several: bool) -> list[VerificationEntry]:
    return [
        VerificationEntry(
            *found[1:],
            [
                FindingEntry(key, source, row, kind, message, tenant if several else None)
                for key, source, row, tenant, kind, message in reader.findings(found.n, MOST_FINDINGS)
            ],
        )
        for found in reader.verifications()
    ]


class _Counts:
    """The counts for a summary: of one tenant, or of several together."""

    def __init__(self) -> None:
        self.outcomes: Counter[Outcome] = Counter()
        self.sums: list[int | None] = [None] * _SUMS
        self.duplicates = 0
        self.token_calls = 0
        self.first_stop: str | None = None
        self.last_stop: str | None = None
        self.settled: str | None = None

    def add(
        self, sums: list[int | None], first_stop: str | None, last_stop: str | None, settled: str | None
    ) -> None:
        self.sums = list(map(add_known, self.sums, sums))
        self.first_stop = min(filter(None, (self.first_stop, first_stop)), default=None)
        self.last_stop = max(filter(None, (self.last_stop, last_stop)), default=None)
        self.settled = max(filter(None, (self.settled, settled)), default=None)

    def summary(self, start: str) -> Summary:
        keys, malformed, *records = self.sums[:_RECORDS]
        stops, statuses, files, retried, throttled, hedged = (count or 0 for count in self.sums[_RECORDS:])
        if not keys and not malformed:  # nothing is unknown where there is no row
            records = [0] * len(records)
        return Summary(
            keys=keys or 0,
            duplicates=self.duplicates,
            malformed=malformed or 0,
            outcomes=dict(self.outcomes),
            records=RecordTotals(*records),
            calls=CallTotals(stops, statuses, files, self.token_calls, retried, throttled, hedged),
            timing=Timing(
                seconds_between(start, self.first_stop),
                seconds_between(start, self.last_stop),
                seconds_between(start, self.settled),
            ),
        )


_SUMS = 14
_RECORDS = 8
"""Columns of the statement ``summaries`` that are added up, and those of them before the numbers of calls."""

_UNKNOWN = Provenance()
_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
_labels = msgspec.json.Decoder(dict[str, str]).decode
_provenance = msgspec.json.Decoder(Provenance).decode
_problem = msgspec.json.Decoder(Problem).decode
_counts = msgspec.json.Decoder(dict[str, Records]).decode

MOST_FINDINGS = 100
"""Findings of one verification in the report."""


def _summary(
    reader: JournalReader, info: RunInfo, sessions: list[SessionRow], tenants: dict[str, TenantRow]
) -> Summary:
    every = _Counts()
    of: defaultdict[str, _Counts] = defaultdict(_Counts)
    for *sums, first_stop, last_stop, completed, tenant in reader.summaries():
        for counts in (every, of[tenant]):
            counts.add(sums, first_stop, last_stop, completed)
    for tenant, outcome, count in reader.outcomes_by_tenant():
        for counts in (every, of[tenant]):
            counts.outcomes[Outcome(outcome)] += count
    for tenant, count in reader.duplicates_by_tenant():
        for counts in (every, of[tenant]):
            counts.duplicates += count
    for name, row in tenants.items():
        of[name].token_calls = row.token_calls
    every.token_calls = sum(row.token_calls for row in sessions) + sum(
        one.token_calls for one in tenants.values()
    )
    start = stamp(info.process_started_at)
    summary = every.summary(start)
    if not tenants:
        return summary
    return msgspec.structs.replace(summary, by_tenant={name: of[name].summary(start) for name in tenants})
