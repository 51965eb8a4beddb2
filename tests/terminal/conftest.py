"""Fixtures of the terminal tests. The command and its tenants come from the acceptance tests."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.acceptance.conftest import make_tenant, mass_stop, started, tenants
from tests.acceptance.support import LONGEST, MassStop, Tenant
from tests.terminal.screen import Screen

__all__ = ["make_tenant", "mass_stop", "started", "tenants"]

KEPT = Path(__file__).parent / "snapshots"

AFRESH = "KEEP_SNAPSHOTS"
"""The environment variable that renews the snapshots. Check the difference before you commit it."""

MIXED: dict[str, Any] = {
    "actions": 14,
    "seed": 5,
    "latency": 0.003,
    "records": (5, 40),
    "stopping_time": (0.01, 0.1),
    "start_delay": (600.0, 900.0),
    "mix": {"Pending": 6, "Completed": 3, "Stopped": 1, "Failed": 1},
    "denied": 0.2,
}
"""A tenant whose statuses do not change with time, because no action is Processing."""


class On:
    """A command on a terminal with ``columns`` columns."""

    def __init__(self, child: "pexpect.spawn[str]", columns: int) -> None:
        self.child = child
        self._columns = columns
        self._written: list[str] = []
        child.logfile_read = self

    def write(self, text: str) -> None:
        self._written.append(text)

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    @property
    def written(self) -> str:
        """All characters that the terminal received."""
        return "".join(self._written)

    def screen(self) -> str:
        """Return the lines that are visible after scrolling back."""
        return Screen(self._columns).show(self.written)

    def end(self) -> int:
        """Wait for the command's end and return its exit status."""
        self.child.expect(pexpect.EOF)
        self.child.wait()
        assert self.child.exitstatus is not None
        return int(self.child.exitstatus)


@pytest.fixture
def on_terminal(mass_stop: MassStop) -> Iterator[Callable[..., On]]:
    """Start ``mass-stop ARGUMENTS`` on a terminal, by default without colour and Unicode."""
    started = []

    def start(
        *arguments: Any, tenant: Tenant | None, columns: int = 80, env: dict[str, str] | None = None
    ) -> On:
        base = {"TERM": "xterm", "NO_COLOR": "1", "LANG": "C"}
        child = pexpect.spawn(
            str(mass_stop.command),
            [str(argument) for argument in arguments],
            env=mass_stop.environment(tenant, base | (env or {})),
            cwd=str(mass_stop.home),
            encoding="utf-8",
            timeout=LONGEST,
            dimensions=(50, columns),
        )
        started.append(child)
        return On(child, columns)

    yield start
    for child in started:
        child.close(force=True)


_FOLDED = re.compile(r"^  (time|forecast|a run needs|a run takes)\b.*(?:\n {4,}\S.*)*", re.M)
"""Entries with times. Their line breaks depend on the time."""

_PASSING = (
    (r"[\d.,]+GB(?=\s+free)", "NGB"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "YYYY-MM-DD HH:MM:SS"),
    (r"(?<=\.0\.0\.1:)\d{5}", "PPPPP"),
    (r"\d{8}-\d{6}-[0-9a-f]{6}", "RUN_ID"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "DATE"),
    (r"(?<=\"version\":\")[\d.]+", "VERSION"),
    (r"(accepted|completed) after [\d.hms]+", r"\1 after TIME"),
    (r"(?<=connected in )[\d.]+ ?m?s", "TIME"),
    (r"(?<=about )[\d.hms]+(?= to the last)", "TIME"),
    (r"(?<=, )[\d.hms]+(?= until every key)", "TIME"),
    (r"(?<=about )[\d,]+(?= calls)", "N"),
    (r"[\d,]+(?= status,)", "N"),
    (r"(?<=enough for )[\d,]+(?= keys)", "N"),
)
"""Values that differ between runs, and their placeholders."""


def normalised(text: str) -> str:
    text = _FOLDED.sub(lambda entry: "  " + " ".join(entry[0].split()), text)
    for pattern, placeholder in _PASSING:
        text = re.sub(pattern, placeholder, text)
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


@pytest.fixture
def as_kept() -> Callable[..., None]:
    """Compare a screen with the snapshot that a person checked. Without ``passing``, use no placeholders."""

    def compare(name: str, text: str, *, passing: bool = True) -> None:
        path = KEPT / f"{name}.txt"
        shown = normalised(text) if passing else text
        if os.environ.get(AFRESH):
            path.parent.mkdir(exist_ok=True)
            path.write_text(shown, "utf-8")
        assert shown == path.read_text("utf-8"), f"{path.name} differs; {AFRESH}=1 writes it again"

    return compare
