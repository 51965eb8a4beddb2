"""Progress on a terminal: stops first, then settling, and what needs a person."""

import os
import signal
import sys
import textwrap
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TextIO, cast

import anyio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from orchestrator.background import BackgroundStream, is_behind
from orchestrator.cli.by_tenant import rows_of, slots_of
from orchestrator.cli.page import NARROW, USUAL_WIDTH, Capabilities
from orchestrator.durations import duration
from orchestrator.logs import Screen
from orchestrator.printable import counted
from orchestrator.progress import OutageFacts, Progress, Speed

EVERY = 0.2
PEOPLE = 5
"""Keys that need a person and are named; the rest is counted."""

SHOWN_HERE = frozenset(
    {
        "run.started", "run.all_over", "run.ended", "action.needs_a_person", "tenant.throttled", "outage.started",
        "outage.ended",
    }
)  # fmt: skip
"""Events that the display or the summary shows better; the log file has each."""

USUAL_HEIGHT = 24

ECHO = 3
"""Columns left free at the right: where a terminal writes ``^C`` into a full line, all below moves down by one."""

LONGEST_FORECAST = 86_400.0

LONG_WAIT = 5.0
"""Seconds. A longer wait for the tenant is no part of the speed."""


@asynccontextmanager
async def showing(progress: Progress, screen: Screen, capabilities: Capabilities) -> AsyncIterator[None]:
    """Show ``progress`` while the block runs, and remove it afterwards. Events of ``screen`` appear above it."""
    errors = sys.stderr  # Live puts a stream of its own there
    console = _Console(
        capabilities, file=errors, width=(capabilities.width or 0) - ECHO, no_color=not capabilities.colour
    )
    picture = Picture(progress, capabilities, height=lambda: console.height)

    with (
        Live(console=console, auto_refresh=False, transient=True) as live,
        screen.through(cast(TextIO, _Above(console)), without=SHOWN_HERE),
    ):

        async def keep_updating() -> None:
            while True:
                if not is_behind(
                    errors
                ):  # a terminal that takes nothing, as after Ctrl-S, loses frames first
                    live.update(picture.at(time.monotonic()), refresh=True)
                await anyio.sleep(EVERY)

        async with anyio.create_task_group() as group:
            group.start_soon(keep_updating)
            group.start_soon(_stop_with_cursor, console, errors)
            try:
                yield
            finally:
                group.cancel_scope.cancel()


async def _stop_with_cursor(console: Console, errors: TextIO) -> None:
    """Show the cursor while Ctrl-Z has stopped the process, and hide it when the process continues."""
    if signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL:  # a shell without job control ignores it
        return
    with anyio.open_signal_receiver(signal.SIGTSTP) as signals:
        async for _ in signals:
            console.show_cursor(True)
            if isinstance(errors, BackgroundStream):
                errors.drain(1.0)
            ours = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, ours)
            console.show_cursor(False)


class Picture:
    """The display at one moment.

    ``o_clock`` gives the time of day in so many seconds, ``height`` the lines of the screen.
    """

    def __init__(
        self,
        progress: Progress,
        capabilities: Capabilities,
        o_clock: Callable[[float], str] | None = None,
        height: Callable[[], int] = lambda: USUAL_HEIGHT,
    ) -> None:
        self._height = height
        self._progress = progress
        self._capabilities = capabilities
        self._o_clock = o_clock or _o_clock
        self._speeds: defaultdict[str, Speed] = defaultdict(Speed)  # by stage
        self._narrow = (capabilities.width or 0) < NARROW

    def at(self, now: float) -> RenderableType:
        """The picture at ``now`` (monotonic seconds)."""
        progress = self._progress
        if progress.outage is not None or progress.closed_until > now + LONG_WAIT:
            self._speeds.clear()  # the time until now says nothing about the speed
        bars = Table.grid(padding=(0, 1), expand=False)
        speeds = []
        for stage, (done, total) in progress.stages.items():
            speed = self._speeds[stage].at(now, done)
            self._add_bar(bars, stage, done, total)
            speeds.append((done < total, speed))
        current = next((speed for at_work, speed in speeds if at_work), speeds[-1][1])
        lines = list(self._state(now, current))
        people = list(self._people())
        room = self._height() - bars.row_count - len(lines) - len(people) - 1  # the cursor's own line
        lines += [*rows_of(progress.tenants, now, room, narrow=self._narrow), *people]
        return Group(bars, *(self._line(text, style) for style, text in lines))

    def _add_bar(self, bars: Table, stage: str, done: int, total: int) -> None:
        progress = self._progress
        known = progress.read_to_end or progress.planning
        width, suffix = (6, "") if self._narrow else (24, " left")
        its_turn = stage in ("read", "answered") or progress.keys_answered == progress.keys  # stops go first
        shown = (
            known
            and its_turn
            and done < total
            and progress.closing_by is None
            and progress.writing is None
            and progress.outage is None
        )
        left = self._speeds[stage].seconds_for(total - done) if shown else None
        bars.add_row(
            Text(f"{stage:<8}"),
            ProgressBar(total=max(total, 1), completed=done, width=width),
            Text(f"{done:,}/{total:,}{'' if known else '+'}", no_wrap=True),
            Text(
                "" if left is None or left > LONGEST_FORECAST else f"{duration(left)}{suffix}", no_wrap=True
            ),
        )

    def _state(self, now: float, speed: float | None) -> Iterable[tuple[str, str]]:
        """The current activity of the run, and the reason for its wait."""
        progress = self._progress
        if progress.all_over:
            follow = "" if progress.keys_completed == progress.keys else " Results follow."
            yield "green", f"All {counted(progress.keys, 'mass action')} confirmed over.{follow}"
        if progress.writing is not None:
            yield "", f"writing files {100 * progress.writing:.0f} %, safe to interrupt"
        elif progress.closing_by is not None:
            left = max(0.0, progress.closing_by - now)
            doing = "reading last statuses" if progress.confirming else "ending"
            yield (
                "yellow",
                f"{doing}: {counted(progress.in_flight, 'call')} in flight, {duration(left)} at most",
            )
        else:
            yield self._pace(speed)
            yield from self._waits(now)

    def _waits(self, now: float) -> Iterable[tuple[str, str]]:
        """The reason for the wait, and its end."""
        progress = self._progress
        if progress.outage is not None:
            yield from self._outage(progress.outage, now)
        elif progress.closed_until > now:
            wait = progress.closed_until - now
            yield "yellow", f"waiting for the tenant until {self._o_clock(wait)} ({duration(wait)})"
        elif progress.in_flight or not progress.slots or progress.planning:
            return
        elif progress.keys_completed == progress.keys and not progress.read_to_end:
            yield "", "waiting for more keys, until the input ends"
        elif progress.keys_completed < progress.keys == progress.keys_answered and progress.polls_until > now:
            actions = progress.keys - progress.keys_confirmed
            what = f"{counted(actions, 'action')} to end" if actions else "response files"
            yield "", f"waiting for {what}, until {self._o_clock(progress.polls_until - now)} at most"

    def _outage(self, outage: OutageFacts, now: float) -> Iterable[tuple[str, str]]:
        ago, left = now - outage.since, max(0.0, outage.ends_at - now)
        probe = max(0.0, outage.next_probe_at - now)
        yield "yellow", f"no answer since {self._o_clock(-ago)} ({duration(ago)})"
        room = (self._capabilities.width or USUAL_WIDTH) - ECHO - 2
        for line in textwrap.wrap(outage.problem, room, max_lines=3, placeholder=" ..."):
            yield "yellow", f"  {line}"
        yield "yellow", f"  next attempt in {duration(probe)}; gives up at {self._o_clock(left)}"

    def _pace(self, speed: float | None) -> tuple[str, str]:
        progress = self._progress
        if progress.outage is not None:  # it has probes besides its slots, and no speed
            return "", f"{counted(progress.in_flight, 'call')} in flight"
        parts = [slots_of(progress)]
        if speed is not None:
            parts.append(f"{speed:.0f}/s" if speed >= 10 else f"{speed:.1f}/s")
        if progress.retries:
            parts.append(f"{progress.retries:,} tried again")
        if progress.throttled:
            parts.append(f"{progress.throttled:,} throttled")
        if progress.hedged:
            parts.append(f"{progress.hedged:,} hedged")
        return "", "  ".join(parts)

    def _people(self) -> Iterable[tuple[str, str]]:
        needing = self._progress.need_a_person
        if not needing:
            return
        yield "bold red", f"{counted(needing, 'key')} {'needs' if needing == 1 else 'need'} a person:"
        latest = list(self._progress.latest)[-PEOPLE:]
        for one in reversed(latest):
            if self._narrow:
                yield "", f"  {one.bulk_key}"
                yield "", f"    {one.outcome.value}: {one.reason}"
            else:
                yield "", f"  {one.bulk_key} {one.outcome.value}: {one.reason}"
        if needing > len(latest):
            yield "", f"  and {needing - len(latest):,} more"

    def _line(self, text: str, style: str) -> Text:
        return Text(self._capabilities.plain(text), style=style, no_wrap=True, overflow="crop")


class _Console(Console):
    """A console that draws with ASCII where the terminal shows nothing else, whatever the stream's encoding says."""

    def __init__(self, capabilities: Capabilities, **settings: object) -> None:
        self._unicode = capabilities.unicode
        super().__init__(**settings)  # type: ignore[arg-type]  # Console checks its settings

    @property
    def encoding(self) -> str:
        return super().encoding if self._unicode else "ascii"


class _Above:
    """A stream whose lines appear above the progress."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> None:
        self._console.print(text, end="", markup=False, highlight=False, soft_wrap=True)

    def flush(self) -> None:
        """The console writes at once."""


def _o_clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
