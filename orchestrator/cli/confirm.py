"""The confirmation before a run. It is asked on the terminal, whatever standard input is."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from anyio import to_thread

from orchestrator.cli.options import implicit_settings
from orchestrator.cli.page import Capabilities, Page, place
from orchestrator.durations import show_duration
from orchestrator.errors import UsageError
from orchestrator.printable import counted
from orchestrator.report import ActionEntry, RunEntry, Summary
from orchestrator.report.schema import TenantEntry
from orchestrator.settings import Settings, implicit, kind_of_tenant
from orchestrator.settings.forms import RATE, THRESHOLD

SHOWN = 5
"""Actions that the question names."""

MOST_TENANTS = 20
"""Tenants shown one by one; the others are summed up."""


def terminal() -> TextIO | None:
    """The controlling terminal, open for reading; None if there is none."""
    if not sys.stderr.isatty():
        return None
    try:
        return Path("/dev/tty").open(encoding="utf-8", errors="replace")
    except OSError:
        return None


def question(
    capabilities: Capabilities,
    settings: Settings,
    run: RunEntry,
    summary: Summary,
    first: list[ActionEntry],
    unordered: str | None = None,
) -> str:
    """The text of the question: the tenants, the number of actions, the first few, guards and limits."""
    page = Page(capabilities)
    what = _add_tenants(page, run.tenants, summary) if run.tenants else _add_tenant(page, settings, summary)
    if settings.implicit:
        page.entry("by file", f"{implicit.NAME} in this folder sets {implicit_settings(settings)}", "yellow")
    _add_keys(page, run, summary, first)
    _add_terms(page, settings, unordered)
    page.line(f"Stop {what}? [y/N]", "bold")
    return f"{page} "


def _add_tenant(page: Page, settings: Settings, summary: Summary) -> str:
    """The tenant of a run of one. Returns what is asked about."""
    tenant = kind_of_tenant(settings.address)
    if tenant.production:
        page.line(f"*** PRODUCTION *** {tenant.text}", "alarm")
    page.entry("tenant", settings.address, "bold", whole=True)
    if not tenant.production:
        page.entry("", tenant.text)
    if settings.entity_id:
        page.entry("entity", settings.entity_id)
    if settings.org_ids:
        page.entry("organisations", ", ".join(settings.org_ids))
    which = "it" if summary.keys == 1 else f"all {summary.keys:,}"
    return f"{which}{' in PRODUCTION' if tenant.production else ''}"


def _add_tenants(page: Page, tenants: Mapping[str, TenantEntry], summary: Summary) -> str:
    """Each of several tenants that has keys, and how many. Returns what is asked about."""
    asked = {name: one.keys for name, one in (summary.by_tenant or {}).items() if one.keys}
    production = [name for name in asked if kind_of_tenant(tenants[name].base_url).production]
    if production:
        page.line(f"*** PRODUCTION *** {len(production)} of {counted(len(asked), 'tenant')}", "alarm")
    page.entry("tenants", f"{len(asked)} of the {len(tenants)} known have mass actions to stop", "bold")
    for name, keys in list(asked.items())[:MOST_TENANTS]:
        if page.narrow:
            page.line(f"{name}  {keys:,}  {_place(tenants[name])}", indent=4, hang=2)
        else:
            page.item(f"    {name:<16} {keys:>7,}  {_place(tenants[name])}")
    if rest := list(asked)[MOST_TENANTS:]:
        page.item(f"    and {len(rest)} more with {sum(asked[name] for name in rest):,}")
    where = "one tenant" if len(asked) == 1 else f"{len(asked)} tenants"
    return f"all {summary.keys:,} in {where}"


def _place(tenant: TenantEntry) -> str:
    kind = kind_of_tenant(tenant.base_url)
    entity = f"  entity {tenant.entity_id}" if tenant.entity_id else ""
    return f"{tenant.base_url}{entity}{'  PRODUCTION' if kind.production else ''}"


async def agree(tty: TextIO, text: str) -> None:
    """Asks the question. Raises UsageError if the answer is not yes."""
    sys.stderr.write(text)
    answer = await to_thread.run_sync(os.read, tty.fileno(), 1024, abandon_on_cancel=True)
    if answer.decode("utf-8", "replace").strip().lower() not in ("y", "yes"):
        raise UsageError("Nothing was stopped: the answer was not yes.")


def _add_keys(page: Page, run: RunEntry, summary: Summary, first: list[ActionEntry]) -> None:
    """The number of actions and their sources; the first to be stopped, with row and labels; the rows left out."""
    sources = ", ".join(source.name for source in run.sources)
    page.entry("mass actions", f"{summary.keys:,} to stop, from {sources}", "bold")
    for action in first:
        tenant = {"tenant": str(action.tenant)} if action.tenant else {}
        named = "  ".join(f"{name}={value}" for name, value in (tenant | action.labels).items())
        labels = f"{place(action.source, action.row)}  {named}".rstrip()
        if page.narrow:
            page.item(f"    {action.bulk_key}")
            page.item(f"      {labels}")
        else:
            page.item(f"    {action.bulk_key}  {labels}")
    if summary.keys > len(first):
        page.item(f"    and {summary.keys - len(first):,} more")
    if summary.duplicates:
        page.entry("duplicates", f"{summary.duplicates:,}: each key is stopped once")
    if summary.malformed:
        lacking = "bulk key or a known tenant" if run.tenants else "bulk key"
        page.entry(
            "malformed", f"{counted(summary.malformed, 'row')} without a {lacking}: not sent", "yellow"
        )


def _add_terms(page: Page, settings: Settings, unordered: str | None) -> None:
    """In which order, behind which guards and within which limits; and that there is no way back."""
    page.entry("order", _order(settings))
    if unordered:
        page.entry("", unordered, "yellow")
    page.entries("guards", _guards(settings))
    page.entries("limits", _limits(settings))
    if settings.no_results:
        page.entry("results", "no response files (--no-results): the report has counts only")
    page.line()
    page.line("A stop cannot be undone. Records processed so far stay processed; nothing is rolled back.")


def _order(settings: Settings) -> str:
    if settings.plan:
        return f"the fastest first, by the plan in {settings.plan}"
    if settings.order:
        return f"by column {settings.order}, the larger first"
    return "as in the input"


def _guards(settings: Settings) -> list[str]:
    """The conditions that prevent a stop, one sentence each."""
    found = []
    if settings.expect_action_type:
        found.append(f"only actions of type {' or '.join(settings.expect_action_type)}")
    if settings.expect_uploaded_by:
        found.append(f"only actions that {' or '.join(settings.expect_uploaded_by)} uploaded")
    where = " of a tenant" if settings.tenants else ""
    if settings.max_failures is not None:
        most = THRESHOLD.show(settings.max_failures)
        found.append(f"sends no more{where and ' to it'} once {most}{where} were refused or not reached")
    if settings.max_failures_total is not None and settings.tenants:
        most = THRESHOLD.show(settings.max_failures_total)
        found.append(f"sends no more at all once {most} of all tenants were refused or not reached")
    return found or ["none: every mass action is stopped, of any type and of any user"]


def _limits(settings: Settings) -> list[str]:
    whose = "each tenant's" if settings.tenants else "the tenant's"
    found = [f"{settings.headroom:g}% of {whose} capacity is left to others"]
    if settings.tenants:
        found.append(f"a tenant can have other limits: see {settings.tenants}")
    if settings.concurrency is not None:
        found.append(f"at most {counted(settings.concurrency, 'call')} at once")
    if settings.rate is not None:
        found.append(f"at most {RATE.show(settings.rate)}")
    if settings.deadline is not None:
        found.append(f"no call starts after {show_duration(settings.deadline)}")
    return found
