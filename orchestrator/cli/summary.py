"""The closing summary: is it over, what went through, what is to be done next."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from orchestrator import report as reports
from orchestrator.cli.options import TENANT, given_again
from orchestrator.cli.page import Capabilities, Page, place
from orchestrator.durations import show_duration
from orchestrator.journal import digest
from orchestrator.journal.entries import SourceInfo
from orchestrator.journal.reader import JournalReader
from orchestrator.model import GOOD, OVER, RESUMABLE, Outcome
from orchestrator.printable import counted
from orchestrator.report import RunEntry, Summary
from orchestrator.report.wording import OUTCOMES
from orchestrator.results.index import FOLDERS, LEFT_OUT, PAYMENTS, Index, read_index
from orchestrator.rundir import HANDOVER

LOW_SCREEN = 22
"""Lines of a summary whose beginning leaves a screen of the usual height: the verdict is then repeated below."""

MOST_TENANTS = 20
"""Tenants shown one by one; the others are in the report."""

_OVER_BY_THEMSELVES = tuple(sorted(OVER - {Outcome.STOPPED, Outcome.COMPLETED_BEFORE_STOP}))
_PERSON = {outcome: words.short for outcome, words in OUTCOMES.items() if words.short}
_STYLES = {"good": "green", "bad": "red", "open": "yellow", "plan": "bold"}


class EndedRun(Struct, frozen=True):
    """The facts of the summary of a run that has ended.

    Attributes:
        run, summary: as in the report.
        directory: where its files are.
        saved: whether the report is among them.
        troubles: sentences on what this machine could not do.
        reasons: why keys need a person, each with its first keys.
        unread: sources that were not read to their end.
        payments_since: when the first action started that made payments, in the tenant's own words.
    """

    run: RunEntry
    summary: Summary
    directory: Path
    saved: bool = True
    troubles: Sequence[str] = ()
    reasons: list[digest.Reason] = []
    unread: list[SourceInfo] = []
    payments_since: str | None = None

    @property
    def several(self) -> bool:
        """Whether the run has several tenants, by name."""
        return self.run.tenant is None


def read_ended_run(
    reader: JournalReader, directory: Path, troubles: Sequence[str] = (), *, saved: bool = True
) -> EndedRun:
    """The run in the journal; the other arguments are as in `EndedRun`."""
    run, summary = reports.read_head(reader)
    return EndedRun(
        run,
        summary,
        directory,
        saved,
        troubles,
        reader.reasons(),
        [source for source in reader.sources() if not source.complete],
        reader.payments_since(),
    )


def closing(ended: EndedRun, capabilities: Capabilities) -> str:
    """The closing summary, in a few lines."""
    page = Page(capabilities)
    add_headline(page, ended)
    _outcomes(page, ended.summary)
    add_tenants(page, ended)
    _records(page, ended.summary)
    _timing(page, ended.summary)
    add_files(page, ended)
    add_people(page, ended)
    _next(page, ended)
    if len(page.lines) > LOW_SCREEN:
        page.line()
        _verdict(page, ended.run)
    return str(page)


def as_argument(path: Path) -> str:
    """``path`` as a shell takes it: quoted where it must be, and never for an option."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def add_files(page: Page, ended: EndedRun) -> None:
    """Where the report is, and what this machine could not do."""
    for trouble in ended.troubles:
        page.entry("trouble", trouble, "red")
    if ended.saved:
        page.entry("report", str(ended.directory / "report.json"), whole=True)
        if (ended.directory / "report.html").is_file():
            page.entry("page", str(ended.directory / "report.html"), whole=True)
    else:
        page.entry("report", "NOT SAVED: it follows here", "red")


def _verdict(page: Page, run: RunEntry) -> None:
    """The one sentence that says whether it is over."""
    if run.headline is not None:
        page.line(run.headline.text, _STYLES[run.headline.tone])


def add_headline(page: Page, ended: EndedRun) -> None:
    """Whether it is over, and why the run ended early, unless that is a trouble of this machine."""
    run = ended.run
    _verdict(page, run)
    if run.headline is not None:
        for sentence in run.headline.details:
            page.line(sentence, "yellow")
    if run.reason and run.reason not in ended.troubles:
        page.line(run.reason, "yellow")


def _outcomes(page: Page, summary: Summary) -> None:
    counts = summary.outcomes
    page.entry("stopped", f"{counts.get(Outcome.STOPPED, 0):,}")
    add_over(page, summary)
    for outcome, meaning in _PERSON.items():
        if outcome is Outcome.MALFORMED and summary.by_tenant is not None:
            meaning += ", or no known tenant"
        if counts.get(outcome):
            page.entry("need a person", f"{counts[outcome]:,} {outcome.value} ({meaning})", "red")
    if summary.duplicates:
        page.entry("duplicates", f"{summary.duplicates:,} (each key was stopped once)")


def add_over(page: Page, summary: Summary) -> None:
    """The actions that were over without our stop."""
    over = {name: summary.outcomes[name] for name in _OVER_BY_THEMSELVES if summary.outcomes.get(name)}
    if over:
        parts = ", ".join(f"{count:,} {outcome.value}" for outcome, count in over.items())
        page.entry("already over", f"{sum(over.values()):,} ({parts})")
    if late := summary.outcomes.get(Outcome.COMPLETED_BEFORE_STOP):
        page.entry("too late", f"{late:,} completed despite the stop")


def add_tenants(page: Page, ended: EndedRun) -> None:
    """A line for each tenant that has keys, those that need a person first; nothing in a run of one tenant."""
    tenants = ended.run.tenants
    used = {name: one for name, one in (ended.summary.by_tenant or {}).items() if one.outcomes}
    if not used or tenants is None:
        return
    left = {name: sum(n for o, n in one.outcomes.items() if o not in GOOD) for name, one in used.items()}
    person = sum(map(bool, left.values()))
    page.entry(
        "tenants", f"{len(used)}, of which {person or 'none'} need{'' if person > 1 else 's'} a person"
    )
    ordered = sorted(used, key=lambda name: -left[name])
    for name in ordered[:MOST_TENANTS]:
        counts = sorted(used[name].outcomes.items(), key=lambda item: item[0] in GOOD)
        text = ", ".join(f"{count:,} {outcome.value}" for outcome, count in counts)
        reason = tenants[name].reason
        text += f"  ({reason})" if reason is not None else ""
        if page.narrow:
            page.line(f"{name}  {text}", indent=4, hang=2)
        else:
            page.line(f"{name:<16} {text}", indent=4, hang=17)
    if len(ordered) > MOST_TENANTS:
        page.line(f"and {len(ordered) - MOST_TENANTS} more: see the report", indent=4)


def _records(page: Page, summary: Summary) -> None:
    records = summary.records
    if not records.total:
        return
    if None in (records.processed, records.unprocessed):
        page.entry("records", f"{records.total:,}; how many went through is not known")
        return
    ends = ((records.succeeded, "succeeded"), (records.failed, "failed"))
    known = ", ".join(f"{count:,} {end}" for count, end in ends if count is not None)
    through = f"{records.processed:,} went through{f' ({known})' if known else ''}"
    page.entry("records", f"{through}, {records.unprocessed:,} not processed")


def _timing(page: Page, summary: Summary) -> None:
    timing = summary.timing
    if timing.last_stop_seconds is None:
        return
    parts = f"last stop accepted after {show_duration(round(timing.last_stop_seconds, 1))}"
    if timing.settled_seconds is not None:
        parts += f", last key completed after {show_duration(round(timing.settled_seconds, 1))}"
    page.entry("time", parts)
    calls = summary.calls
    made = f"{calls.stop:,} stop, {calls.status:,} status, {calls.file:,} file"
    hedged = f", {calls.hedged:,} hedged" if calls.hedged else ""
    page.entry("calls", f"{made}; {calls.retried:,} tried again, {calls.throttled:,} throttled{hedged}")


def add_people(page: Page, ended: EndedRun) -> None:
    """Which keys need a person and why, by reason, with the first keys of each; and the file that lists them."""
    total = sum(ended.summary.outcomes.get(outcome, 0) for outcome in _PERSON)
    if not total:
        return
    page.line()
    page.line("Needs a person:", "bold")
    for reason in ended.reasons:
        code = f" ({reason.code})" if reason.code is not None else ""
        text = f"{reason.message}{code}" if reason.message else _PERSON[reason.outcome]
        page.line(f"{reason.keys:,} {reason.outcome.value}: {text}", indent=2)
        for one in reason.named:
            _name(page, reason, one, several=ended.several)
        if reason.keys > len(reason.named):
            page.item(f"    and {reason.keys - len(reason.named):,} more")
    named = sum(reason.keys for reason in ended.reasons)
    if total > named:
        page.line(f"and {total - named:,} for other reasons: the report has each", indent=2)
    if (listed := ended.directory / HANDOVER).is_file():
        page.line("All of them, with row and labels:", indent=2)
        page.command(as_argument(listed))


def _name(page: Page, reason: digest.Reason, one: digest.Named, *, several: bool) -> None:
    where = place(one.source, one.row)
    if reason.outcome is Outcome.MALFORMED:
        page.item(f"    {where}  {one.bulk_key}")
        if one.message and one.message != reason.message:
            page.line(one.message, indent=6)
        return
    if several:
        where = f"{one.tenant}  {where}"
    page.item(f"    {one.bulk_key}" if page.narrow and not several else f"    {one.bulk_key}  {where}")


def _next(page: Page, ended: EndedRun) -> None:
    """The next steps, each with its command."""
    run, counts = ended.run, ended.summary.outcomes
    steps = Page(page.capabilities)
    is_open = ended.unread or run.exit_status == 3 or any(counts.get(outcome) for outcome in RESUMABLE)
    _check(steps, ended)
    if run.command != "drill" and is_open:
        _resume(steps, ended)
    if counts.get(Outcome.REJECTED):
        steps.step(
            "Correct the permission, then try the refused keys again. A wrong key needs a corrected input."
        )
        if run.command != "drill":
            steps.command(f"mass-stop resume {as_argument(ended.directory)} --retry-rejected")
    if counts.get(Outcome.SKIPPED_BY_GUARD):
        steps.step("Actions that a guard skipped continue to run. Was the guard right?")
    if counts.get(Outcome.MALFORMED):
        steps.step("Correct the malformed rows, and run them again.")
    if (index := read_index(ended.directory)) is not None:
        _records_to_handle(steps, index, ended)
    if steps.lines:
        page.line()
        page.line("Next:", "bold")
        page.lines += steps.lines


def _records_to_handle(steps: Page, index: Index, ended: EndedRun) -> None:
    """The next steps for the records, by folder."""
    if index.electronic_payments:
        began = ended.payments_since
        since = f", since {began} (tenant's time) at the earliest" if began else ""
        steps.step(
            f"{counted(index.electronic_payments, 'electronic payment')} went through{since}. {PAYMENTS}"
        )
    for folder, advice in FOLDERS.items():
        if records := index.records_in(folder):
            steps.step(f"{counted(records, 'record')} {advice}")
            steps.command(as_argument(ended.directory / "remediation" / folder))
    if index.leaves_out(ended.summary.records.unprocessed):
        steps.step(LEFT_OUT)


def _check(steps: Page, ended: EndedRun) -> None:
    """The facts to check before the run is resumed, if any."""
    headline = ended.run.headline
    if headline is None or headline.first_step is None:
        return
    steps.step(headline.first_step)
    key = f" {headline.key}" if headline.key and not ended.several else ""
    steps.command(f"mass-stop check{key}{given_again(*TENANT, 'tenants')}")


def _resume(steps: Page, ended: EndedRun) -> None:
    run = ended.run
    cluster_failed = run.exit_status == 5 and not ended.troubles
    match run.exit_status:
        case 5 if cluster_failed:
            steps.step("Check the workers and the scheduler named above, then continue:")
        case 5:
            steps.step("Correct the problem on this machine named above, then continue:")
        case 4 if _tenants_at_fault(run):
            steps.step("Correct the problems of the tenants named above, then continue:")
        case _:
            steps.step("Continue the run; a stop that is sent twice does no harm:")
    gone = [source.shown for source in ended.unread if source.path is None]
    steps.command(f"mass-stop resume {as_argument(ended.directory)}{' SOURCE' * len(gone)}")
    if cluster_failed:
        steps.line("To continue without the cluster, on this machine, add --engine local.", indent=2)
    if gone:
        steps.line(f"Give the same keys again as SOURCE: {', '.join(gone)} cannot be read twice.", indent=2)
    if "--deadline" in (run.reason or ""):
        steps.line(_deadline_of_the_next(), indent=2)
    if "--max-failures" in (run.reason or ""):
        steps.line("The guard applies again. Raise --max-failures if the failures are expected.", indent=2)


def _tenants_at_fault(run: RunEntry) -> bool:
    """Whether tenants of several, each for a reason of its own, were given up."""
    tenants = (run.tenants or {}).values()
    return any(tenant.reason is not None and tenant.reason != run.reason for tenant in tenants)


def _deadline_of_the_next() -> str:
    if given_again("deadline"):
        return "The deadline does not apply then, unless you give a new --deadline."
    return "The deadline is set for every run here and applies again: give a longer --deadline."
