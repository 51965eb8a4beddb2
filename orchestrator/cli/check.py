"""``mass-stop check``."""

import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import options
from orchestrator.cli.help import Command
from orchestrator.errors import MassStopError, UsageError

if TYPE_CHECKING:
    from orchestrator.settings import Settings


@click.command("check", cls=Command)
@click.argument("key", metavar="[KEY]", required=False)
@options.settings_options(
    *options.TENANT, "tenants", "tenant", "timeout", "concurrency", "headroom", "rate", "any_key"
)
def command(key: str | None, **given: Any) -> int:
    """Check reachability, credentials, clock and limits of the tenant. Stops nothing.

    With KEY it also reads that mass action: its state, its user, its records, and whether this user can see it.

    With --tenants it checks every tenant of the file, a few lines for each; with --tenant NAME, one of them in full.

    The exit status is 0 if a run may start, and 3 if the tenant cannot be reached or refuses the credentials. It is 4
    if only some of several tenants are ready, 2 if a credential is missing, and 1 if KEY cannot be read.
    """
    import anyio

    settings = options.read_settings(given)
    options.need_tenant(settings)
    wanted = None if key is None else _readable(key, settings)
    if settings.tenants is None:
        return anyio.run(_check_one, settings, wanted)

    from orchestrator.cli.check_all import check_all
    from orchestrator.runs import tenants_of
    from orchestrator.settings.tenants import settings_of

    tenants = tenants_of(settings)
    if settings.tenant is not None:
        return anyio.run(_check_one, settings_of(settings.tenant, tenants[settings.tenant], settings), wanted)
    return anyio.run(check_all, settings, tenants)


def _readable(argument: str, settings: "Settings") -> str:
    """The bulk key of ``argument``. Raises UsageError."""
    from orchestrator.sources.cells import bulk_key, key_problem, safe_key

    if settings.tenants is not None and settings.tenant is None:
        raise UsageError("A key does not say which tenant it belongs to: add --tenant NAME.")
    key = (safe_key if settings.any_key else bulk_key)(argument)
    if key is None:
        raise UsageError(f"{argument} is no bulk key. {key_problem(argument, any_key=settings.any_key)}")
    return key


async def _check_one(settings: "Settings", key: str | None) -> int:
    from orchestrator.cli.page import Page, capabilities_of
    from orchestrator.cli.preflight import findings_of

    capabilities = capabilities_of(sys.stderr)
    why, status = "", 0
    try:
        async with aclosing(findings_of(settings, key)) as found:
            async for finding in found:
                page = Page(capabilities)
                page.entry(finding.title, finding.text, "red" if finding.bad else None)
                if finding.advice:
                    page.entry("", f"-> {finding.advice}", "yellow")
                sys.stderr.write(f"{page}\n")
                if finding.bad and not why:
                    # The first one: a tenant that is not ready gives no action either.
                    why, status = f"see {finding.title}.", finding.status
    except UsageError:
        raise
    except MassStopError as error:
        why, status = str(error), 3
    page = Page(capabilities)
    if status == 1:
        page.line(f"The tenant is ready, but the action could not be read: {why}", "red")
    elif why:
        page.line(f"NOT ready: {why}", "red")
    else:
        page.line("Ready: mass-stop plan, or run, may start.", "green")
    sys.stderr.write(f"{page}\n")
    return status
