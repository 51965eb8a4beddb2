"""From sources into the journal: rows are admitted in batches, as they come."""

import select
from asyncio import wrap_future
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import anyio
import anyio.from_thread
import anyio.to_thread
from msgspec import structs

from orchestrator.errors import InputError
from orchestrator.model import InputRow
from orchestrator.store.entries import SourceInfo, chained, same_rows
from orchestrator.store.journal import Journal
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

    ``column`` and ``weight_column`` are as in :meth:`Source.read`; ``weights`` by key take the column's place. With
    ``strict`` a malformed row is an InputError.
    """

    def __init__(
        self,
        journal: Journal,
        sources: Sequence[tuple[Source, SourceInfo]],
        *,
        column: str | None,
        weight_column: str | None,
        strict: bool = False,
        weights: Mapping[str, float | None] | None = None,
    ) -> None:
        self._journal = journal
        self._sources = sources
        self._column = column
        self._weight_column = weight_column
        self._strict = strict
        self._weights = weights
        self._finishing = False
        self._waiting = False
        self._done = anyio.Event()

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
        ranked = self._weight_column is not None or self._weights is not None
        admission = Admission(self._journal, info, ranked=ranked)

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
                if self._weights is not None:
                    row = structs.replace(row, weight=self._weights.get(row.key))
                admission.add(row)
                if admission.full:
                    flush()
            flush()
        except _Left:
            return False
        admission.complete(source.sha256)
        return True


class RowIntake:
    """Takes rows that are handed over by a program, or by an earlier plan; each may wait for the next."""

    def __init__(
        self,
        journal: Journal,
        rows: Iterable[InputRow] | AsyncIterable[InputRow],
        info: SourceInfo,
        *,
        ranked: bool,
    ) -> None:
        self._journal = journal
        self._rows = rows
        self._info = info
        self._ranked = ranked

    async def read(self, on_new: Callable[[int], None]) -> None:
        """Admits every row."""
        async for batch in self._batches():
            self._info, new = await wrap_future(self._journal.admit(self._info, batch, self._ranked))
            on_new(new)
        self._journal.source_complete(self._info, None)

    async def finish(self) -> None:
        """What a program has not handed over is not waited for."""

    async def _batches(self) -> AsyncIterator[list[InputRow]]:
        if isinstance(self._rows, AsyncIterable):
            async for row in self._rows:
                yield [row]
            return
        rows = iter(self._rows)
        while batch := list(islice(rows, BATCH)):
            yield batch


class ReadAlready:
    """An intake whose rows are all in the journal."""

    async def read(self, on_new: Callable[[int], None]) -> None:
        """There is nothing left to admit."""

    async def finish(self) -> None:
        """There is nothing left to admit."""


class _Left(Exception):
    """The source waits for its writer, and nobody needs its keys any more."""


def _ready(source: Source) -> bool:
    """Whether a read of ``source`` returns at once: always for a regular file, for a pipe where something is there."""
    if source.path is not None:
        return Path(source.path).is_file()
    return bool(select.select([0], [], [], 0)[0])
