"""The data of the page and the Markdown form from the journal: the report's numbers, added up by group."""

import shlex
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from msgspec import Struct

from orchestrator.journal.digest import Named
from orchestrator.journal.entries import RunInfo, SourceInfo
from orchestrator.journal.reader import JournalReader
from orchestrator.model import GOOD, RESUMABLE, Outcome
from orchestrator.report import RunEntry, Summary, read_head
from orchestrator.report.headline import tenant_headline
from orchestrator.report.pages.breakdowns import NO_TYPE, Breakdown, Cell, Sums, read_breakdowns
from orchestrator.report.pages.fate import Fate, fate_of
from orchestrator.report.schema import Headline
from orchestrator.report.wording import OUTCOMES, RUN_AGAIN, Group, Words, by_group, error_words
from orchestrator.settings import SETTINGS, Setting, Settings

FIRST = 20
"""How many actions of each outcome that needs a person are named at once."""

MOST_ERRORS = 100
"""Kinds of errors that are shown: their codes are the tenant's."""


class Cases(Struct, frozen=True):
    """The actions of one outcome that needs a person: the first of them, and how many there are."""

    outcome: Outcome
    words: Words
    count: int
    first: list[Named]


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
    """Calls of one sort (stop, status, file) that failed in one way, and when the first and the last did.

    ``harmless`` are stops that were refused because the action was over already.
    """

    call: str
    words: Words
    harmless: bool
    calls: int
    first_at: str
    last_at: str


_SETTINGS_SHOWN = (
    "expect_action_type", "expect_uploaded_by", "strict", "order", "concurrency", "headroom", "rate", "max_attempts",
    "timeout", "deadline", "settle", "max_failures", "no_results",
)  # fmt: skip


class TenantVerdict(Struct, frozen=True):
    """How the part of one tenant ended, in a run of several: its ``actions`` by group, and why it ended early."""

    name: str
    headline: Headline
    groups: dict[Group, int]
    reason: str | None

    @property
    def actions(self) -> int:
        return sum(self.groups.values())


class View(Struct, frozen=True):
    """One run, ready to be shown."""

    run: RunEntry
    summary: Summary
    info: RunInfo
    damaged: bool
    """Whether part of the journal is lost. Such a run is not resumed."""
    groups: dict[Group, int]
    fate: Fate
    breakdowns: list[Breakdown]
    cases: list[Cases]
    errors: list[Failing]
    more_errors: int
    """Kinds of errors that are not in ``errors``."""
    setbacks: list[Setback]
    tenants: list[TenantVerdict]
    """Empty in a run of one tenant."""
    payments_since: str | None
    """When the first action started that made payments, in the tenant's own words."""
    unread: list[SourceInfo]
    """Sources that were not read to their end."""

    @property
    def headline(self) -> Headline:
        assert self.run.headline is not None
        return self.run.headline

    @property
    def actions(self) -> int:
        return sum(self.groups.values())

    @property
    def columns(self) -> set[str]:
        """The columns of the table of actions that would not be empty, by their field of a row."""
        planning, records = self.run.command == "plan", self.summary.records
        types = (share.name for one in self.breakdowns if one.column == "Action type" for share in one.shares)
        filled = {
            "tenant": self.tenants,
            "action_type": any(name != NO_TYPE for name in types),
            "accepted_at": self.summary.timing.last_stop_seconds is not None,
            "speed": planning,
            "alone": planning,
            "total": records.total is not None,
            "succeeded": records.succeeded is not None,
            "failed": records.failed is not None,
            "unprocessed": records.unprocessed is not None,
            "error": self.errors,
        }
        return {name for name, found in filled.items() if found}

    @property
    def open_ends(self) -> bool:
        """Whether ``resume`` has something to continue. A drill's tenant is gone, and a damaged journal is refused.

        A run that was killed while it wrote its files has at least those to write.
        """
        return (
            not self.damaged
            and self.run.command != "drill"
            and (
                self.run.state == "running"
                or bool(self.unread)
                or any(self.summary.outcomes.get(outcome) for outcome in RESUMABLE)
            )
        )

    def next_steps(self, directory: str) -> list[tuple[str, str]]:
        """The next steps for the actions: sentences, each with its command or none.

        ``directory`` is the run directory as a shell takes it.
        """
        if self.damaged:
            return [(RUN_AGAIN, "")]
        file = self.info.settings.get("tenants")
        tenants = f" --tenants {shlex.quote(file)}" if isinstance(file, str) else ""
        steps = []
        if self.headline.first_step:
            key = f" {self.headline.key}" if self.headline.key and not self.tenants else ""
            steps.append((self.headline.first_step, f"mass-stop check{key}{tenants}"))
        if self.open_ends:
            # Standard input, for example, cannot be read again by itself.
            again = " SOURCE" * sum(source.path is None for source in self.unread)
            steps.append((self._why_resume(), f"mass-stop resume {directory}{again}"))
        if self.groups["planned"] and not self.unread:  # a plan without all its keys is no input
            steps.append(("Stop them, the fastest first:", f"mass-stop run --plan {directory}{tenants}"))
        return steps

    def _why_resume(self) -> str:
        if self.run.state == "running":
            return "The run may still be at work. If it was killed, continue it:"
        if self.run.command == "plan":
            return "Read the rest:"
        if self.groups["person"]:
            return "Continue with the actions that are not known to be over:"
        return "Read the rest of the input, and stop its actions:"

    @property
    def limits(self) -> list[tuple[str, str]]:
        """The options on pace, ends and guards: those that are not at their default."""
        settings = msgspec.convert(self.info.settings, Settings)
        values = ((SETTINGS[name], getattr(settings, name)) for name in _SETTINGS_SHOWN)
        return [
            (setting.option, _shown(setting, value)) for setting, value in values if value != setting.default
        ]


def read_view(reader: JournalReader) -> View:
    """The view of the run. Raises StorageError where the journal holds no run."""
    run, summary = read_head(reader)
    info = reader.run()
    cells = [
        Cell(tenant, Outcome(outcome), action_type, source, Sums(*sums))
        for tenant, outcome, action_type, source, *sums in reader.groups()
    ]
    tenants = list(_tenants(reader, run, summary))
    errors = reader.errors()
    return View(
        run=run,
        summary=summary,
        info=info,
        damaged=bool(reader.missing),
        groups=by_group(summary.outcomes),
        fate=fate_of(cells),
        breakdowns=read_breakdowns(reader, cells, tenants=bool(tenants)),
        cases=list(_cases(reader, summary)),
        errors=[_failing(row) for row in errors[:MOST_ERRORS]],
        more_errors=max(0, len(errors) - MOST_ERRORS),
        setbacks=[
            Setback(call, error_words(kind), bool(harmless), calls, first_at, last_at)
            for call, kind, harmless, calls, first_at, last_at in reader.setbacks()
        ],
        tenants=tenants,
        payments_since=reader.payments_since(),
        unread=[source for source in reader.sources() if not source.complete],
    )


def _tenants(reader: JournalReader, run: RunEntry, summary: Summary) -> Iterator[TenantVerdict]:
    """In the order of their file."""
    if not run.tenants or not summary.by_tenant:
        return
    said_over = reader.said_over()
    for name, tenant in run.tenants.items():
        own = summary.by_tenant[name]
        headline = tenant_headline(run, tenant, own, said_over.get(name, 0))
        yield TenantVerdict(name, headline, by_group(own.outcomes), tenant.reason)


def _cases(reader: JournalReader, summary: Summary) -> Iterable[Cases]:
    for outcome, words in OUTCOMES.items():
        count = summary.outcomes.get(outcome, 0)
        if count and outcome not in GOOD:
            yield Cases(outcome, words, count, reader.cases(outcome, FIRST))


def _failing(row: tuple[Any, ...]) -> Failing:
    outcome, kind, code, http_status, actions, _, key, message, tenant, tenants = row
    return Failing(
        Outcome(outcome),
        kind,
        error_words(kind),
        code,
        http_status,
        actions,
        key,
        message or "",
        tenant,
        sorted(filter(None, msgspec.json.decode(tenants, type=list[str]))),
    )


def _shown(setting: Setting, value: Any) -> str:
    """The value in full: none of the settings shown has an address with a password, but some have an ``@``."""
    if value is True:
        return "yes"
    return ", ".join(value) if isinstance(value, tuple) else setting.form.show(value)
