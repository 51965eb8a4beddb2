"""Response files, keys and a journal in memory, in virtual time."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

import msgspec

from orchestrator.action import Action
from orchestrator.clock import Clock
from orchestrator.errors import CallError, Kind
from orchestrator.journal import database
from orchestrator.journal.admission import Admission
from orchestrator.journal.entries import SourceInfo
from orchestrator.journal.journal import Journal
from orchestrator.journal.writer import LINGER, FallbackConnection, ThreadWriter, deliver
from orchestrator.model import InputRow, Records
from orchestrator.results.spool import Fetch
from tests.simulation.virtual import R

Batch = tuple[float, Sequence[InputRow]]
"""Rows, and the seconds for which their source waits before it has them."""


class MemoryResponses:
    """Response files in memory. Those of ``unusable`` keys cannot be read."""

    def __init__(self, unusable: Iterable[str] = ()) -> None:
        self.files: dict[str, bytes] = {}
        self._unusable = set(unusable)

    async def fetch(self, bulk_key: str, fetch: Fetch) -> None:
        chunks: list[bytes] = []

        async def write(chunk: bytes) -> None:
            chunks.append(chunk)

        await fetch(write=write)
        self.files[bulk_key] = b"".join(chunks)

    async def count(self, bulk_key: str, action_type: str | None) -> Records:
        await asyncio.sleep(0.01)
        if bulk_key in self._unusable:
            raise CallError(Kind.BAD_FILE, "the file is no zip")
        records = msgspec.json.decode(self.files[bulk_key], type=Records)
        return msgspec.structs.replace(records, source="response_file")


class MemoryIntake:
    """Rows in batches. Before each batch, the source waits for its writer."""

    def __init__(self, journal: Journal, info: SourceInfo, batches: Sequence[Batch]) -> None:
        self._batches = batches
        self._admission = Admission(
            journal, info, ranked=batches[0][1][0].weight is not None if batches else False
        )
        self._waiting = self._done = False

    async def read(self, on_new: Callable[[Counter[str]], None]) -> None:
        try:
            for seconds, rows in self._batches:
                self._waiting = seconds > 0
                await asyncio.sleep(seconds)
                self._waiting = False
                for row in rows:
                    self._admission.add(row)
                on_new(self._admission.flush())
            self._admission.complete(None)
        finally:
            self._done = True

    async def finish(self) -> None:
        while not self._done and not self._waiting:  # noqa: ASYNC110 - both change without virtual time
            await asyncio.sleep(0)


class LaggingWriter(ThreadWriter):
    """Commits like the journal's thread, but on the loop's own clock. Notes without a waiting caller are delayed.

    A kill -9 loses delayed notes that are not committed.
    """

    def __init__(self, connection: FallbackConnection) -> None:
        self._connection = connection
        self._group: list[Any] = []
        self._timer: asyncio.TimerHandle | None = None

    def note(self, statement: str, **values: Any) -> None:
        self._group.append((statement, values))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINGER, self.commit)

    def perform(self, work: Callable[[sqlite3.Connection], R], *, batched: bool = False) -> "Future[R]":
        future: Future[R] = Future()
        self._group.append((work, future))
        self.commit()
        return future

    def commit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        group, self._group = self._group, []
        for future, result in self._connection.commit(group):
            deliver(future, result)

    def close(self) -> None:
        self.commit()
        self._connection.connection.close()


class SlowJournal(Journal):
    """A journal whose disk needs ``seconds`` for each commit that a stop waits for."""

    def __init__(self, writer: ThreadWriter, clock: Clock, seconds: float) -> None:
        super().__init__(writer, clock)
        self._seconds = seconds

    async def claim(self, most: int, intent: bool) -> list[Action]:
        await asyncio.sleep(self._seconds)
        return await super().claim(most, intent)

    async def record_intent(self, seq: int, *, retried: bool) -> None:
        await super().record_intent(seq, retried=retried)
        await asyncio.sleep(self._seconds)


def snapshot(connection: sqlite3.Connection) -> sqlite3.Connection:
    """Return a copy of the database on disk, as a kill -9 now would leave it."""
    return database.copy_to_memory(connection)
