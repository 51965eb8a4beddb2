"""Admit the rows of sources to the journal, in batches, as they come."""

import asyncio
import time
from asyncio import wrap_future
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, closing
from functools import partial
from itertools import islice
from math import inf
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.from_thread
from msgspec import structs

from orchestrator.errors import InputError
from orchestrator.journal.admission import BATCH, Admission
from orchestrator.journal.entries import SourceInfo, action_name
from orchestrator.journal.findings import Findings
from orchestrator.journal.journal import Journal
from orchestrator.journal.tenancy import Tenancy
from orchestrator.model import InputRow
from orchestrator.sources import STANDARD_INPUT, Source
from orchestrator.sources.rows import Wanted
from orchestrator.threads import run_sync

T = TypeVar("T")

LONGEST_FINISH = 5.0
"""Seconds for which a pipe that is never empty is read on after the run has ended early: it may never end."""

Notify = Callable[[str, str], None]
"""Receives an event's name and a sentence about the input for the operator."""

OnNew = Callable[[Counter[str]], None]
"""Receives each tenant's number of new keys in a batch."""


class FileIntake:
    """Reads files, standard input and key arguments in a thread, one source after the other.

    ``weights`` by the action's name replace the weight column of ``wanted``. With ``strict`` a malformed row raises
    InputError. ``tenancy`` belongs to a run of several tenants. ``notify`` is called in the event loop.

    Attributes:
        rows: rows with a key that were read so far.
        unweighed: those of them without a weight.
    """

    def __init__(
        self,
        journal: Journal,
        sources: Sequence[tuple[Source, SourceInfo]],
        wanted: Wanted,
        *,
        strict: bool = False,
        weights: Mapping[str, float | None] | None = None,
        tenancy: Tenancy | None = None,
        notify: Notify = lambda *_: None,
    ) -> None:
        self._tenancy = tenancy
        self._journal = journal
        self._sources = sources
        self._wanted = wanted
        self._strict = strict
        self._weights = weights
        self._notify = notify
        self._findings = Findings()
        self._finish_by = inf
        self._waiting = False
        self._done = anyio.Event()
        self.rows = 0
        self.unweighed = 0

    async def read(self, on_new: OnNew) -> None:
        """Admit every row. Raises InputError for a source that cannot be read, and for an input without a key."""

        def pass_on(new: Counter[str]) -> None:
            anyio.from_thread.run_sync(on_new, new)

        def notify(event: str, sentence: str) -> None:
            anyio.from_thread.run_sync(self._notify, event, sentence)

        try:
            await run_sync(partial(self._read_all, pass_on, notify), abandon_on_cancel=True)
        finally:
            self._done.set()

    async def finish(self) -> None:
        """Read what is there already. A source that waits for its writer is left, and so is a pipe without an end."""
        self._finish_by = time.monotonic() + LONGEST_FINISH
        while not self._done.is_set() and not self._waiting:
            with anyio.move_on_after(0.05):
                await self._done.wait()

    def _read_all(self, pass_on: OnNew, notify: Notify) -> None:
        if len(self._sources) > 1:
            self._check_layouts()
            for source, info in self._sources:
                if info.rows == 0:
                    self._record_content(source, info)
        for source, info in self._sources:
            if not self._read_one(source, info, pass_on):
                return
            if source.skipped:
                notify(
                    "input.skipped", f"{source.name}: skipped rows without a bulk key: {source.skipped:,}."
                )
        named = self._wanted.column or self._wanted.any_key
        hint = "" if named else " If another column contains the keys, name it with --column."
        conclude = partial(self._findings.conclude, unusable=self._no_rows(), hint=hint)
        if sentence := self._journal.read(conclude).result():
            notify("input.case", sentence)

    def _check_layouts(self) -> None:
        """Raise InputError for a regular file that cannot be used, before a key of another source is sent."""
        for source, _ in self._sources:
            if source.path is not None and Path(source.path).is_file():
                with closing(source.read(self._wanted)) as rows:
                    next(rows, None)

    def _record_content(self, source: Source, info: SourceInfo) -> None:
        """Record where a source is and what a file contains, before one of its keys is admitted."""
        if source.path != info.path:
            self._journal.replace_source(info, info.name, source.path)
        if source.content is not None and info.digest is None:
            self._journal.source_content(info, *source.content)

    def _no_rows(self) -> str:
        """The message about sources that have no row."""
        sources = [source for source, _ in self._sources]
        names = ", ".join("Standard input" if one.name == STANDARD_INPUT else one.name for one in sources)
        be, have = ("is", "has") if len(sources) == 1 else ("are", "have")
        if any(source.size or source.skipped for source in sources):
            return (
                f"The input holds no usable bulk key: {names} {have} no row with a key, only a header, comments or "
                "blank lines."
            )
        return f"{names} {be} empty: name a file with bulk keys, or pipe them into mass-stop."

    def _read_one(self, source: Source, info: SourceInfo, pass_on: OnNew) -> bool:
        """Whether ``source`` was read to its end."""
        ranked = self._wanted.weight is not None or self._weights is not None
        admission = Admission(self._journal, info, ranked=ranked)

        def flush() -> None:
            if new := admission.flush():
                pass_on(new)

        try:
            for number, row in enumerate(
                source.read(self._wanted, partial(self._before_waiting, source, flush))
            ):
                self._waiting = False
                if number == info.rows:  # those that an earlier session read are the same
                    self._record_content(source, info)
                admission.add(self._prepared(source, row))
                if admission.full:
                    flush()
            flush()
        except _Left:
            return False
        admission.complete(source.sha256)
        return True

    def _before_waiting(self, source: Source, flush: Callable[[], None]) -> None:
        """Admit the rows read so far. Raise _Left if the source may be left now: see :meth:`finish`."""
        self._waiting = False
        flush()
        self._waiting = not source.ready()
        if self._waiting and self._finish_by < inf:
            raise _Left
        if time.monotonic() >= self._finish_by and not source.is_file():
            raise _Left

    def _prepared(self, source: Source, row: InputRow) -> InputRow:
        """``row`` with its tenant and its weight, and counted. Raises InputError for a malformed one with --strict."""
        if self._tenancy is not None:
            row = self._tenancy.settle(row)
        if self._strict and row.problem is not None:
            raise InputError(
                f"{source.name}, line {row.number}: {row.problem} With --strict nothing was sent; correct the row or "
                "leave out --strict."
            )
        if self._weights is not None:
            row = structs.replace(row, weight=self._weights.get(action_name(row.tenant, row.key)))
        if row.problem is None:
            self.rows += 1
            self.unweighed += row.weight is None
        self._findings.add(source.name, row)
        return row


class RowIntake:
    """Takes rows from a program or from an earlier plan. Each row may take its time."""

    def __init__(
        self,
        journal: Journal,
        rows: Iterable[InputRow] | AsyncIterable[InputRow],
        info: SourceInfo,
        *,
        ranked: bool,
        tenancy: Tenancy | None = None,
        notify: Notify = lambda *_: None,
    ) -> None:
        self._journal = journal
        self._rows = rows
        self._settled = tenancy.settle if tenancy is not None else lambda row: row
        self._admission = Admission(journal, info, ranked=ranked)
        self._findings = Findings()
        self._notify = notify

    async def read(self, on_new: OnNew) -> None:
        """Admit every row. Raises InputError for an input without a key."""
        async with aclosing(self._batches()) as batches:
            async for batch in batches:
                for row in batch:
                    self._findings.add(self._admission.info.name, row)
                    self._admission.add(row)
                if not self._admission.empty:
                    on_new(self._admission.done(await wrap_future(self._admission.start())))
        self._admission.complete(None)
        unusable = "The input holds no usable bulk key: nothing to stop."
        conclude = partial(self._findings.conclude, unusable=unusable)
        if sentence := await wrap_future(self._journal.read(conclude)):
            self._notify("input.case", sentence)

    async def finish(self) -> None:
        """Keys that a program has not passed yet are not waited for."""

    async def _batches(self) -> AsyncGenerator[list[InputRow]]:
        if isinstance(self._rows, AsyncIterable):
            async with aclosing(gathered(self._rows, BATCH)) as batches:
                async for batch in batches:
                    yield list(map(self._settled, batch))
            return
        rows = map(self._settled, self._rows)
        while batch := list(islice(rows, BATCH)):
            yield batch


class ReadAlready:
    """An intake whose rows are all in the journal."""

    async def read(self, on_new: OnNew) -> None:
        """There is nothing left to admit."""

    async def finish(self) -> None:
        """There is nothing left to admit."""


class _Left(Exception):
    """The source waits for its writer, or may have no end, and its keys are not needed any more."""


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
