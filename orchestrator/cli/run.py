"""``mass-stop run``."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TextIO

import click

from orchestrator.cli import complete, options, targets
from orchestrator.cli.help import Command
from orchestrator.errors import UsageError
from orchestrator.settings import Settings
from orchestrator.sources import is_key_argument

if TYPE_CHECKING:
    from orchestrator import runs


@click.command("run", cls=Command)
@click.argument("sources", metavar="[SOURCE]...", nargs=-1, shell_complete=complete.files)
@options.settings_options(
    *options.TENANT, *options.MANY, *options.INPUT, *options.ORDER, *options.GUARDS, *options.LIMITS,
    *options.PACE, *options.RESULTS, "yes", *options.EVIDENCE, "out", *options.FILES, *options.SCREEN,
)  # fmt: skip
def command(sources: tuple[str, ...], **given: Any) -> int:
    """Stop every mass action whose bulk key is in SOURCE, poll each until it ends, and write the report.

    SOURCE is a file (CSV, JSON or one key per line, possibly gzipped), - for standard input, or a bulk key.
    """
    settings = options.read_settings(given)
    specs = input_specs(sources, settings)
    options.need_tenant(settings)
    return stop(settings, specs)


def input_specs(sources: tuple[str, ...], settings: Settings) -> tuple[str, ...]:
    """The sources as given; without any, standard input if it is not a terminal.

    Raises UsageError if there are none, if one is a file that the run would replace, or if a tenant is not named.
    """
    if settings.tenants is not None and settings.tenant is None and any(map(is_key_argument, sources)):
        raise UsageError("Keys as arguments do not say which tenant they belong to: add --tenant NAME.")
    targets.keep_sources(sources, settings)
    if sources or settings.plan:
        return sources
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("No keys: name a file with bulk keys, or pipe them into mass-stop.")
    return ("-",)


def stop(settings: Settings, specs: tuple[str, ...]) -> int:
    """Runs ``settings`` over ``specs``, once the operator agrees. Returns the exit status."""
    tty = _terminal(settings)
    if tty is None:
        options.say_implicit(settings)
    from orchestrator.zuora import tls

    tls.import_aiohttp()
    from orchestrator import runs
    from orchestrator.cli.session import conduct
    from orchestrator.logs import Screen

    origin = runs.Origin(options.command_line(), "option" if tty is None else "terminal")

    @asynccontextmanager
    async def prepare(screen: Screen) -> AsyncIterator[tuple[runs.Run, runs.Intake]]:
        async with runs.opened(runs.begin(settings, "run", screen, origin=origin)) as run:
            intake = runs.file_intake(run, await runs.new_sources(run, specs))
            if tty is not None or settings.strict or settings.order or settings.plan:
                intake = await runs.read_ahead(run, intake)
            if tty is not None and run.progress.keys:  # without any the run says so itself
                await _confirm(run, settings, tty)
            yield run, intake

    return conduct(settings, prepare)


def _terminal(settings: Settings) -> TextIO | None:
    """The terminal to ask at, or None if ``settings`` agree in advance. Raises UsageError if neither is there.

    On a terminal, a ``yes`` of a configuration file that was found, not named, does not remove the question.
    """
    if settings.yes and "yes" not in settings.implicit:
        return None
    from orchestrator.cli import confirm

    tty = confirm.terminal()
    if tty is None and not settings.yes:
        raise UsageError(
            "There is no terminal to ask for confirmation, and a stop cannot be undone: give --yes to continue."
        )
    return tty


async def _confirm(run: "runs.Run", settings: Settings, tty: TextIO) -> None:
    from orchestrator import report as reports
    from orchestrator import runs
    from orchestrator.cli import confirm
    from orchestrator.cli.page import capabilities_of

    capabilities = capabilities_of(sys.stderr)
    entry, summary = await run.read(reports.read_head)
    first = await runs.first_actions(run, confirm.SHOWN)
    text = confirm.question(capabilities, settings, entry, summary, first, run.unordered)
    await confirm.agree(tty, text)
