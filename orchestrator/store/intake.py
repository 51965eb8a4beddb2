"""From sources into the journal: rows are admitted in batches, as they come."""

import select
import stat
from asyncio import wrap_future
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from itertools import islice
import os

import anyio
import anyio.from_thread
import anyio.to_thread

from orchestrator.errors import InputError
from orchestrator.model import InputRow, is_bulk_key
from orchestrator.store.journal import Journal, SourceInfo, chained, same_rows
from orchestrator.store.sources import Source

BATCH = 2_000
"""Rows admitted at once, at most; fewer where the source would wait for more."""


class Admission:
    """Takes the rows of one source into the journal, in batches, and passes over those an earlier session took."""

    def __init__(self, journal: Journal, info: SourceInfo, *, ranked: bool) -> None:
        self._journal = journal
        self._known = info.last_row
        self._chain = ""
        self._ranked = ranked
        self._batch: list[InputRow] = []
        self._earlier = info
        self.info = info

    def add(self, row: InputRow) -> None:
        if row.number <= self._known:
            self._chain = chained(self._chain, [row])
            return
        if self._known:
            self._compare()
        self._batch.append(row)

    @property
    def full(self) -> bool:
        return len(self._batch) >= BATCH

    def flush(self) -> int:
        """Admits what has gathered; returns how many keys were new. Blocks until it is committed."""
        if not self._batch:
            return 0
        batch, self._batch = self._batch, []
        self.info, new = self._journal.admit(self.info, batch, self._ranked).result()
        return new

    def complete(self, sha256: str | None) -> None:
        if self._known:
            self._compare()
        self._journal.source_complete(self.info, sha256)

    def _compare(self) -> None:
        same_rows(self._earlier, self._chain)
        self._known = 0


class FileIntake:
    """Reads files and standard input in a thread, one source after the other.

    ``column`` and ``weight_column`` are as in :meth:`Source.read`. With ``strict`` a malformed row is an InputError.
    ``trouble`` is the error that ended the reading, once keys of the same input were passed on already.
    """

    def __init__(
        self,
        journal: Journal,
        sources: Sequence[tuple[Source, SourceInfo]],
        *,
        column: str | None,
        weight_column: str | None,
        strict: bool = False,
    ) -> None:
        self._journal = journal
        self._sources = sources
        self._column = column
        self._weight_column = weight_column
        self._strict = strict
        self._finishing = False
        self._waiting = False
        self._done = anyio.Event()
        self.rows = 0
        self.trouble: InputError | None = None

    async def read(self, on_new: Callable[[int], None]) -> None:
        """Admits every row. Raises InputError for a source that cannot be read, if no key of it was passed on."""

        def tell(count: int) -> None:
            anyio.from_thread.run_sync(on_new, count)

        try:
            await anyio.to_thread.run_sync(self._read_all, tell, abandon_on_cancel=True)
        finally:
            self._done.set()

    async def finish(self) -> None:
        """Reads on to the end of what is there; a source that waits for its writer is left."""
        self._finishing = True
        while not self._done.is_set() and not self._waiting:
            with anyio.move_on_after(0.05):
                await self._done.wait()

    def _read_all(self, tell: Callable[[int], None]) -> None:
        for source, info in self._sources:
            if not self._read_one(source, info, tell):
                return

    def _read_one(self, source: Source, info: SourceInfo, tell: Callable[[int], None]) -> bool:
        """Whether ``source`` was read to its end."""
        admission = Admission(self._journal, info, ranked=self._weight_column is not None)

        def flush() -> None:
            if new := admission.flush():
                tell(new)

        def before_waiting() -> None:
            self._waiting = False
            flush()
            self._waiting = not _ready(source)
            if self._waiting and self._finishing:
                raise _Left

        try:
            for row in source.read(
                column=self._column, weight_column=self._weight_column, on_wait=before_waiting
            ):
                self._waiting = False
                if self._strict and row.problem is not None:
                    raise InputError(
                        f"{source.name}, line {row.number}: {row.problem} With --strict nothing was sent; mend the row "
                        "or leave out --strict."
                    )
                self.rows += 1
                admission.add(row)
                if admission.full:
                    flush()
            flush()
        except _Left:
            return False
        admission.complete(source.sha256)
        return True


class KeyIntake:
    """Takes keys that a program hands over, from any iterable; each may wait for the next as long as it likes."""

    def __init__(self, journal: Journal, keys: Iterable[str] | AsyncIterable[str], info: SourceInfo) -> None:
        self._keys = keys
        self._admission = Admission(journal, info, ranked=False)
        self._journal = journal
        self._number = 0

    async def read(self, on_new: Callable[[int], None]) -> None:
        async for batch in self._batches():
            rows = [self._row(key) for key in batch]
            self._admission.info, new = await wrap_future(
                self._journal.admit(self._admission.info, rows, ranked=False)
            )
            on_new(new)
        self._admission.complete(None)

    async def finish(self) -> None:
        """What a program has not handed over is not waited for."""

    def _row(self, key: str) -> InputRow:
        self._number += 1
        key = key.strip()
        problem = None if is_bulk_key(key) else "This is no bulk key: one has 32 letters or digits."
        return InputRow(self._number, key, problem=problem)

    async def _batches(self) -> AsyncIterator[list[str]]:
        if isinstance(self._keys, AsyncIterable):
            async for key in self._keys:
                yield [key]
            return
        keys = iter(self._keys)
        while batch := list(islice(keys, BATCH)):
            yield batch


class _Left(Exception):
    """The source waits for its writer, and nobody needs its keys any more."""


def _ready(source: Source) -> bool:
    """Whether a read of ``source`` returns at once: always for a regular file, for a pipe where something is there."""
    if source.path is not None:
        return stat.S_ISREG(os.stat(source.path).st_mode)
    return bool(select.select([0], [], [], 0)[0])
