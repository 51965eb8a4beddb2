"""A journal writer that commits each change at once in the caller's thread, for tests without threads."""

import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from orchestrator.clock import Clock
from orchestrator.journal import database
from orchestrator.journal.journal import Journal
from orchestrator.journal.writer import FallbackConnection, ThreadWriter, deliver

R = TypeVar("R")


class InlineWriter(ThreadWriter):
    """A writer without a thread."""

    def __init__(self, connection: FallbackConnection) -> None:
        self._connection = connection

    def note(self, statement: str, **values: Any) -> None:
        self._connection.commit([(statement, values)])

    def perform(self, work: Callable[[sqlite3.Connection], R], *, batched: bool = False) -> "Future[R]":
        future: Future[R] = Future()
        for done, result in self._connection.commit([(work, future)]):
            deliver(done, result)
        return future

    def close(self) -> None:
        self._connection.close()


def inline(clock: Clock) -> Journal:
    """Return a journal in memory with an InlineWriter."""
    return Journal(InlineWriter(FallbackConnection(database.in_memory())), clock)
