"""What a plan found, on one screen: what each action is doing, what a stop now saves, and what a run will take."""

import sqlite3
from pathlib import Path

from msgspec import Struct

from orchestrator.cli.page import Look, Page, counted, duration
from orchestrator.cli.quotas import add_quotas, looks_until_stopped
from orchestrator.cli.summary import Known, add_files, add_over, add_people, as_argument, read_known
from orchestrator.model import Outcome
from orchestrator.pacing.forecast import Calls, Forecast, forecast, quotas
from orchestrator.progress import Tally
from orchestrator.settings import Settings
from orchestrator.store import digest

SHOWN = 10


class KnownPlan(Struct, frozen=True):
    """What the journal tells of a plan."""

    known: Known
    totals: digest.PlanTotals
    first: list[digest.Planned]


def read_plan(connection: sqlite3.Connection) -> KnownPlan:
    """All that :func:`closing` needs of the journal."""
    return KnownPlan(
        read_known(connection),
        digest.read_plan_totals(connection),
        digest.read_plan_first(connection, SHOWN),
    )


def forecast_run(plan: KnownPlan, settings: Settings, tally: Tally) -> Forecast:
    """What a run over these keys will take, at the pace and the limits that the plan met.

    A key that is over costs a stop, which is refused, and a look; one that never processed anything has no file.
    """
    outcomes, totals = plan.known.summary.outcomes, plan.totals
    over = sum(outcomes.get(name, 0) for name in (Outcome.ALREADY_STOPPED, Outcome.ALREADY_COMPLETED))
    failed = outcomes.get(Outcome.ALREADY_FAILED, 0)
    guards = len(settings.expect_action_type) + len(settings.expect_uploaded_by) > 0
    files = totals.processing + totals.stopping + over
    calls = Calls(
        stop=totals.actions + over + failed,
        status=totals.actions * (looks_until_stopped() + guards) + over + failed,
        file=0 if settings.no_results else files,
    )
    return forecast(
        calls,
        quotas(tally.limits),
        slots=max(tally.slots, 1),
        call_seconds=tally.call_seconds or 0.0,
        headroom=settings.headroom / 100,
        rate=settings.rate,
    )


def closing(
    plan: KnownPlan,
    ahead: Forecast,
    tally: Tally,
    look: Look,
    directory: Path,
    troubles: list[str],
    *,
    saved: bool,
) -> str:
    """What the operator reads of a plan."""
    run, summary, totals = plan.known.run, plan.known.summary, plan.totals
    page = Page(look)
    if run.reason:
        page.line(run.reason, "yellow")
    page.line(f"Planned: {counted(summary.keys, 'key')} read, no stop was sent.", "bold")
    _doing(page, totals)
    add_over(page, summary)
    if totals.actions:
        _saves(page, totals)
        _takes(page, ahead, tally)
        _first(page, plan)
    add_people(page, plan.known)
    page.line()
    add_files(page, directory, troubles, saved=saved)
    if totals.actions:
        page.line()
        page.line("Next: stop them, the fastest first:", "bold")
        page.command(f"mass-stop run --plan {as_argument(directory)}")
    return str(page)


def _doing(page: Page, totals: digest.PlanTotals) -> None:
    states = (("Processing", totals.processing), ("Pending", totals.pending), ("Stopping", totals.stopping))
    parts = ", ".join(f"{count:,} {state}" for state, count in states if count)
    page.entry("would stop", f"{totals.actions:,} ({parts})" if parts else "0")


def _saves(page: Page, totals: digest.PlanTotals) -> None:
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


def _takes(page: Page, ahead: Forecast, tally: Tally) -> None:
    calls = ahead.calls
    made = f"{calls.stop:,} stop, {calls.status:,} status, {calls.file:,} file"
    page.entry("a run needs", f"about {counted(calls.total, 'call')} ({made})")
    add_quotas(page, tally.limits, ahead)
    page.entry(
        "a run takes",
        f"about {duration(ahead.last_stop)} to the last stop, {duration(ahead.settled)} until all is settled",
    )


def _first(page: Page, plan: KnownPlan) -> None:
    page.line()
    page.line("The first that a run by this plan stops:", "bold")
    if not page.narrow:
        page.item(f"    {'bulk key':<32}  {'status':<10}  {'left':>9}  {'a second':>8}  done in")
    for one in plan.first:
        left = "?" if one.unprocessed is None else f"{one.unprocessed:,}"
        speed = "-" if one.speed is None else f"{one.speed:,.1f}"
        done = "-" if one.done_in is None else duration(one.done_in)
        if page.narrow:
            page.item(f"  {one.bulk_key}")
            page.item(f"    {left} left, {speed}/s, {done}, {one.status}")
        else:
            page.item(f"    {one.bulk_key}  {one.status:<10}  {left:>9}  {speed:>8}  {done}")
    if plan.totals.actions > len(plan.first):
        page.item(f"    and {plan.totals.actions - len(plan.first):,} more: the report has each")
