"""A journal in memory for tests."""

import asyncio
import weakref
from collections.abc import Awaitable
from typing import Any, TypeVar

from orchestrator.clock import Clock
from orchestrator.journal import database
from orchestrator.journal.entries import NO_KEYS, Counts, RunInfo
from orchestrator.journal.journal import Journal
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.writer import FallbackConnection
from orchestrator.model import InputRow, Problem
from orchestrator.report import ActionEntry, Report, read_report
from tests.inline_writer import InlineWriter

R = TypeVar("R")

INFO = RunInfo("run", "run", "0", 0.0, "2026-11-23T22:50:13.000Z", "https://tenant.invalid", None, (), {})
PROBLEM = Problem("locked", 50000050, 200, "locked", "request", "process")
SENT = "2026-11-23T22:50:14.000Z"
NOW = "2026-11-18T11:06:40.000Z"
"""The constant time of the clock of a :class:`Book`."""


def key(number: int) -> str:
    return f"{number:032x}"


def row(number: int, of: int | None = None, **fields: Any) -> InputRow:
    """Return the row on line ``number`` with the key number ``of``."""
    return InputRow(number, key(number if of is None else of), **fields)


class Book:
    """A journal in memory with one source, and an event loop to wait on."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner
        self.connection = database.in_memory()
        weakref.finalize(self, self.connection.close)
        self.journal = self._opened()
        self.journal.begin(INFO)
        self.journal.begin_session()
        (self.source,) = self.journal.add_sources([("keys.csv", "keys.csv")])

    def _opened(self) -> Journal:
        return Journal(
            InlineWriter(FallbackConnection(self.connection)), Clock(lambda: 0.0, wall=1_795_000_000.0)
        )

    def wait(self, what: Awaitable[R]) -> R:
        async def waiting() -> R:
            return await what

        return self.runner.run(waiting())

    def admit(self, *rows: InputRow, ranked: bool = False) -> int:
        self.source, new = self.journal.admit(self.source, rows, ranked).result()
        return new.total()

    def claim(self, most: int = 100, *, intent: bool = True) -> list[str]:
        return [action.bulk_key for action in self.wait(self.journal.claim(most, intent))]

    def accept(self, seq: int, *, claimed: bool = True) -> None:
        self.journal.accepted(seq, SENT, SENT, "track", "request", 1.0, claimed)

    def fail(self, seq: int, *, lost: bool = False) -> None:
        self.journal.stop_failed(seq, SENT, "track", PROBLEM, lost=lost, throttled=False)

    def reopen(self, *, kept: bool = True) -> Counts:
        """Reopen the journal as after kill -9. The response files exist if they were ``kept``."""
        self.connection = database.copy_to_memory(self.connection)
        weakref.finalize(self, self.connection.close)
        self.journal = self._opened()
        return sum(self.wait(self.journal.reopen(kept=lambda _: kept)).values(), NO_KEYS)

    def report(self) -> Report:
        return read_report(JournalReader(self.connection))

    def action(self, seq: int = 1) -> ActionEntry:
        return self.report().actions[seq - 1]


def table(book: Book, columns: str, name: str) -> list[tuple[Any, ...]]:
    return book.connection.execute(f"SELECT {columns} FROM {name} ORDER BY rowid").fetchall()
