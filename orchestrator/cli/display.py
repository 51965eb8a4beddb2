"""Progress on a terminal: stops first, then settling."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TextIO, cast

import anyio
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from orchestrator.logs import Screen
from orchestrator.progress import Tally

EVERY = 0.2


@asynccontextmanager
async def showing(tally: Tally, screen: Screen) -> AsyncIterator[None]:
    """Shows ``tally`` while the block runs; events of ``screen`` appear above it."""
    console = Console(stderr=True)
    progress = Progress(
        TextColumn("{task.description:<8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        auto_refresh=False,
        transient=True,
    )
    stops = progress.add_task("stops", total=None, note="")
    ends = progress.add_task("settled", total=None, note="")
    started = time.monotonic()

    def update() -> None:
        total = tally.keys if tally.keys else None
        rate = tally.accepted / max(time.monotonic() - started, 0.1)
        pace = f"{rate:.0f}/s  {tally.in_flight}/{tally.slots} slots"
        setbacks = f"{tally.retries} retries  {tally.throttled} throttled"
        done = tally.accepted + tally.settled_unsent
        progress.update(stops, completed=done, total=total, note=f"{pace}  {setbacks}")
        progress.update(ends, completed=tally.settled, total=total, note=_outcomes(tally))
        progress.refresh()

    async def keep_updating() -> None:
        while True:
            update()
            await anyio.sleep(EVERY)

    with progress, screen.through(cast(TextIO, _Above(console))):
        async with anyio.create_task_group() as group:
            group.start_soon(keep_updating)
            try:
                yield
            finally:
                update()
                group.cancel_scope.cancel()


class _Above:
    """A stream whose lines appear above the progress."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> None:
        self._console.print(text, end="", markup=False, highlight=False, soft_wrap=True)

    def flush(self) -> None:
        """The console writes at once."""


def _outcomes(tally: Tally) -> str:
    return "  ".join(f"{count} {outcome.value}" for outcome, count in tally.outcomes.most_common(4))
