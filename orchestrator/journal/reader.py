"""Every query that the product asks a journal, as a method. No other package contains SQL."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

import msgspec

from orchestrator.errors import StorageError
from orchestrator.journal.database import sql
from orchestrator.journal.digest import NAMED, REASONS, Failures, Named, Planned, PlanTotals, Reason
from orchestrator.journal.entries import (
    Counts,
    FindingKind,
    Operator,
    RunInfo,
    SourceInfo,
    TenantInfo,
    TenantRow,
)
from orchestrator.model import OVER, InputRow, Outcome, Problem

Actions = Literal["actions", "actions_by_outcome", "unsettled"]
"""Which rows of the input, and in which order: all in that of the input, by outcome, or those without an end."""

Moment = Literal["accepted_over_time", "settled_over_time", "failures_over_time", "pace_over_time"]


class SessionRow(NamedTuple):
    """One process that worked on the run."""

    n: int
    started_at: str
    ended_at: str | None
    state: str
    reason: str | None
    exit_status: int | None
    token_calls: int
    operator: Operator | None


class VerificationRow(NamedTuple):
    """One verification of the run, with the number of its findings of each kind."""

    n: int
    started_at: str
    ended_at: str
    keys: int
    over: int
    not_over: int
    changed: int
    unread: int


class JournalReader:
    """Reads the journal behind ``connection``. Every method may raise sqlite3.Error.

    ``missing`` are sentences on what the journal has lost. Then nothing may call the run over.
    """

    def __init__(self, connection: sqlite3.Connection, missing: Sequence[str] = ()) -> None:
        self.missing = tuple(missing)
        self._connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Only for a reader that does not belong to a session at work."""
        self._connection.close()

    # The run

    def run(self) -> RunInfo:
        """The run as its first session described it. Raises StorageError if the journal holds no run."""
        row = self._one("run")
        if row is None:
            raise StorageError("The journal holds no run: its first commit did not come through.")
        values = dict(zip(RunInfo.__struct_fields__, row, strict=False))
        values |= {name: msgspec.json.decode(values[name]) for name in ("org_ids", "settings")}
        values["tenants"] = {name: found.info for name, found in self.tenants().items()}
        return msgspec.convert(values, RunInfo)

    def tenants(self) -> dict[str, TenantRow]:
        """The tenants of a run with several, by name, in the order of their file."""
        return {
            name: TenantRow(
                TenantInfo(base_url, entity_id, msgspec.json.decode(org_ids, type=tuple[str, ...])),
                state, reason, token_calls,
            )
            for name, base_url, entity_id, org_ids, state, reason, token_calls in self._rows("tenants")
        }  # fmt: skip

    def sessions(self) -> list[SessionRow]:
        """Every session, the first one first."""
        return [
            SessionRow._make((*row, operator and msgspec.json.decode(operator, type=Operator)))
            for *row, operator in self._rows("sessions")
        ]

    def verifications(self) -> list[VerificationRow]:
        """Every verification, the first one first."""
        return [VerificationRow(*row) for row in self._rows("verifications")]

    def findings(self, verification: int, most: int) -> Iterator[tuple[str, str, int, str, FindingKind, str]]:
        """Key, source, row, tenant, kind and message of the first findings of a verification."""
        return self._rows("findings", verification=verification, most=most)

    def sources(self) -> list[SourceInfo]:
        """Every source, in the order they were given."""
        return [
            msgspec.convert(
                dict(zip(SourceInfo.__struct_fields__, row, strict=True)), SourceInfo, strict=False
            )
            for row in self._rows("sources")
        ]

    def counts_by_tenant(self) -> dict[str, Counts]:
        """The progress of each tenant's keys, by its name."""
        return {name: Counts(*counts) for name, *counts in self._rows("counts_by_tenant")}

    # Outcomes

    def outcomes(self) -> dict[str, int]:
        """The number of actions by outcome."""
        return dict(self._rows("outcomes"))

    def any_possibly_stopped(self) -> bool:
        """Whether the tenant accepted a stop, or may have carried out one that it did not answer."""
        return bool(self._value("any_possibly_stopped"))

    def any_stop_sent(self) -> bool:
        """Whether a stop was sent. Refusals for the credentials (HTTP 401) do not count."""
        return bool(self._value("any_stop_sent"))

    def all_credentials_refused(self) -> bool:
        """Whether every key was refused, and only because of the credentials."""
        return bool(self._value("all_credentials_refused"))

    def refused(self, *, every: bool) -> dict[int, str]:
        """The refused keys that a resumed run tries again, with the error: those of bad credentials, or ``every``."""
        return dict(self._rows("refused", every=every))

    def still_refused(self, refused: Mapping[int, str]) -> list[tuple[int, Problem]]:
        """Those of the ``refused`` keys of an earlier session that this one did not try, with the refusal."""
        return [
            (seq, msgspec.json.decode(error, type=Problem))
            for seq, error in self._rows("unsent_errors")
            if refused.get(seq) == error
        ]

    def filed_keys(self) -> list[tuple[str, str, str | None]]:
        """Tenant, key and action type of each action whose response file was counted, in input order."""
        return list(self._rows("filed_keys"))

    def missing_files(self) -> int:
        """Response files that the tenant offers and that could not be downloaded or understood."""
        return int(self._value("files_missing"))

    def payments_since(self) -> str | None:
        """When the first action started that made payments, as the tenant writes it; None if none did."""
        found: str | None = self._value("payments_since")
        return found

    def support(self, outcomes: Sequence[Outcome], most: int) -> Iterator[tuple[Any, ...]]:
        """Keys with one of ``outcomes``: a row for each of the last ``most`` failed calls, or one row without."""
        return self._rows("support", outcomes=json.dumps(outcomes), most=most)

    def bulk_keys(self) -> Iterator[tuple[int, str, str]]:
        """Number, key and tenant of each action, in input order."""
        return self._rows("bulk_keys")

    def planned(self) -> Iterator[InputRow]:
        """The keys of a plan with their speed as weight."""
        for row, key, labels, speed, tenant in self._rows("planned"):
            yield InputRow(row, key, msgspec.json.decode(labels) if labels else {}, speed, tenant=tenant)

    # The input

    def any_key(self) -> bool:
        """Whether a row holds a key."""
        return bool(self._value("any_key"))

    def case_twins(self, most: int) -> list[tuple[str, str]]:
        """At most ``most`` pairs of keys that differ only in case."""
        return list(self._rows("case_twins", most=most))

    # The report

    def actions(
        self, which: Actions = "actions", outcomes: Sequence[Outcome] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """Rows of the view ``reported_action``. ``outcomes`` are those that come first, by ``actions_by_outcome``."""
        return self._rows(which, outcomes=json.dumps(outcomes))

    def first_to_stop(self, most: int) -> Iterator[tuple[Any, ...]]:
        """At most ``most`` rows of the view ``reported_action``: those that are stopped next, in that order."""
        return self._rows("first_to_stop", most=most)

    def action(self, seq: int) -> Iterator[tuple[Any, ...]]:
        """The row ``seq`` of the view ``reported_action``."""
        return self._rows("action", seq=seq)

    def any_duplicate(self) -> bool:
        """Whether a key is in the input twice."""
        return bool(self._value("any_duplicate"))

    def duplicates_of(self, seq: int) -> Iterator[tuple[int, int]]:
        """Source and row of each duplicate of the action ``seq``."""
        return self._rows("duplicates_of", first=seq)

    def foreign_file_addresses(self, tenant: str, own: str) -> Iterator[str]:
        """Addresses of response files that do not start with ``own``."""
        return (address for (address,) in self._rows("foreign_file_addresses", tenant=tenant, own=own))

    def summaries(self) -> Iterator[tuple[Any, ...]]:
        """Sums and times of each tenant; its name is the last column."""
        return self._rows("summaries")

    def outcomes_by_tenant(self) -> Iterator[tuple[str, str, int]]:
        """Tenant, outcome and number of actions."""
        return self._rows("outcomes_by_tenant")

    def duplicates_by_tenant(self) -> Iterator[tuple[str, int]]:
        """Tenant and number of duplicates."""
        return self._rows("duplicates_by_tenant")

    # The page

    def groups(self) -> Iterator[tuple[Any, ...]]:
        """Tenant, outcome, action type, source, and sums of each combination."""
        return self._rows("groups")

    def errors(self) -> list[tuple[Any, ...]]:
        """The errors at the end, the most frequent first."""
        return list(self._rows("errors"))

    def cases(self, outcome: Outcome, most: int) -> list[Named]:
        """The first actions with ``outcome``."""
        return [Named(*row) for row in self._rows("cases", outcome=outcome.value, most=most)]

    def setbacks(self) -> Iterator[tuple[str, str, int, int, str, str]]:
        """Call, kind, harmlessness (0 or 1), number, first and last time of the calls that failed on the way."""
        return self._rows("setbacks")

    def said_over(self) -> dict[str, int]:
        """By tenant, the keys that are over according to the tenant and whose status was not read."""
        return dict(self._rows("said_over"))

    def last_event(self, before: str) -> str | None:
        """The time of the last event before ``before``."""
        row = self._rows("last_event", before=before).fetchone()
        return None if row is None else row[0]

    def over_time(self, which: Moment, *, origin: float, width: float) -> Iterator[tuple[Any, ...]]:
        """Events in buckets of ``width`` seconds from ``origin``, each with the mean of its times."""
        return self._rows(which, origin=origin, width=width)

    # The last screen

    def reasons(self) -> list[Reason]:
        """The most frequent reasons for which keys need a person, each with its first keys."""
        fine = json.dumps([outcome.value for outcome in sorted(OVER | {Outcome.WOULD_STOP})])
        found: Iterable[tuple[str, str | None, int | None, str | None, int, int]]
        found = self._rows("needs_a_person", fine=fine, most=REASONS).fetchall()
        return [
            Reason(
                Outcome(outcome), keys, code, message or "",
                [
                    Named(*row)
                    for row in self._rows("needs_a_person_first", outcome=outcome, kind=kind, code=code, most=NAMED)
                ],
            )
            for outcome, kind, code, message, keys, _ in found
        ]  # fmt: skip

    def failures(self) -> list[Failures]:
        """How keys failed that are not known to be over, the most frequent way first."""
        return [
            Failures(Outcome(outcome), kind, keys, said_over, key, message or "")
            for outcome, kind, keys, said_over, _, key, message in self._rows("failures")
        ]

    def plan_totals(self) -> dict[str, PlanTotals]:
        """Sums over the actions that a run would stop, by tenant; in a run of one, its name is empty."""
        return {tenant: PlanTotals(*sums) for tenant, *sums in self._rows("plan_totals")}

    def plan_first(self, most: int) -> list[Planned]:
        """The first ``most`` actions that a run by this plan would stop."""
        return [Planned(*row) for row in self._rows("plan_first", most=most)]

    def _rows(self, name: str, **values: Any) -> sqlite3.Cursor:
        return self._connection.execute(sql(name), values)

    def _one(self, name: str) -> Any:
        return self._rows(name).fetchone()

    def _value(self, name: str) -> Any:
        return self._one(name)[0]
