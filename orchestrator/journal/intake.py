"""From sources into the journal: rows are admitted in batches, as they come."""

import asyncio
import select
import sqlite3
from asyncio import wrap_future
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from itertools import islice
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
from msgspec import Struct, structs

from orchestrator.errors import InputError, StorageError
from orchestrator.journal.entries import SourceInfo, action_name, chained, same_rows
from orchestrator.journal.journal import Journal
from orchestrator.model import InputRow
from orchestrator.sources import Source
from orchestrator.threads import NO_THREAD, is_no_thread

T = TypeVar("T")

NAMES_SHOWN = 12
"""Tenants named in a sentence on a row that names none of them."""

BATCH = 2_000
"""Rows admitted at once, at most; fewer where the source would wait for more."""


OnNew = Callable[[int], None]
OnNewByTenant = Callable[[Counter[str]], None]
"""What is told of each batch: how many new keys it brought, in all or by tenant."""


class Tenancy(Struct, frozen=True):
    """Whose a row is, in a run of several tenants.

    ``names`` are the tenants known, from ``origin`` (a file). All rows belong to ``every``, where that is given; else
    each to the one that its ``column`` names.
    """

    names: Collection[str]
    origin: str
    every: str | None = None
    column: str = "tenant"

    @property
    def read_from(self) -> str | None:
        """The column that is read, if one is."""
        return self.column if self.every is None else None

    def settle(self, row: InputRow) -> InputRow:
        """``row`` with its tenant; malformed, where that is not known."""
        if self.every is not None:
            return structs.replace(row, tenant=self.every)
        if row.problem is not None or row.tenant in self.names:
            return row
        whose = f"The tenant {row.tenant!r} is not known" if row.tenant else "The row names no tenant"
        names = sorted(self.names)
        known = ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")
        return structs.replace(row, problem=f"{whose}; {self.origin} has {known}.")


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

    def flush(self) -> Counter[str]:
        """Admits what has gathered; returns each tenant's number of new keys. Blocks until it is committed."""
        if not self._batch:
            return Counter()
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

    ``column`` and ``weight_column`` are as in :meth:`Source.read`; ``weights`` by the action's name take the column's
    place. With ``strict`` a malformed row is an InputError. ``tenancy`` is of a run of several tenants.

    Attributes:
        rows: rows with a key that were read so far.
        unweighed: those of them without a weight.
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
        tenancy: Tenancy | None = None,
    ) -> None:
        self._tenancy = tenancy
        self._journal = journal
        self._sources = sources
        self._column = column
        self._weight_column = weight_column
        self._strict = strict
        self._weights = weights
        self._finishing = False
        self._waiting = False
        self._done = anyio.Event()
        self.rows = 0
        self.unweighed = 0

    async def read(self, on_new: OnNew) -> None:
        """Admits every row. Raises InputError for a source that cannot be read, if no key of it was passed on."""
        await self.read_by_tenant(lambda new: on_new(new.total()))

    async def read_by_tenant(self, on_new: OnNewByTenant) -> None:
        """As :meth:`read`, for a run of several tenants."""

        def tell(new: Counter[str]) -> None:
            anyio.from_thread.run_sync(on_new, new)

        try:
            await anyio.to_thread.run_sync(self._read_all, tell, abandon_on_cancel=True)
        except RuntimeError as error:
            if is_no_thread(error):
                raise StorageError(NO_THREAD) from error
            raise
        finally:
            self._done.set()

    async def finish(self) -> None:
        """Reads on to the end of what is there; a source that waits for its writer is left."""
        self._finishing = True
        while not self._done.is_set() and not self._waiting:
            with anyio.move_on_after(0.05):
                await self._done.wait()

    def _read_all(self, tell: OnNewByTenant) -> None:
        for source, info in self._sources:
            if not self._read_one(source, info, tell):
                return
        self._refuse_nothing()

    def _refuse_nothing(self) -> None:
        """Raises InputError where all that was read is empty, and no earlier session had anything either."""
        names = ["Standard input" if source.path is None else source.name for source, _ in self._sources]
        if any(source.size for source, _ in self._sources) or self._journal.perform(_any_row).result():
            return
        raise InputError(
            f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} empty: name a file with bulk keys, or pipe them "
            "into mass-stop."
        )

    def _read_one(self, source: Source, info: SourceInfo, tell: OnNewByTenant) -> bool:
        """Whether ``source`` was read to its end."""
        tenancy = self._tenancy
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
                column=self._column,
                weight_column=self._weight_column,
                tenant_column=tenancy.read_from if tenancy else None,
                on_wait=before_waiting,
            ):
                self._waiting = False
                if tenancy is not None:
                    row = tenancy.settle(row)
                if self._strict and row.problem is not None:
                    raise InputError(
                        f"{source.name}, line {row.number}: {row.problem} With --strict nothing was sent; mend the row "
                        "or leave out --strict."
                    )
                if self._weights is not None:
                    weight = self._weights.get(action_name(row.tenant, row.key))
                    row = structs.replace(row, weight=weight)
                if row.problem is None:
                    self.rows += 1
                    self.unweighed += row.weight is None
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
        tenancy: Tenancy | None = None,
    ) -> None:
        self._journal = journal
        self._rows = rows
        self._settled = tenancy.settle if tenancy is not None else lambda row: row
        self._info = info
        self._ranked = ranked

    async def read(self, on_new: OnNew) -> None:
        """Admits every row."""
        await self.read_by_tenant(lambda new: on_new(new.total()))

    async def read_by_tenant(self, on_new: OnNewByTenant) -> None:
        """As :meth:`read`, for a run of several tenants."""
        async with aclosing(self._batches()) as batches:
            async for batch in batches:
                self._info, new = await wrap_future(self._journal.admit(self._info, batch, self._ranked))
                on_new(new)
        self._journal.source_complete(self._info, None)

    async def finish(self) -> None:
        """What a program has not handed over is not waited for."""

    async def _batches(self) -> AsyncGenerator[list[InputRow]]:
        if isinstance(self._rows, AsyncIterable):
            async with aclosing(gathered(self._rows, BATCH)) as batches:
                async for batch in batches:
                    yield list(map(self._settled, batch))
            return
        rows = map(self._settled, self._rows)
        while batch := list(islice(rows, BATCH)):
            yield batch


async def gathered(items: AsyncIterable[T], most: int) -> AsyncGenerator[list[T]]:
    """Yield the items in lists: those that come while the caller works on the list before, at most ``most``.

    An error of ``items`` is raised after the items before it.
    """
    waiting: list[T] = []
    changed = asyncio.Event()
    room = asyncio.Event()

    async def fill() -> None:
        async for item in items:
            waiting.append(item)
            changed.set()
            if len(waiting) >= most:
                room.clear()
                await room.wait()

    filling = asyncio.get_running_loop().create_task(fill())
    filling.add_done_callback(lambda _: changed.set())
    try:
        while not filling.done() or waiting:
            await changed.wait()
            changed.clear()
            batch, waiting[:] = list(waiting), []
            room.set()
            if batch:
                yield batch
        await filling
    finally:
        filling.cancel()
        await asyncio.wait([filling])


class ReadAlready:
    """An intake whose rows are all in the journal."""

    async def read(self, on_new: OnNew) -> None:
        """There is nothing left to admit."""

    async def read_by_tenant(self, on_new: OnNewByTenant) -> None:
        """There is nothing left to admit."""

    async def finish(self) -> None:
        """There is nothing left to admit."""


class _Left(Exception):
    """The source waits for its writer, and nobody needs its keys any more."""


def _any_row(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT EXISTS (SELECT 1 FROM action)").fetchone()[0])


def _ready(source: Source) -> bool:
    """Whether a read of ``source`` returns at once: always for a regular file, for a pipe where something is there."""
    if source.path is not None:
        return Path(source.path).is_file()
    return bool(select.select([0], [], [], 0)[0])
