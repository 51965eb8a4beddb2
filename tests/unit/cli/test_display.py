"""The display of progress on a terminal that closes."""

import asyncio
import errno
import sys
import threading
from io import StringIO
from typing import TextIO, cast

import pytest

from orchestrator.background import BackgroundStream
from orchestrator.cli.display import showing
from orchestrator.cli.page import Capabilities
from orchestrator.logs import Screen
from orchestrator.progress import Progress


class Hanging(StringIO):
    """A terminal that closes when the test says so."""

    gone = False

    def __init__(self) -> None:
        super().__init__()
        self.shown, self.refused = threading.Event(), threading.Event()

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.gone:
            self.refused.set()
            raise OSError(errno.EIO, "Input/output error")
        if "answered" in text:
            self.shown.set()
        return super().write(text)


@pytest.mark.asyncio
async def test_a_terminal_that_hangs_up_does_not_end_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Hanging()
    stream = cast(TextIO, BackgroundStream(terminal))
    monkeypatch.setattr(sys, "stderr", stream)
    progress = Progress(keys=3)
    async with showing(progress, Screen(stream, "info", json=False), Capabilities(width=80, animated=True)):
        await asyncio.to_thread(terminal.shown.wait)
        terminal.gone = True
        await asyncio.to_thread(terminal.refused.wait)
