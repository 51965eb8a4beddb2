"""The display of progress on a terminal that closes."""

import asyncio
import errno
import sys
from io import StringIO

import pytest

from orchestrator.cli.display import EVERY, showing
from orchestrator.cli.page import Capabilities
from orchestrator.logs import Screen
from orchestrator.progress import Progress


class Hanging(StringIO):
    """A terminal that closes when the test says so."""

    gone = False

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self.gone:
            raise OSError(errno.EIO, "Input/output error")
        return super().write(text)


@pytest.mark.asyncio
async def test_a_terminal_that_hangs_up_does_not_end_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Hanging()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress(keys=3)
    async with showing(progress, Screen(terminal, "info", json=False), Capabilities(width=80, animated=True)):
        await asyncio.sleep(0)
        terminal.gone = True
        await asyncio.sleep(2 * EVERY)
    assert "answered" in terminal.getvalue()
