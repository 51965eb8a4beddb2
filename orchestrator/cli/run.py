"""``mass-stop run``."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import click

from orchestrator.cli import complete, options
from orchestrator.errors import UsageError
from orchestrator.settings import Settings


@click.command("run", cls=options.Sectioned)
@click.argument("sources", metavar="[SOURCE]...", nargs=-1, shell_complete=complete.files)
@options.settings_options(
    *options.TENANT, *options.MANY, *options.INPUT, *options.ORDER, *options.GUARDS, *options.PACE, *options.ENDS,
    "yes", *options.OUTPUT,
)  # fmt: skip
def command(sources: tuple[str, ...], **given: Any) -> int:
    """Stops every mass action whose bulk key is in SOURCE, follows each to its end, and writes the report.

    SOURCE is a CSV file, a list with one key a line, either gzipped, or - for standard input.
    """
    settings = options.read_settings(given)
    specs = input_specs(sources, settings)
    if settings.tenants is None:
        settings.address  # noqa: B018 - a run without a tenant is refused before anything is imported or made
    return stop(settings, specs)


def input_specs(sources: tuple[str, ...], settings: Settings) -> tuple[str, ...]:
    """The sources as given, or standard input where that can hold keys. Raises UsageError."""
    if sources or settings.plan:
        return sources
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("No keys: name a file with bulk keys, or pipe them into mass-stop.")
    return ("-",)


def stop(settings: Settings, specs: tuple[str, ...]) -> int:
    """Runs ``settings`` over ``specs``, once the operator agrees. Returns the exit status."""
    from orchestrator import app
    from orchestrator.cli import confirm, many
    from orchestrator.cli.page import look_of
    from orchestrator.cli.session import conduct, opened
    from orchestrator.logs import Screen
    from orchestrator.store import report as reports

    tty = None if settings.yes else confirm.terminal()
    if tty is None and not settings.yes:
        raise confirm.needs_yes()

    @asynccontextmanager
    async def prepare(screen: Screen) -> AsyncIterator[tuple[app.Run, app.RunIntake]]:
        async with opened(app.begin(settings, "run", screen)) as run:
            intake = app.file_intake(run, app.new_sources(run, specs))
            if tty is not None or settings.strict or settings.order or settings.plan:
                intake = await app.read_ahead(run, intake)
            if tty is not None:
                entry, summary = await run.read(reports.read_head)
                first = await app.first_actions(run, confirm.SHOWN)
                look = look_of(sys.stderr)
                if run.tenants:
                    text = many.question(look, entry, summary)
                else:
                    text = confirm.question(look, settings, entry, summary, first)
                await confirm.agree(tty, text)
            yield run, intake

    return conduct(settings, prepare)
