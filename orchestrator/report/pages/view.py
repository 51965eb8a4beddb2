"""What the page and the Markdown form show, read from the journal: the report's numbers, added up by group."""

import shlex
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from orchestrator.durations import show_duration
from orchestrator.journal.database import statements
from orchestrator.journal.entries import RunInfo
from orchestrator.journal.reader import JournalReader
from orchestrator.model import GOOD, RESUMABLE, Outcome
from orchestrator.printable import printable
from orchestrator.report import Headline, RunEntry, Summary, read_head
from orchestrator.report.pages.breakdowns import Breakdown, Cell, Sums, added, read_breakdowns
from orchestrator.report.wording import (
    OUTCOMES,
    Group,
    Words,
    error_words,
    group_of,
)
from orchestrator.settings import SETTINGS, Rate, Setting, Settings, TenantKind, Threshold, kind_of_tenant

FIRST = 20
"""How many actions of each outcome that needs a person are named at once."""

MOST_ERRORS = 100
"""Kinds of errors that are shown: their codes are the tenant's."""


class Case(Struct, frozen=True):
    """One action that needs a person; ``tenant`` is empty in a run of one."""

    bulk_key: str
    source: str
    row: int
    message: str
    tenant: str


class Cases(Struct, frozen=True):
    """The actions of one outcome that needs a person: the first of them, and how many there are."""

    outcome: Outcome
    words: Words
    count: int
    first: list[Case]


class Failing(Struct, frozen=True):
    """Errors of one kind among the actions of one outcome, with the first of them as the example.

    ``tenant`` is the first's, ``tenants`` are all that have such errors; a run of one has neither.
    """

    outcome: Outcome
    kind: str
    words: Words
    code: int | None
    http_status: int | None
    actions: int
    bulk_key: str
    message: str
    tenant: str
    tenants: list[str]

    @property
    def outcome_title(self) -> str:
        return OUTCOMES[self.outcome].title


class Setback(Struct, frozen=True):
    """Calls of one sort (stop, status, file) that failed in one way, and when the first and the last did."""

    call: str
    words: Words
    calls: int
    first_at: str
    last_at: str


class Fate(Struct, frozen=True):
    """What became of the records. The four kinds of records not processed add up to the report's ``unprocessed``.

    A number is None if it is known of no action.
    """

    succeeded: int | None
    failed: int | None
    saved: int | None
    """Not processed, in actions that this run stopped."""
    spared: int | None
    """Not processed, in actions that were over without this run."""
    at_risk: int | None
    """Not processed yet, in actions that are not known to be over."""
    held: int
    """Not processed, because a record of their group failed before."""
    uncounted: int
    """Actions whose records are not known."""

    @property
    def counted(self) -> int:
        """Records whose fate is known."""
        numbers = (self.succeeded, self.failed, self.saved, self.spared, self.at_risk, self.held)
        return sum(number or 0 for number in numbers)


_TOLD = (
    "expect_action_type", "expect_uploaded_by", "strict", "order", "concurrency", "headroom", "rate", "max_attempts",
    "timeout", "deadline", "settle", "max_failures", "no_results",
)  # fmt: skip


class Place(Struct, frozen=True):
    """One tenant of the run; ``name`` is empty where it is the only one."""

    name: str
    base_url: str
    entity_id: str | None
    org_ids: tuple[str, ...]
    file_host: str | None

    @property
    def kind(self) -> TenantKind:
        return kind_of_tenant(self.base_url)


class View(Struct, frozen=True):
    """One run, ready to be shown."""

    run: RunEntry
    summary: Summary
    info: RunInfo
    places: list[Place]
    headline: Headline
    groups: dict[Group, int]
    fate: Fate
    breakdowns: list[Breakdown]
    cases: list[Cases]
    errors: list[Failing]
    more_errors: int
    """Kinds of errors that are not in ``errors``."""
    setbacks: list[Setback]
    tenants: bool
    payments_since: str | None
    """Whether the run has several tenants, by name."""

    @property
    def actions(self) -> int:
        return sum(self.groups.values())

    @property
    def records_known(self) -> bool:
        """Whether the records of any action are known."""
        return self.summary.records.total is not None

    @property
    def open_ends(self) -> bool:
        """Whether ``resume`` has something to continue. A drill's tenant is gone."""
        return self.run.command != "drill" and any(
            self.summary.outcomes.get(outcome) for outcome in RESUMABLE
        )

    @property
    def tenants_option(self) -> str:
        """``--tenants FILE`` for a command that continues this run; empty where no file names its tenants."""
        file = self.info.settings.get("tenants")
        return f" --tenants {printable(shlex.quote(file))}" if isinstance(file, str) else ""

    @property
    def limits(self) -> list[tuple[str, str]]:
        """The options on pace, ends and guards: those that are not at their default."""
        settings = msgspec.convert(self.info.settings, Settings)
        told = ((SETTINGS[name], getattr(settings, name)) for name in _TOLD)
        return [(one.option, printable(_shown(one, value))) for one, value in told if value != one.default]


def read_view(reader: JournalReader) -> View:
    """Raises StorageError where the journal holds no run."""
    run, summary = read_head(reader)
    info = reader.run()
    cells = [
        Cell(tenant, Outcome(outcome), action_type, source, Sums(*sums))
        for tenant, outcome, action_type, source, *sums in reader.groups()
    ]
    groups: dict[Group, int] = {"stopped": 0, "over": 0, "person": 0, "planned": 0}
    for cell in cells:
        groups[group_of(cell.outcome)] += cell.sums.actions
    tenants = any(cell.tenant for cell in cells)
    errors = reader.errors()
    return View(
        run=run,
        summary=summary,
        info=info,
        places=_places(run),
        headline=_headline(run),
        groups=groups,
        fate=_fate(cells),
        breakdowns=read_breakdowns(reader, cells, tenants=tenants),
        cases=list(_cases(reader, summary)),
        errors=[_failing(*row) for row in errors[:MOST_ERRORS]],
        more_errors=max(0, len(errors) - MOST_ERRORS),
        setbacks=[
            Setback(call, error_words(kind), calls, first_at, last_at)
            for call, kind, calls, first_at, last_at in reader.setbacks()
        ],
        tenants=tenants,
        payments_since=reader.payments_since(),
    )


def _headline(run: RunEntry) -> Headline:
    assert isinstance(run.headline, Headline)
    said = run.headline
    return msgspec.structs.replace(said, quote=printable(said.quote), key=said.key and printable(said.key))


def _places(run: RunEntry) -> list[Place]:
    tenants = run.tenants or {} if run.tenant is None else {"": run.tenant}
    return [
        Place(printable(name), printable(one.base_url), one.entity_id, one.org_ids, one.file_host)
        for name, one in tenants.items()
    ]


def _fate(cells: list[Cell]) -> Fate:
    every = sum((cell.sums for cell in cells), Sums())
    groups = added(cells, lambda cell: group_of(cell.outcome))
    stopped, over, person, planned = (
        groups.get(group, Sums()) for group in ("stopped", "over", "person", "planned")
    )
    return Fate(
        succeeded=every.succeeded,
        failed=every.failed,
        saved=_left(stopped),
        spared=_left(over),
        at_risk=_left(person + planned),
        held=every.held or 0,
        uncounted=every.actions - every.known,
    )


def _left(sums: Sums) -> int | None:
    """Records not processed, without those behind a failed record of their group."""
    return None if sums.unprocessed is None else sums.unprocessed - (sums.held or 0)


def _cases(reader: JournalReader, summary: Summary) -> Iterable[Cases]:
    for outcome, words in OUTCOMES.items():
        count = summary.outcomes.get(outcome, 0)
        if count and outcome not in GOOD:
            rows = reader.cases(outcome, FIRST)
            first = [
                Case(printable(key), printable(source), row, printable(message or ""), printable(tenant))
                for key, source, row, message, tenant in rows
            ]
            yield Cases(outcome, words, count, first)


def _failing(
    outcome: str,
    kind: str,
    code: int | None,
    http_status: int | None,
    actions: int,
    _: int,
    key: str,
    message: str,
    tenant: str,
    tenants: str,
) -> Failing:
    return Failing(
        Outcome(outcome),
        kind,
        error_words(kind),
        code,
        http_status,
        actions,
        printable(key),
        printable(message or ""),
        printable(tenant),
        sorted(printable(name) for name in msgspec.json.decode(tenants, type=list[str]) if name),
    )


def _shown(setting: Setting, value: Any) -> str:
    match value:
        case True:
            return "yes"
        case tuple():
            return ", ".join(map(setting.form.show, value))
        case Rate(calls, seconds):
            return f"{calls:,} calls in {show_duration(seconds)}"
        case Threshold(count, share):
            return f"{count:,} keys" if share is None else f"{100 * share:g} % of the keys"
    return setting.form.show(value)


def _sql(name: str) -> str:
    return statements("page.sql")[name]
