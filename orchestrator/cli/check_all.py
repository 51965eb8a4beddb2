"""``check`` of several tenants on one screen: whether each is ready, what it allows, and what is wrong with it."""

import asyncio
import shlex
import sys
from collections.abc import Mapping
from contextlib import aclosing

from orchestrator.cli.check_results import Finding
from orchestrator.cli.page import Page, capabilities_of
from orchestrator.cli.preflight import findings_of
from orchestrator.errors import MassStopError
from orchestrator.printable import counted
from orchestrator.settings import Settings, kind_of_tenant
from orchestrator.settings.tenants import Tenant, settings_of

AT_ONCE = 16
"""Tenants looked at at the same time."""

_ALLOWANCES = ("concurrency", "rate")
"""Findings that are shown for each tenant. The others are shown only if they have advice."""


async def check_all(settings: Settings, tenants: Mapping[str, Tenant]) -> int:
    """Show each tenant in the order of ``tenants``, as soon as it and those before it are known.

    Returns:
        The exit status of a run of all these tenants that could not start where they are not ready.
    """
    capabilities = capabilities_of(sys.stderr)
    page = Page(capabilities)
    page.entry("tenants", f"{len(tenants)} in {settings.tenants}", "bold")
    sys.stderr.write(f"{page}\n")
    room = asyncio.Semaphore(AT_ONCE)
    tasks = {name: asyncio.create_task(_inspect(name, one, settings, room)) for name, one in tenants.items()}
    statuses = []
    try:
        for name, task in tasks.items():
            found, why, status = await task
            statuses.append(status)
            page = Page(capabilities)
            _add(page, name, tenants[name].address, found, why)
            sys.stderr.write(f"{page}\n")
    finally:
        for task in tasks.values():
            task.cancel()
    page = Page(capabilities)
    unready = sum(map(bool, statuses))
    _conclude(page, unready, len(tenants), str(settings.tenants), refused=2 in statuses)
    sys.stderr.write(f"{page}\n")
    if 2 in statuses:
        return 2
    if unready:
        return 3 if unready == len(tenants) else 4
    return 0


async def _inspect(
    name: str, tenant: Tenant, settings: Settings, room: asyncio.Semaphore
) -> tuple[list[Finding], str | None, int]:
    """The findings, why no run may start there (None where one may), and the exit status of a check of it alone."""
    found: list[Finding] = []
    why, status = None, 0
    async with room:
        try:
            async with aclosing(findings_of(settings_of(name, tenant, settings))) as findings:
                async for finding in findings:
                    found.append(finding)
                    if finding.bad:
                        why, status = f"{finding.title}: {finding.text}", 3
        except MassStopError as error:
            # Missing credentials of one tenant do not prevent the check of the others.
            why, status = str(error), error.exit_status
    return found, why, status


def _add(page: Page, name: str, address: str, found: list[Finding], why: str | None) -> None:
    """A few lines on one tenant."""
    production = "PRODUCTION, " if kind_of_tenant(address).production else ""
    state = "ready" if why is None else "NOT ready"
    page.entry(name, f"{production}{address}: {state}", "red" if why else "green")
    if why:
        page.entry("", why)
    for finding in found:
        if why is None and (finding.title in _ALLOWANCES or finding.advice):
            page.entry("", f"{finding.title}: {finding.text}" if finding.title else finding.text)
        if finding.advice:
            page.entry("", f"-> {finding.advice}", "yellow")


def _conclude(page: Page, unready: int, every: int, file: str, *, refused: bool) -> None:
    """Whether a run over all tenants may start, and the command that shows one tenant in full."""
    if unready:
        effect = ""
        if refused:
            effect = ": a run would refuse its input"
        elif unready < every:
            effect = ": a run would work on the others"
        page.line(f"NOT ready: {unready:,} of {counted(every, 'tenant')}{effect}.", "red")
    else:
        page.line(f"Ready: mass-stop plan, or run, of {counted(every, 'tenant')} may start.", "green")
    page.line("One of them in full:")
    page.command(f"mass-stop check --tenants {shlex.quote(file)} --tenant NAME")
