"""``mass-stop check``."""

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import options

if TYPE_CHECKING:
    from orchestrator.cli.findings import Finding
    from orchestrator.cli.page import Page
    from orchestrator.errors import CallError
    from orchestrator.model import Answered
    from orchestrator.settings import Settings
    from orchestrator.zuora.client import ZuoraClient

NOBODY = "0" * 32
"""A bulk key that no mass action has: reading its status shows all of the tenant but any action."""

LONGEST_CONNECT = 10.0


@click.command("check", cls=options.Sectioned)
@options.settings_options(*options.TENANT, "timeout", "concurrency", "headroom", "rate")
def command(**given: Any) -> int:
    """Checks reachability, credentials, clock and limits of the tenant. Stops nothing.

    Ends in exit status 0 where a run may start, in 3 where the tenant cannot be reached or refuses the credentials.
    """
    import anyio

    settings = options.read_settings(given)
    settings.address  # noqa: B018 - nothing to check without a tenant
    return anyio.run(_check, settings)


async def _check(settings: "Settings") -> int:
    from orchestrator.cli.page import Page, look_of
    from orchestrator.errors import MassStopError, UsageError

    look = look_of(sys.stderr)
    why = ""
    try:
        async with aclosing(_findings(settings)) as found:
            async for finding in found:
                page = Page(look)
                page.entry(finding.title, finding.text, "red" if finding.bad else None)
                if finding.advice:
                    page.entry("", f"-> {finding.advice}", "yellow")
                _tell(page)
                if finding.bad:
                    why = f"see {finding.title}."
    except UsageError:
        raise
    except MassStopError as error:
        why = str(error)
    page = Page(look)
    if why:
        page.line(f"NOT ready: {why}", "red")
    else:
        page.line("Ready: mass-stop plan, or run, may start.", "green")
    _tell(page)
    return 3 if why else 0


async def _findings(settings: "Settings") -> "AsyncGenerator[Finding, None]":
    """Each finding as soon as it is known: where the tenant hangs, the screen shows at which step.

    Raises TenantError where no further step can be taken.
    """
    from orchestrator.cli import findings
    from orchestrator.clock import Clock
    from orchestrator.errors import TenantUnreachable
    from orchestrator.zuora.client import ZuoraClient
    from orchestrator.zuora.probe import reach

    clock = Clock()
    answers: list[Answered] = []
    async with ZuoraClient(settings, clock, answers.append) as tenant:
        yield findings.tenant(settings)
        for finding in findings.reachable(
            await reach(settings.address, min(LONGEST_CONNECT, settings.timeout)), clock.wall()
        ):
            yield finding
        await tenant.authenticate()
        error = await _read_nobody(tenant, settings)
        for finding in findings.credentials(tenant.granted, settings):
            yield finding
        if not answers:
            raise TenantUnreachable(f"{settings.address} gave no answer: {error and error.message}")
        yield findings.permission(error, settings)
    answer = answers[-1]
    yield findings.clock(answer, clock.wall())
    for finding in findings.limits(answer.limits, settings):
        yield finding
    yield findings.ahead(answer.limits, answer.seconds, settings)


async def _read_nobody(tenant: "ZuoraClient", settings: "Settings") -> "CallError | None":
    from orchestrator.errors import CallError, Kind

    try:
        await tenant.status(NOBODY, f"{settings.track_prefix}-check")
    except CallError as error:
        if error.kind is Kind.UNAUTHENTICATED:
            await tenant.authenticate()  # raises where a token that was handed over is at fault
        return error
    return None


def _tell(page: "Page") -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{page}\n")
        sys.stderr.flush()
