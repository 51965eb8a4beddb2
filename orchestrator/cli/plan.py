"""``mass-stop plan``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import click

from orchestrator.cli import complete, options
from orchestrator.cli.help import Command
from orchestrator.cli.run import input_specs


@click.command("plan", cls=Command)
@click.argument("sources", metavar="[SOURCE]...", nargs=-1, shell_complete=complete.files)
@options.settings_options(
    *options.TENANT, *options.MANY, *options.INPUT, *options.GUARDS, *options.LIMITS, *options.PACE,
    "no_results", "out", *options.FILES, *options.SCREEN,
    unused=("order", "settle", "save_responses", "yes", *options.EVIDENCE),
)  # fmt: skip
def command(sources: tuple[str, ...], **given: Any) -> int:
    """Read the status of every mass action in SOURCE and report what run would do. Sends no stop."""
    settings = options.read_settings(given)
    specs = input_specs(sources, settings)
    options.need_tenant(settings)

    from orchestrator import runs
    from orchestrator.cli.session import conduct
    from orchestrator.logs import Screen

    origin = runs.Origin(options.command_line())

    @asynccontextmanager
    async def prepare(screen: Screen) -> AsyncIterator[tuple[runs.Run, runs.Intake]]:
        async with runs.opened(runs.begin(settings, "plan", screen, origin=origin)) as run:
            intake = runs.file_intake(run, await runs.new_sources(run, specs))
            yield run, await runs.read_ahead(run, intake) if settings.strict else intake

    return conduct(settings, prepare)
