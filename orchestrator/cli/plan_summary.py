"""The result of a plan on one screen: the state of each action, the records a stop saves, the cost of a run."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, structs

from orchestrator.cli.options import GUARDS, LIMITS, MANY, PACE, RESULTS, TENANT, given_again
from orchestrator.cli.page import Capabilities, Page
from orchestrator.cli.quotas import ASSUMED, add_quotas, add_short_quotas, forecast_of
from orchestrator.cli.summary import (
    EndedRun,
    add_files,
    add_headline,
    add_over,
    add_people,
    add_tenants,
    as_argument,
)
from orchestrator.durations import duration
from orchestrator.journal import digest
from orchestrator.journal.reader import JournalReader
from orchestrator.model import RESUMABLE, Limits, Outcome
from orchestrator.pacing.forecast import Forecast
from orchestrator.printable import counted
from orchestrator.progress import Progress
from orchestrator.results.spool import BYTES_A_RECORD, RESERVE
from orchestrator.settings import Settings
from orchestrator.settings.tenants import Tenant

SHOWN = 10

_AGAIN = tuple(
    name
    for name in (*TENANT, *MANY, *GUARDS, *LIMITS, *PACE, *RESULTS)
    if name not in ("tenant", "tenant_column", "deadline")
)
"""Options of the plan that its run gets, too. The plan itself says whose each key is."""


class EndedPlan(EndedRun, frozen=True, kw_only=True):
    """The same of a plan: sums of what a run would stop by tenant, and the first actions that it would stop."""

    by_tenant: dict[str, digest.PlanTotals]
    first: list[digest.Planned]

    @property
    def totals(self) -> digest.PlanTotals:
        """The sum over all tenants."""
        return sum(self.by_tenant.values(), digest.PlanTotals())


def read_ended_plan(reader: JournalReader, ended: EndedRun) -> EndedPlan:
    """The facts of a plan whose ``ended`` run is already read."""
    return EndedPlan(**structs.asdict(ended), by_tenant=reader.plan_totals(), first=reader.plan_first(SHOWN))


class Ahead(Struct, frozen=True):
    """The forecast of a run in one tenant; ``limits`` are the latest that it sent."""

    expected: Forecast
    limits: Limits


def forecast_run(
    plan: EndedPlan, settings: Settings, progress: Progress, tenants: Mapping[str, Tenant]
) -> dict[str, Ahead]:
    """The forecast of a run over these keys for each tenant, at the pace and the limits that the plan saw.

    A run of one has it under an empty name. A tenant whose calls were made by dask's workers is left out: its limits
    are not known here.
    """
    by_tenant = progress.tenants or {"": progress}
    ahead = {}
    for name, summary in plan.summary.summaries_by_name.items():
        seen = by_tenant.get(name)
        if seen is None or seen.call_seconds is None:
            continue
        tenant = tenants.get(name, Tenant())
        own = {one: value for one in ("headroom", "rate") if (value := getattr(tenant, one)) is not None}
        totals, outcomes = plan.by_tenant.get(name, digest.PlanTotals()), summary.outcomes
        # An action that failed has processed nothing, and so has no file.
        with_file = sum(outcomes.get(one, 0) for one in (Outcome.ALREADY_STOPPED, Outcome.ALREADY_COMPLETED))
        expected = forecast_of(
            structs.replace(settings, **own),
            seen.limits,
            stopped=totals.actions,
            over=with_file + outcomes.get(Outcome.ALREADY_FAILED, 0),
            files=totals.processing + totals.stopping + with_file,
            slots=max(seen.slots, 1),
            call_seconds=seen.call_seconds,
        )
        ahead[name] = Ahead(expected, seen.limits)
    return ahead


def closing(plan: EndedPlan, ahead: Mapping[str, Ahead], capabilities: Capabilities) -> str:
    """The summary of a plan for the operator."""
    totals = plan.totals
    page = Page(capabilities)
    add_headline(page, plan)
    _doing(page, totals)
    add_over(page, plan.summary)
    add_tenants(page, plan)
    if totals.actions:
        _saves(page, totals)
        if ahead:
            _takes(page, ahead)
            records = plan.summary.records.total
            if records is not None and any(one.expected.calls.file for one in ahead.values()):
                _disk(page, records, plan.directory)
        _first(page, plan)
    add_people(page, plan)
    page.line()
    add_files(page, plan)
    _next(page, plan)
    return str(page)


def _next(page: Page, plan: EndedPlan) -> None:
    """The command that reads the rest, if any, and the command that stops. A plan without all its keys is no input."""
    where = as_argument(plan.directory)
    gone = sum(source.path is None for source in plan.unread)
    partial = bool(plan.unread) or not RESUMABLE.isdisjoint(plan.summary.outcomes)
    if partial:
        page.line()
        page.line("Next: read the rest" + (", with the same input as SOURCE:" if gone else ":"), "bold")
        page.command(f"mass-stop resume {where}{' SOURCE' * gone}")
    if plan.totals.actions and not plan.unread:
        page.line()
        page.line(f"{'Then' if partial else 'Next:'} stop them, the fastest first:", "bold")
        page.command(f"mass-stop run --plan {where}{given_again(*_AGAIN)}")


def _doing(page: Page, totals: digest.PlanTotals) -> None:
    states = (("Processing", totals.processing), ("Pending", totals.pending), ("Stopping", totals.stopping))
    parts = ", ".join(f"{count:,} {state}" for state, count in states if count)
    page.entry("would stop", f"{totals.actions:,} ({parts})" if parts else "0")


def _saves(page: Page, totals: digest.PlanTotals) -> None:
    if totals.unprocessed is None:
        saves = ["a number of records that is not known"] if totals.processing or totals.stopping else []
    else:
        saves = [counted(totals.unprocessed, "record")] if totals.unprocessed or not totals.pending else []
    if totals.pending:
        saves.append(f"all records of the {totals.pending:,} that have not started")
    page.entry("a stop saves", ", and ".join(saves), "bold")
    if totals.within_a_minute:
        page.entry("waiting costs", f"{counted(totals.within_a_minute, 'record')} in the next minute")
    if totals.done_in is not None:
        by_itself = f"those being processed would be done in {duration(totals.done_in)}"
        if totals.still:
            by_itself += f"; {totals.still:,} made no progress while they were watched"
        page.entry("by themselves", by_itself)


def _takes(page: Page, ahead: Mapping[str, Ahead]) -> None:
    """Tenants run at the same time: their calls add up, and the slowest tenant sets the time."""
    expected = [one.expected for one in ahead.values()]
    stop, status, file = (
        sum(getattr(one.calls, kind) for one in expected) for kind in ("stop", "status", "file")
    )
    made = f"{stop:,} stop, {status:,} status, {file:,} file"
    page.entry("a run needs", f"about {counted(stop + status + file, 'call')} ({made}), {ASSUMED}")
    if "" in ahead:
        add_quotas(page, ahead[""].limits, ahead[""].expected)
    else:
        add_short_quotas(page, {name: one.expected.short for name, one in ahead.items()})
    last_stop, completed = max(one.last_stop for one in expected), max(one.completed for one in expected)
    page.entry(
        "a run takes",
        f"about {duration(last_stop)} to the last stop, {duration(completed)} until every key is completed",
    )


def _disk(page: Page, records: int, directory: Path) -> None:
    try:
        free = shutil.disk_usage(directory).free
    except OSError:  # the plan itself could not be kept there
        return
    needed = records * BYTES_A_RECORD + RESERVE
    text = f"about {_size(needed)} for the records, {_size(free)} free"
    page.entry("disk", text, "red" if needed > free else None)


def _size(number: int) -> str:
    return f"{number / 1e6:,.0f}MB" if number < 1e9 else f"{number / 1e9:,.0f}GB"


def _first(page: Page, plan: EndedPlan) -> None:
    page.line()
    page.line("The first that a run by this plan stops:", "bold")
    if not page.narrow:
        title = "tenant" if plan.several else "status"
        page.item(f"    {'bulk key':<32}  {title:<10}  {'left':>9}  {'a second':>8}  done in")
    for one in plan.first:
        left = "?" if one.unprocessed is None else f"{one.unprocessed:,}"
        speed = "-" if one.speed is None else f"{one.speed:,.1f}"
        done = "-" if one.done_in is None else duration(one.done_in)
        if page.narrow:
            page.item(f"  {one.bulk_key}")
            page.item(f"    {left} left, {speed}/s, {done}, {one.tenant if plan.several else one.status}")
        else:
            shown = f"{one.tenant:<10.10}" if plan.several else f"{one.status:<10}"
            page.item(f"    {one.bulk_key}  {shown}  {left:>9}  {speed:>8}  {done}")
    if plan.totals.actions > len(plan.first):
        page.item(f"    and {plan.totals.actions - len(plan.first):,} more: the report has each")
