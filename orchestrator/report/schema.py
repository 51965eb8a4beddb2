"""The form of the report, as ``report.json`` holds it."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from orchestrator.journal.entries import FindingKind, Operator, TenantState
from orchestrator.model import Outcome, Problem, Records

SCHEMA: Literal["mass-stop/report/1"] = "mass-stop/report/1"


class TenantEntry(Struct, frozen=True):
    """The tenant, and which entity and organisations of it the run was about.

    ``file_host`` is the host that the addresses of response files name, if it is not the tenant's own. The files
    themselves come from ``base_url``.
    """

    base_url: str
    entity_id: str | None
    org_ids: tuple[str, ...]
    file_host: str | None = None


class TenantRunEntry(TenantEntry, frozen=True, kw_only=True):
    """One of several tenants, with the state of its part of the run, and why that part ended early."""

    state: TenantState
    reason: str | None


class SourceEntry(Struct, frozen=True):
    """``sha256`` is of the bytes as read; null while the source was not read to its end."""

    name: str
    sha256: str | None
    rows: int


class FindingEntry(Struct, frozen=True, omit_defaults=True):
    """An action that is not over, that changed after its end, or whose status could not be read."""

    bulk_key: str
    source: str
    row: int
    kind: FindingKind
    message: str
    tenant: str | None = None


class VerificationEntry(Struct, frozen=True):
    """All statuses, read again after the run by ``mass-stop verify``.

    ``over`` of the ``keys`` are over. ``not_over``, ``changed`` and ``unread`` count the findings, of which
    ``findings`` has the first 100.
    """

    started_at: str
    ended_at: str
    keys: int
    over: int
    not_over: int
    changed: int
    unread: int
    findings: list[FindingEntry]

    @property
    def held(self) -> bool:
        """Whether every action is over and unchanged."""
        return self.over == self.keys and not (self.changed or self.unread)


Tone = Literal["good", "bad", "open", "plan"]


class Headline(Struct, frozen=True):
    """Whether it is over, as every form of the report says it.

    ``quote`` ends the sentence in the words of the tenant or of the input. ``details`` are further sentences.
    ``first_step`` is what to do before the run is resumed, with ``mass-stop check``; ``key`` is a key to check.
    """

    tone: Tone
    title: str
    sentence: str
    quote: str = ""
    details: list[str] = []
    first_step: str | None = None
    key: str | None = None

    @property
    def text(self) -> str:
        """The headline on one line."""
        return f"{self.title}: {self.sentence[0].lower()}{self.sentence[1:]} {self.quote}".rstrip()


class RunEntry(Struct, frozen=True, omit_defaults=True):
    """The run as a whole; ``resumed`` counts the sessions after the first.

    A run of several tenants has them in ``tenants``, by name, and null as its ``tenant``. ``operator`` is null where
    the journal does not know it. ``resumed_by`` has the operator of each later session.
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
    operator: Operator | None
    resumed_by: list[Operator | None] | None = None
    tenants: dict[str, TenantRunEntry] | None = None
    verifications: list[VerificationEntry] | None = None
    headline: Headline | None = None

    @property
    def tenants_by_name(self) -> Mapping[str, TenantEntry]:
        """The tenants by name. In a run of one tenant, its name is empty."""
        return self.tenants or {} if self.tenant is None else {"": self.tenant}


class RecordTotals(Struct, frozen=True):
    """Sums over all actions whose counts are known; null if no action has that count.

    ``held_by_group`` are the unprocessed records behind a failed record of their own group. Only response files show
    them.
    """

    total: int | None
    processed: int | None
    succeeded: int | None
    failed: int | None
    unprocessed: int | None
    held_by_group: int | None


class CallTotals(Struct, frozen=True):
    """Calls made. ``retried`` repeated a call that had failed, ``throttled`` were refused for the tenant's limits.

    ``hedged`` calls were sent because the call in flight was slow.
    """

    stop: int
    status: int
    file: int
    token: int
    retried: int
    throttled: int
    hedged: int


class Timing(Struct, frozen=True):
    """Seconds from the start of the process: the first stop sent, the last accepted, the last key settled."""

    first_stop_seconds: float | None
    last_stop_seconds: float | None
    settled_seconds: float | None


class Summary(Struct, frozen=True, omit_defaults=True):
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
    by_tenant: "dict[str, Summary] | None" = None

    @property
    def summaries_by_name(self) -> Mapping[str, "Summary"]:
        """The summaries of the tenants by name. In a run of one tenant, its name is empty."""
        return {"": self} if self.by_tenant is None else self.by_tenant


class StopEntry(Struct, frozen=True, omit_defaults=True):
    """``answer`` is present if the response to our stop was lost and the status shows that the stop worked."""

    attempts: int
    accepted_at: str | None
    track_id: str | None
    request_id: str | None
    answer: Literal["lost"] | None = None


class DuplicateEntry(Struct, frozen=True):
    """Where a key occurred once more."""

    source: str
    row: int


class PlanEntry(Struct, frozen=True):
    """``plan`` only: speed as seen between two readings, null where the action was not being processed.

    ``remaining`` records are what a stop saves; ``done_in_seconds`` is when they would all have been processed.
    """

    records_per_second: float | None
    remaining: int | None
    done_in_seconds: float | None


class ActionEntry(Struct, frozen=True, omit_defaults=True):
    """One action. ``duplicates`` is present if a duplicate is in another source than the first.

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
    uploaded_by: str | None
    uploaded_on: str | None
    started_on: str | None
    ended_on: str | None
    stop: StopEntry
    records: Records
    error: Problem | None
    duplicates: list[DuplicateEntry] | None = None
    mismatch: dict[str, Records] | None = None
    plan: PlanEntry | None = None
    tenant: str | None = None


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
