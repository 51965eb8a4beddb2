"""The list for Zuora support: the calls of each key whose end is not known, with their codes and ids, as text."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import msgspec

from orchestrator.journal.reader import JournalReader
from orchestrator.model import Outcome, Problem
from orchestrator.printable import printable
from orchestrator.report.building import read_head
from orchestrator.report.schema import TenantEntry
from orchestrator.report.writing import Write

LISTED = (Outcome.UNCONFIRMED, Outcome.UNREACHABLE)
"""The outcomes that support can explain."""

MOST_CALLS = 10
"""The last failed calls of one key that are listed."""

_OPERATIONS = {
    "stop": "PUT /v1/bulk/{}/stop",
    "status": "GET /v1/bulk/{}",
    "file": "GET /v1/files (response file of {})",
}


def write_support(reader: JournalReader, write: Write, only: Sequence[Outcome] = ()) -> None:
    """Write the list to ``write``, one key at a time: those of `LISTED`, or ``only`` those of some outcomes."""
    outcomes = only or LISTED
    run, summary = read_head(reader)
    head = [
        *(_tenant(name, tenant) for name, tenant in run.tenants_by_name.items()),
        f"Run: {run.id}, from {run.started_at} to {run.ended_at or 'now'} (UTC), mass-stop {run.version}",
        *(f"{outcome.value}: {summary.outcomes.get(outcome, 0):,} mass actions" for outcome in outcomes),
    ]
    write(_text(head))
    for _, rows in groupby(reader.support(outcomes, MOST_CALLS), key=lambda row: row[:2]):
        write(_text(["", *_key(list(rows))]))


def _tenant(name: str, tenant: TenantEntry) -> str:
    parts = [f"Tenant{f' {name}' if name else ''}: {tenant.base_url}"]
    if tenant.entity_id:
        parts.append(f"entity {tenant.entity_id}")
    if tenant.org_ids:
        parts.append(f"organisations {', '.join(tenant.org_ids)}")
    return ", ".join(parts)


def _key(rows: list[tuple[Any, ...]]) -> Iterator[str]:
    key, tenant, outcome, status, accepted_at, track_id, request_id, *_ = rows[0]
    yield ", ".join(
        filter(None, (key, tenant and f"tenant {tenant}", outcome, status and f"last status {status}"))
    )
    if accepted_at is not None:
        yield f"  {accepted_at}  {_OPERATIONS['stop'].format(key)}  accepted{_ids(request_id, None, track_id)}"
    failed = False
    for *_, at, call, failed_track_id, problem in rows:
        if at is not None:
            failed = True
            yield f"  {at}  {_OPERATIONS[call].format(key)}  {_failure(problem, failed_track_id)}"
    if accepted_at is None and not failed:
        yield "  No call of this key has failed, and none was accepted."


def _failure(encoded: str, track_id: str | None) -> str:
    problem = msgspec.json.decode(encoded, type=Problem)
    parts = [problem.kind]
    if problem.http_status is not None:
        parts.append(f"HTTP {problem.http_status}")
    if problem.code is not None:
        parts.append(f"code {problem.code}")
    ids = _ids(problem.request_id, problem.process_id, track_id)
    return f"{', '.join(parts)}{ids}{f': {problem.message}' if problem.message else ''}"


def _ids(request_id: str | None, process_id: str | None, track_id: str | None) -> str:
    named = (("request id", request_id), ("process id", process_id), ("track id", track_id))
    return "".join(f", {name} {value}" for name, value in named if value)


def _text(lines: list[str]) -> bytes:
    return "".join(f"{printable(line)}\n" for line in lines).encode()
