"""The report for the incident's channel or ticket: a screenful of Markdown, whatever the run was.

Chats and trackers read Markdown each in their own way, so the text keeps to what all of them know: paragraphs, lists,
pipe tables, code. Text from outside is shown as code only. Similar characters replace those that could end the code,
break a table, notify someone or become a link. The report has the original characters.
"""

import shlex
from collections.abc import Iterator
from pathlib import Path

from orchestrator.durations import show_rounded
from orchestrator.journal.digest import Named
from orchestrator.journal.entries import Operator
from orchestrator.journal.reader import JournalReader
from orchestrator.printable import printable
from orchestrator.report import Write
from orchestrator.report.pages.breakdowns import Sums
from orchestrator.report.pages.evidence import operator_parts, verified
from orchestrator.report.pages.view import FIRST, Cases, View, read_view
from orchestrator.report.schema import (
    FindingEntry,
    RecordTotals,
    TenantEntry,
    VerificationEntry,
)
from orchestrator.results.index import FOLDERS, LEFT_OUT, PAYMENTS, Index, read_index
from orchestrator.settings import kind_of_tenant

_MARKS = {"good": "✅", "bad": "🛑", "open": "⏳", "plan": "📋"}
_LIKES = str.maketrans({"`": "ˋ", "|": "¦", "@": "＠", "<": "‹", ">": "›"})
_LONGEST = 160
_TENANTS = 6
"""Tenants shown in full."""


def write_markdown(reader: JournalReader, write: Write, directory: Path) -> None:
    """Writes the report of the run in ``directory``. Raises StorageError where the journal holds no run."""
    view = read_view(reader)
    write(("\n".join(_lines(view, directory)) + "\n").encode("utf-8"))


def code(text: str, longest: int | None = None) -> str:
    """``text`` as code that nothing in it can end, on one line; cut after ``longest`` characters."""
    if longest is not None and len(text) > longest:
        text = text[: longest - 1] + "…"
    safe = printable(text).translate(_LIKES).replace("://", "[:]//").strip()
    return f"`{safe}`" if safe else "–"


def _lines(view: View, directory: Path) -> Iterator[str]:
    run = view.run
    said = view.headline
    quote = f" {code(said.quote, _LONGEST)}" if said.quote else ""
    yield f"**{_MARKS[said.tone]} {said.title}.** {said.sentence}{quote}"
    yield from map(printable, said.details)
    if run.reason:
        yield f"Reason: {code(run.reason)}"
    if run.verifications:
        yield from _verification(run.verifications[-1])
    yield ""
    drill = run.command == "drill"
    tenants = [_tenant(name, tenant, drill=drill) for name, tenant in run.tenants_by_name.items()]
    where = "; ".join(tenants[:_TENANTS])
    if len(tenants) > _TENANTS:
        where += f"; and {len(tenants) - _TENANTS:,} more"
    yield f"Tenant {where}. Run {code(run.id)} ({run.state}), {_when(view)}."
    if run.operator is not None:
        yield from _operator(run.operator)
    if view.tenants:
        yield ""
        yield from _verdicts(view)
    yield ""
    yield from _outcomes(view)
    yield ""
    yield from _records(view)
    for cases in view.cases:
        yield ""
        yield from _cases(cases)
    yield ""
    yield from _next(view, directory)


def _verification(verification: VerificationEntry) -> Iterator[str]:
    yield f"**{_MARKS['good' if verification.held else 'bad']} {verified(verification)}**"
    for finding in verification.findings[:FIRST]:
        yield _named(finding)
    found = verification.not_over + verification.changed + verification.unread
    if found > FIRST:
        yield f"- and {found - FIRST:,} more"


def _operator(operator: Operator) -> Iterator[str]:
    yield f"By {code(', '.join(operator_parts(operator)), _LONGEST)}."
    for title, text in (("Why", operator.reason), ("Ticket", operator.ticket)):
        if text:
            yield f"{title}: {code(text)}"


def _tenant(name: str, tenant: TenantEntry, *, drill: bool) -> str:
    named = f"{code(name)} at " if name else ""
    label = kind_of_tenant(tenant.base_url).label
    kind = f" ({label.replace('production', '**production**')})" if label else ""
    return f"{named}{code(tenant.base_url)}{' (simulated)' if drill else kind}"


def _when(view: View) -> str:
    run, timing = view.run, view.summary.timing
    parts = [f"started {run.started_at[:10]} {run.started_at[11:19]} UTC"]
    if timing.last_stop_seconds is not None:
        parts.append(f"last stop accepted after {show_rounded(timing.last_stop_seconds)}")
    if timing.settled_seconds is not None:
        parts.append(f"last key completed after {show_rounded(timing.settled_seconds)}")
    return ", ".join(parts)


def _verdicts(view: View) -> Iterator[str]:
    """The verdict of each tenant; those that are not all over come first."""
    ordered = sorted(view.tenants, key=lambda one: one.headline.tone == "good")
    for one in ordered[:_TENANTS]:
        said = one.headline
        reason = f" {code(one.reason, _LONGEST)}" if one.reason else ""
        yield f"- {code(one.name)}: {_MARKS[said.tone]} {said.title}. {said.sentence}{reason}"
    if len(ordered) > _TENANTS:
        yield f"- and {len(ordered) - _TENANTS:,} more tenants"


def _outcomes(view: View) -> Iterator[str]:
    yield "| Outcome | Actions | Records | Succeeded | Failed | Not processed |"
    yield "| :-- | --: | --: | --: | --: | --: |"
    (by_outcome,) = (one for one in view.breakdowns if one.column == "Outcome")
    for share in by_outcome.shares:
        sums = share.sums
        yield _row(share.name, f"{sums.actions:,}", sums)
    yield _row("**All**", f"**{view.actions:,}**", view.summary.records)


def _row(name: str, actions: str, records: Sums | RecordTotals) -> str:
    counts = (records.total, records.succeeded, records.failed, records.unprocessed)
    return f"| {name} | {actions} | {' | '.join(map(_number, counts))} |"


def _number(count: int | None) -> str:
    return "–" if count is None else f"{count:,}"


def _records(view: View) -> Iterator[str]:
    records, fate = view.summary.records, view.fate
    if records.total is None:
        yield f"The records of the {view.actions:,} actions are not known."
        return
    ends = "" if fate.succeeded is None else f" ({fate.succeeded:,} succeeded, {_number(fate.failed)} failed)"
    sentences = [f"{_number(records.processed)} records went through{ends}."]
    if view.run.command == "plan":
        if fate.at_risk:
            sentences.append(f"{fate.at_risk:,} are not processed yet: a stop now would save them.")
    else:
        counts = {
            "went through despite the stop, in actions that completed": fate.despite,
            "were saved by the stop": fate.saved,
            "were not processed, in actions that were over already": fate.spared,
            "were not processed, because a record of their group failed": fate.held,
        }
        sentences += [f"{count:,} {what}." for what, count in counts.items() if count]
        if fate.at_risk:
            sentences.append(f"**{fate.at_risk:,} are still at risk.**")
    if fate.uncounted:
        sentences.append(f"The records of {fate.uncounted:,} actions are not known.")
    yield " ".join(sentences)


def _cases(cases: Cases) -> Iterator[str]:
    yield f"**{cases.count:,} {cases.words.title.lower()}:** {cases.words.meaning} {cases.words.todo}"
    yield ""
    for case in cases.first:
        yield _named(case)
    if cases.count > len(cases.first):
        yield f"- and {cases.count - len(cases.first):,} more"


def _named(one: Named | FindingEntry) -> str:
    said = f": {code(one.message, _LONGEST)}" if one.message else ""
    tenant = f"tenant {code(one.tenant, _LONGEST)}, " if one.tenant else ""
    return f"- {code(one.bulk_key, _LONGEST)} ({tenant}{code(f'{one.source}:{one.row}', _LONGEST)}){said}"


def _next(view: View, directory: Path) -> Iterator[str]:
    steps = view.next_steps(shlex.quote(str(directory)))
    if not steps:
        nothing = "see above, by outcome." if view.groups["person"] else "nothing is left to stop."
        steps = [(nothing, "")]
    texts = (f"{sentence} {code(command)}" if command else sentence for sentence, command in steps)
    yield f"Next: {' Then: '.join(texts)}"
    if (
        view.run.state == "running"
    ):  # its files are written at its end; those of an earlier session are outdated
        report = f"mass-stop report {shlex.quote(str(directory))}"
        yield f"The full report so far: {code(f'{report} --report -')}"
        return
    if view.groups["person"]:
        yield f"Keys that need a person: {code(str(directory / 'needs-person.csv'))}"
    if (index := read_index(directory)) is not None:
        yield from _records_to_handle(index, view, directory)
    yield f"The full report: {code(str(directory / 'report.json'))}, to read: {code(str(directory / 'report.html'))}"


def _records_to_handle(index: Index, view: View, directory: Path) -> Iterator[str]:
    if index.electronic_payments:
        since = ""
        if view.payments_since:
            began = code(view.payments_since)
            since = f" The first action that made payments started at {began} (the tenant's own time)."
        yield f"**{index.electronic_payments:,} electronic payments went through.** {PAYMENTS}{since}"
    for folder, advice in FOLDERS.items():
        if records := index.records_in(folder):
            yield f"- {records:,} records {advice} {code(str(directory / 'remediation' / folder))}"
    if index.leaves_out(view.summary.records.unprocessed):
        yield f"- {LEFT_OUT}"
