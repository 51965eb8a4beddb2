"""``mass-stop verify``."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import options
from orchestrator.cli.help import Command
from orchestrator.cli.latest import run_argument, run_or_latest
from orchestrator.cli.output import say
from orchestrator.cli.page import Page, capabilities_of
from orchestrator.printable import counted

if TYPE_CHECKING:
    from orchestrator.journal.entries import Verification
    from orchestrator.runs import Run

SHOWN = 20
"""Findings that the screen shows."""


@click.command("verify", cls=Command)
@run_argument
@options.settings_options(*options.TENANT, *options.MANY, *options.PACE, *options.SCREEN)
def command(run_dir: Path | None, latest: bool, **given: Any) -> int:
    """Read every status of the finished run in RUN_DIR again, and compare it with the report. Stops nothing.

    The exit status is 0 if every action is over and no known count changed after its end, otherwise 1. The findings are
    added to the journal, the report and the page.
    """
    from orchestrator.zuora import tls

    tls.import_aiohttp()
    from orchestrator import runs
    from orchestrator.cli.session import conduct
    from orchestrator.logs import Screen
    from orchestrator.runs import verify

    path = run_or_latest(run_dir, latest=latest, command="verify")
    info, earlier, sentences = verify.finished_run(path)
    for sentence in sentences:
        say(sentence)
    settings = options.read_settings(given, earlier=runs.kept(earlier))
    options.say_implicit(settings)

    async def close(run: runs.Run, *_: object) -> int:
        if run.ending.state != "finished":
            say(f"The verification was not completed, and nothing was kept: {run.ending.reason}")
            return run.exit_status
        return await _compare(path, run, quiet=settings.quiet)

    @asynccontextmanager
    async def prepare(screen: Screen) -> AsyncIterator[tuple[runs.Run, runs.Intake]]:
        # This session belongs to the verification: its begin and end are no events of a run.
        with screen.through(sys.stderr, frozenset({"run.started", "run.ended"})):
            async with verify.reading_again(path, info, settings, screen) as opened:
                yield opened

    return conduct(settings, prepare, close)


async def _compare(path: Path, run: "Run", *, quiet: bool) -> int:
    """Compare the statuses that ``run`` read with the report, and keep the findings. Returns the exit status."""
    from orchestrator.runs import verify
    from orchestrator.threads import in_thread

    verification = await verify.compare(path, run)
    if not (quiet and verification.held):
        _show(verification)
    if sentence := await in_thread(lambda: verify.keep(path, verification)):
        say(sentence)
    return 0 if verification.held else 1


def _show(verification: "Verification") -> None:
    page = Page(capabilities_of(sys.stderr))
    findings = verification.findings
    if verification.held:
        keys = f"{counted(verification.keys, 'action')} {'is' if verification.keys == 1 else 'are'}"
        page.line(f"Verified: {keys} over, and no known count changed after the end.", "green")
    else:
        bad = counted(len(findings), "finding")
        page.line(
            f"NOT verified: {verification.over:,} of {counted(verification.keys, 'action')} over, {bad}.",
            "red",
        )
    for finding in findings[:SHOWN]:
        page.line(f"{finding.bulk_key}: {finding.message}", indent=2, hang=2)
    if len(findings) > SHOWN:
        page.line(f"and {len(findings) - SHOWN:,} more: see report.json", indent=2)
    sys.stderr.write(f"{page}\n")
