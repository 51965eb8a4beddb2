"""Three tables of all records, by what became of each: for people and spreadsheets."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from orchestrator.atomic import append, sync
from orchestrator.results.action_types import normalised
from orchestrator.results.csv_text import (
    BLANK,
    QuotedTable,
    constant,
    csv_lines,
    guarded,
    header_line,
    numbers,
    quoted,
    text_of,
)
from orchestrator.results.formula_guard import guard
from orchestrator.results.index import GENERAL
from orchestrator.results.tables import RecordTable
from orchestrator.results.verdicts import Verdicts

PIECE = 1 << 18
"""Bytes of a file that are read again at a time."""

_Column = tuple[str, int]  # a name, and which column of that name in its file


class GeneralFiles:
    """``succeeded.csv``, ``failed.csv`` and ``unprocessed.csv`` in ``folder``, with the formula guard.

    The columns are ``bulk_key``, ``row``, and ``tenant`` in a run of ``tenants``. The columns of all response files
    follow, in the order of their first appearance. A cell is blank where its action has no such column. Columns are
    the same by exact name (the nth of that name in a file, with the nth in another), ``Success`` whatever its case.

    The columns are known only at the end, but the records are written as they come. So each new set of columns begins
    a new set of files, and the last set takes in the records of the earlier ones.
    """

    def __init__(self, folder: Path, *, tenants: bool) -> None:
        self._folder = folder
        self._ours = ["bulk_key", "row", *(["tenant"] if tenants else [])]
        self._columns: dict[_Column, str] = {}
        self._sets: list[tuple[bytes, int]] = []  # the header of each, and how many columns it has
        self.records = dict.fromkeys(GENERAL, 0)

    def add(self, quotes: QuotedTable, verdicts: Verdicts, bulk_key: str, tenant: str) -> None:
        """Writes the records of one table. Raises OSError."""
        table, cells, uploaded = quotes.table, quotes.cells, quotes.uploaded
        places = {column: place for place, column in enumerate(_columns(table.header))}
        if not self._sets or not places.keys() <= self._columns.keys():
            for column, name in zip(places, table.header, strict=True):
                self._columns.setdefault(column, name)
            self._begin()
        front = [guard(bulk_key).encode(), *([guard(tenant).encode()] if len(self._ours) > 2 else [])]
        key, *whose = map(constant, front)
        safe = [
            _guarded(table, place, cells) if (place := places.get(column)) is not None else BLANK
            for column in self._columns
        ]
        if quotes.lines is not None and list(map(id, safe[: len(uploaded)])) == list(map(id, uploaded)):
            safe[: len(uploaded)] = [quotes.lines]  # they are joined already
        lines = csv_lines([key, numbers(table.first, len(table.marks)), *whose, *safe])
        for name in GENERAL:
            chosen = lines.filter(getattr(verdicts, name))
            self.records[name] += len(chosen)
            append(self._path(name, len(self._sets)), text_of(chosen))

    def finish(self) -> None:
        """Makes one file of each set of files. Raises OSError."""
        if not self._sets:
            self._begin()
        for name in GENERAL:
            whole = self._path(name, len(self._sets))
            for number, (header, width) in enumerate(self._sets[:-1], 1):
                earlier = self._path(name, number)
                with earlier.open("rb") as file:
                    file.seek(len(header))
                    for piece in _padded(file, self._sets[-1][1] - width):
                        append(whole, piece)
                earlier.unlink()
            sync(whole)
            whole.rename(self._folder / f"{name}.csv")

    def _begin(self) -> None:
        names = [*self._ours, *map(guard, self._columns.values())]
        header = header_line(*names)
        self._sets.append((header, len(names)))
        for name in GENERAL:
            append(self._path(name, len(self._sets)), header)

    def _path(self, name: str, number: int) -> Path:
        return self._folder / f".{name}-{number}"


def _guarded(table: RecordTable, place: int, cells: Sequence[pa.Array]) -> pa.Array:
    """One column guarded and quoted: that of ``cells``, which are quoted only, if no cell needs the guard."""
    column = table.columns[place]
    safe = column if table.harmless else guarded(column)
    return cells[place] if safe is column else quoted(safe)


def _columns(header: Sequence[str]) -> list[_Column]:
    seen: dict[str, int] = {}
    columns = []
    for name in header:
        same = "success" if normalised(name) == "success" else name
        seen[same] = seen.get(same, 0) + 1
        columns.append((same, seen[same]))
    return columns


def _padded(file: BinaryIO, cells: int) -> Iterator[bytes]:
    """The records in one of our own files from here on, piece by piece, with blank ``cells`` behind each."""
    ends = b"," * cells + b"\r\n"
    in_quotes = 0
    left = b""
    while piece := file.read(PIECE):
        text = left + piece
        left = b"\r" if text.endswith(b"\r") else b""
        parts = text.removesuffix(b"\r").split(b'"')
        for place in range(in_quotes, len(parts), 2):
            parts[place] = parts[place].replace(b"\r\n", ends)
        in_quotes = (in_quotes + len(parts) - 1) % 2
        yield b'"'.join(parts)
    yield left
