"""What the page and the Markdown form show, read from the journal: the report's numbers, added up by group."""

import shlex
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import Struct, structs

from orchestrator.journal.database import statements
from orchestrator.journal.entries import RunInfo, read_run
from orchestrator.model import GOOD, RESUMABLE, Outcome
from orchestrator.printable import printable
from orchestrator.report import RunEntry, Summary, read_head
from orchestrator.report.pages.wording import (
    OUTCOMES,
    Group,
    Headline,
    Words,
    error_words,
    group_of,
    headline,
)
from orchestrator.settings import (
    SETTINGS,
    Rate,
    Setting,
    Settings,
    TenantKind,
    Threshold,
    kind_of_tenant,
    show_duration,
)

FIRST = 20
"""How many actions of each outcome that needs a person are named at once."""

MOST_SHARES = 200
MOST_ERRORS = 100
"""Lines of one breakdown, and kinds of errors, that are shown: action types and codes are the tenant's texts."""

NO_TYPE = "not known"


class Sums(Struct, frozen=True):
    """Actions of one kind; ``known`` of them have counts, and the counts are of their records."""

    actions: int = 0
    known: int = 0
    total: int = 0
    processed: int = 0
    succeeded: int = 0
    failed: int = 0
    unprocessed: int = 0

    @property
    def counted(self) -> int:
        """Records whose fate is known. It may differ from ``total`` where a tenant's own counts do not add up."""
        return self.succeeded + self.failed + self.unprocessed

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, name) + getattr(other, name) for name in self.__struct_fields__))


class Share(Struct, frozen=True):
    """One line of a breakdown. ``field`` and ``value`` say which actions it counts, in the table's terms.

    ``value`` is empty for a line that adds up all others.
    """

    name: str
    field: str
    value: str
    sums: Sums


class Breakdown(Struct, frozen=True):
    """Actions and their records by one property: ``title`` is for the caption, ``column`` heads the names."""

    title: str
    column: str
    shares: list[Share]


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
    """What became of the records. The three kinds of records not processed add up to the report's ``unprocessed``."""

    succeeded: int
    failed: int
    saved: int
    """Not processed, in actions that this run stopped."""
    spared: int
    """Not processed, in actions that were over without this run."""
    at_risk: int
    """Not processed yet, in actions that are not known to be over."""
    uncounted: int
    """Actions whose records are not known."""

    @property
    def counted(self) -> int:
        """Records whose fate is known."""
        return self.succeeded + self.failed + self.saved + self.spared + self.at_risk


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
    """Whether the run has several tenants, told apart by name."""

    @property
    def actions(self) -> int:
        return sum(self.groups.values())

    @property
    def open_ends(self) -> bool:
        """Whether ``resume`` has something to go on with. A drill's tenant is gone."""
        return self.run.command != "drill" and any(
            self.summary.outcomes.get(outcome) for outcome in RESUMABLE
        )

    @property
    def has_remediation(self) -> bool:
        """Whether the run's response files were fetched, and their records sorted."""
        return self.run.command != "plan" and not self.info.settings.get("no_results")

    @property
    def tenants_option(self) -> str:
        """``--tenants FILE`` for a command that goes on with this run; empty where no file names its tenants."""
        file = self.info.settings.get("tenants")
        return f" --tenants {printable(shlex.quote(file))}" if isinstance(file, str) else ""

    @property
    def limits(self) -> list[tuple[str, str]]:
        """What the run was told about pace, ends and guards, as options: those that are not at their default."""
        settings = msgspec.convert(self.info.settings, Settings)
        told = ((SETTINGS[name], getattr(settings, name)) for name in _TOLD)
        return [(one.option, printable(_shown(one, value))) for one, value in told if value != one.default]


def read_view(connection: sqlite3.Connection) -> View:
    """Raises StorageError where the journal holds no run."""
    run, summary = read_head(connection)
    info = read_run(connection)
    cells = [
        _Cell(tenant, Outcome(outcome), action_type, source, Sums(*sums))
        for tenant, outcome, action_type, source, *sums in connection.execute(_sql("groups"))
    ]
    groups: dict[Group, int] = {"stopped": 0, "over": 0, "person": 0, "planned": 0}
    for cell in cells:
        groups[group_of(cell.outcome)] += cell.sums.actions
    tenants = any(cell.tenant for cell in cells)
    errors = connection.execute(_sql("errors")).fetchall()
    return View(
        run=run,
        summary=summary,
        info=info,
        places=_places(run),
        headline=headline(run, summary),
        groups=groups,
        fate=_fate(cells),
        breakdowns=_breakdowns(connection, cells, tenants=tenants),
        cases=list(_cases(connection, summary)),
        errors=[_failing(*row) for row in errors[:MOST_ERRORS]],
        more_errors=max(0, len(errors) - MOST_ERRORS),
        setbacks=[
            Setback(call, error_words(kind), calls, first_at, last_at)
            for call, kind, calls, first_at, last_at in connection.execute(_sql("setbacks"))
        ],
        tenants=tenants,
    )


def _places(run: RunEntry) -> list[Place]:
    told = run.tenants if isinstance(run.tenants, dict) else {}
    if run.tenant is not None:
        told = {"": run.tenant}
    return [
        Place(printable(name), printable(one.base_url), one.entity_id, one.org_ids, one.file_host)
        for name, one in told.items()
    ]


class _Cell(Struct, frozen=True):
    """What one row of the statement ``groups`` counts."""

    tenant: str
    outcome: Outcome
    action_type: str
    source: int
    sums: Sums


def _added(cells: Iterable[_Cell], by: Callable[[_Cell], Any]) -> dict[Any, Sums]:
    sums: dict[Any, Sums] = {}
    for cell in cells:
        sums[by(cell)] = sums.get(by(cell), Sums()) + cell.sums
    return sums


def _fate(cells: list[_Cell]) -> Fate:
    every = sum((cell.sums for cell in cells), Sums())
    rest = _added(cells, lambda cell: group_of(cell.outcome))
    left = {group: sums.unprocessed for group, sums in rest.items()}
    return Fate(
        succeeded=every.succeeded,
        failed=every.failed,
        saved=left.get("stopped", 0),
        spared=left.get("over", 0),
        at_risk=left.get("person", 0) + left.get("planned", 0),
        uncounted=every.actions - every.known,
    )


def _breakdowns(connection: sqlite3.Connection, cells: list[_Cell], *, tenants: bool) -> list[Breakdown]:
    by_outcome = _added(cells, lambda cell: cell.outcome)
    by_type = _added(cells, lambda cell: cell.action_type)
    by_source = _added(cells, lambda cell: cell.source)
    names = {row[0]: printable(row[1]) for row in connection.execute(statements()["sources"])}
    breakdowns = [
        Breakdown(
            "By outcome",
            "Outcome",
            [
                Share(OUTCOMES[outcome].title, "outcome", outcome.value, by_outcome[outcome])
                for outcome in OUTCOMES
                if outcome in by_outcome
            ],
        ),
        Breakdown(
            "By action type",
            "Action type",
            [
                Share(printable(name) or NO_TYPE, "action_type", printable(name) or NO_TYPE, by_type[name])
                for name in sorted(by_type, key=lambda name: -by_type[name].actions)
            ],
        ),
        Breakdown(
            "By source",
            "Source",
            [
                Share(names[number], "source", names[number], by_source.get(number, Sums()))
                for number in names
            ],
        ),
    ]
    if tenants:
        by_tenant = _added(cells, lambda cell: cell.tenant)
        shares = [
            Share(printable(name) or "none", "tenant", printable(name), sums)
            for name, sums in sorted(by_tenant.items())
        ]
        breakdowns.insert(1, Breakdown("By tenant", "Tenant", shares))
    return [structs.replace(one, shares=_most(one.shares)) for one in breakdowns]


def _most(shares: list[Share]) -> list[Share]:
    """``shares``, or those with the most actions and a line for all others."""
    if len(shares) <= MOST_SHARES:
        return shares
    ordered = sorted(shares, key=lambda share: -share.sums.actions)
    others = ordered[MOST_SHARES:]
    sums = sum((share.sums for share in others), Sums())
    return [*ordered[:MOST_SHARES], Share(f"{len(others):,} others", shares[0].field, "", sums)]


def _cases(connection: sqlite3.Connection, summary: Summary) -> Iterable[Cases]:
    for outcome, words in OUTCOMES.items():
        count = summary.outcomes.get(outcome, 0)
        if count and outcome not in GOOD:
            rows = connection.execute(_sql("cases"), {"outcome": outcome.value, "most": FIRST})
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
