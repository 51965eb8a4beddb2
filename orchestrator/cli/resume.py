"""``mass-stop resume``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click

from orchestrator.cli import complete, options, targets
from orchestrator.cli.help import Command
from orchestrator.cli.latest import latest_option, run_or_latest
from orchestrator.cli.output import say


@click.command("resume", cls=Command)
@click.argument(
    "places", metavar="[RUN_DIR] [SOURCE]...", nargs=-1, shell_complete=complete.folder_then_files
)
@latest_option("Resume the newest run in runs/; every argument is then a SOURCE.")
@click.option(
    "--retry-rejected",
    is_flag=True,
    envvar="MASS_STOP_RETRY_REJECTED",
    help="Also stop keys again that the tenant refused permanently.",
)
@options.settings_options(
    *options.TENANT, *options.MANY, *options.LIMITS, *options.PACE, *options.RESULTS, *options.EVIDENCE,
    *options.FILES, *options.SCREEN,
    unused=("yes",),
)  # fmt: skip
def command(places: tuple[str, ...], latest: bool, retry_rejected: bool, **given: Any) -> int:
    """Continue the run in RUN_DIR and write one report of the whole run.

    Limits and deadlines can be changed. SOURCE is needed only if the run was cut while it was reading standard
    input: give the same input again.
    """
    from orchestrator.zuora import tls

    tls.import_aiohttp()
    from orchestrator import runs
    from orchestrator.cli.session import conduct
    from orchestrator.logs import Screen

    named = None if latest or not places else Path(places[0])
    sources = places if latest else places[1:]
    run_dir = run_or_latest(named, latest=latest, command="resume")
    info, earlier, known, sentences = runs.earlier(run_dir)
    for sentence in sentences:
        say(sentence)
    settings = options.read_settings(given, earlier=runs.kept(earlier))
    options.say_implicit(settings)
    targets.keep_sources([*sources, *(source.path for source in known if source.path is not None)], settings)
    unread = runs.unread_sources(run_dir, known, sources, earlier.plan)

    origin = runs.Origin(options.command_line())

    @asynccontextmanager
    async def prepare(screen: Screen) -> AsyncIterator[tuple[runs.Run, runs.Intake]]:
        async with runs.opened(
            runs.reopen(run_dir, info, settings, screen, retry_rejected=retry_rejected, origin=origin)
        ) as run:
            yield run, await runs.rest_of_input(run, unread, earlier.plan)

    return conduct(settings, prepare)
