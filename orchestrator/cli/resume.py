"""``mass-stop resume``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click

from orchestrator.cli import complete, options
from orchestrator.cli.output import say


@click.command("resume", cls=options.Sectioned)
@click.argument(
    "run_dir", metavar="RUN_DIR", type=click.Path(path_type=Path), shell_complete=complete.folders
)
@click.argument("sources", metavar="[SOURCE]...", nargs=-1, shell_complete=complete.files)
@options.settings_options(
    *options.TENANT, *options.MANY, *options.PACE, *options.ENDS, "report", *options.OUTPUT[2:],
    unused=("yes",),
)  # fmt: skip
def command(run_dir: Path, sources: tuple[str, ...], **given: Any) -> int:
    """Goes on with the run in RUN_DIR and ends with one report of the whole.

    Limits and deadlines can be given anew. SOURCE is needed only where the cut came while standard input was still
    being read: give the same input again.
    """
    from orchestrator.zuora import tls

    tls.import_aiohttp()
    from orchestrator import runs
    from orchestrator.cli.session import conduct
    from orchestrator.logs import Screen

    info, told, known, sentences = runs.earlier(run_dir)
    for sentence in sentences:
        say(sentence)
    settings = options.read_settings(given, earlier=runs.kept(told))
    options.say_implicit(settings)
    unread = runs.unread_sources(run_dir, known, sources, told.plan)

    @asynccontextmanager
    async def prepare(screen: Screen) -> AsyncIterator[tuple[runs.Run, runs.RunIntake]]:
        async with runs.opened(runs.reopen(run_dir, info, settings, screen)) as run:
            yield run, await runs.rest_of_input(run, unread, told.plan)

    return conduct(settings, prepare)
