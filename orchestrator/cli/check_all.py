"""``check`` of several tenants on one screen: whether each is ready, what it allows, and what is wrong with it."""

import asyncio
import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing

from msgspec import Struct

from orchestrator.cli.check_results import Finding
from orchestrator.cli.page import Page, counted
from orchestrator.cli.preflight import findings_of
from orchestrator.errors import MassStopError
from orchestrator.settings import Settings, kind_of_tenant
from orchestrator.settings.tenants import Tenant, settings_of

AT_ONCE = 16
"""Tenants looked at at the same time."""

_ALLOWANCES = ("concurrency", "rate")
"""Findings that are shown for each tenant. The others are shown only if they have advice."""


class Inspection(Struct, frozen=True):
    """One tenant, and what was found. ``why`` says why no run may start there; None where one may.

    ``status`` is the exit status of a ``check`` of this tenant alone.
    """

    name: str
    address: str
    found: list[Finding]
    why: str | None
    status: int


async def inspected(tenants: Mapping[str, Tenant], settings: Settings) -> AsyncIterator[Inspection]:
    """Each tenant in the order of ``tenants``, as soon as it and those before it are known."""
    room = asyncio.Semaphore(AT_ONCE)

    async def inspect(name: str, tenant: Tenant) -> Inspection:
        async with room:
            return await _inspect(name, tenant, settings)

    tasks = [asyncio.create_task(inspect(name, tenant)) for name, tenant in tenants.items()]
    try:
        for task in tasks:
            yield await task
    finally:
        for task in tasks:
            task.cancel()


async def _inspect(name: str, tenant: Tenant, settings: Settings) -> Inspection:
    found: list[Finding] = []
    why, status = None, 0
    try:
        async with aclosing(findings_of(settings_of(name, tenant, settings))) as findings:
            async for finding in findings:
                found.append(finding)
                if finding.bad:
                    why, status = f"{finding.title}: {finding.text}", 3
    except MassStopError as error:
        # Missing credentials of one tenant do not prevent the check of the others.
        why, status = str(error), error.exit_status
    return Inspection(name, tenant.address, found, why, status)


def add(page: Page, one: Inspection) -> None:
    """A few lines on one tenant."""
    production = "PRODUCTION, " * kind_of_tenant(one.address).production
    state = "ready" if one.why is None else "NOT ready"
    page.entry(one.name, f"{production}{one.address}: {state}", "red" if one.why else "green")
    if one.why:
        page.entry("", one.why)
    for finding in one.found:
        if one.why is None and (finding.title in _ALLOWANCES or finding.advice):
            page.entry("", f"{finding.title}: {finding.text}" if finding.title else finding.text)
        if finding.advice:
            page.entry("", f"-> {finding.advice}", "yellow")


def exit_status(statuses: list[int]) -> int:
    """That of a run of all these tenants which could not start where they are not ready."""
    if 2 in statuses:
        return 2
    unready = sum(map(bool, statuses))
    return 0 if not unready else 3 if unready == len(statuses) else 4


def conclude(page: Page, statuses: list[int], file: str) -> None:
    """Whether a run over all tenants may start, and the command that shows one tenant in full."""
    unready, every = sum(map(bool, statuses)), len(statuses)
    if not unready:
        page.line(f"Ready: mass-stop plan, or run, of {counted(every, 'tenant')} may start.", "green")
    else:
        rest = (
            ": a run would refuse its input"
            if 2 in statuses
            else ": a run would work on the others" * (unready < every)
        )
        page.line(f"NOT ready: {unready:,} of {counted(every, 'tenant')}{rest}.", "red")
    page.line("One of them in full:")
    page.command(f"mass-stop check --tenants {shlex.quote(file)} --tenant NAME")
