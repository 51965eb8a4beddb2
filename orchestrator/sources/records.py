"""From lines to records: csv parses; here are delimiter, line numbers, and what a stray quote may do."""

import csv
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from orchestrator.model import is_bulk_key
from orchestrator.sources.headers import normalised
from orchestrator.sources.text import LIMIT

_DELIMITERS = ",;\t"
_NOTHING = " \t\r\n\v\f,;"  # a line of these alone is blank: spreadsheets end in rows of bare delimiters
_PATIENCE = 16  # times each line may be read, all in all, before quotes are no longer followed over lines
_TOO_LONG = f"The line is longer than {LIMIT:,} characters; a row of keys is shorter."
_UNCLOSED = (
    "A quote opened on this line is not closed properly; any lines after it were read as rows of their own."
)
_DOUBTFUL = (
    "The line follows a quote that is not closed and has another number of columns than the first row: "
    "it may be part of a text."
)


class Record(NamedTuple):
    """One record: the line (from 1) it starts on, its cells, and why it cannot be read, if it cannot."""

    number: int
    cells: list[str]
    problem: str | None = None


def parse_records(lines: Iterable[str], wanted: frozenset[str]) -> Iterator[Record]:
    """Yields the records of a table, each as soon as its last line came, without blank and comment lines.

    The delimiter is settled by the first record that has one: it is the one that leaves a key, or a header
    of ``wanted`` (normalised), in a cell of its own, else the one that gives most cells.

    A record that is not well-formed CSV, or longer than ``LIMIT`` characters, costs its first line only; the
    lines after it are read anew. So a stray quote cannot hide the keys below it. Yet a stop cannot be undone:
    of the lines read anew, only those with as many cells as the first record are taken for rows.
    """
    source = _Lines(lines)
    delimiter, settled = ",", False
    width = doubtful = 0  # cells of the first sound record; the last line that an unclosed quote had covered
    reader = csv.reader(source, strict=True)
    while True:
        source.start_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            cells = []
        if not settled and (len(cells) != 1 or ";" in source.record[0] or "\t" in source.record[0]):
            best = max(_DELIMITERS, key=lambda each: _fitness(source.record, each, wanted))
            settled = _fitness(source.record, best, wanted)[2] > 1
            if settled and best != delimiter:
                delimiter, reader = best, csv.reader(source, delimiter=best, strict=True)
                source.read_again(0)
                continue
        number = source.number - len(source.record) + 1
        problem, again = None, number <= doubtful
        if not cells:
            doubtful = max(doubtful, source.number)
            source.read_again(1)
            cells, problem = _alone(source.record[0], delimiter)
        if problem is None:
            width = width or len(cells)
            if again and len(cells) != width:
                problem = _DOUBTFUL
        yield Record(number, cells, problem)


class _Lines:
    """Feeds csv.reader, counts the lines, and keeps those of the record in hand, to be read again."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.number = 0
        self.record: list[str] = []
        self._size = 0
        self._repeated = 0
        self._fresh = iter(lines)
        self._again: list[str] = []

    def start_record(self) -> None:
        self.record = []
        self._size = 0

    def read_again(self, first: int) -> None:
        """Takes back the record's lines from the ``first`` (from 0) on."""
        again = self.record[first:]
        self.number -= len(again)
        self._repeated += len(again)
        self._again += reversed(again)

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._next()
        if not self.record:
            while line[0] == "#" or (not line.strip(_NOTHING) and len(line) <= LIMIT):
                line = self._next()
        self.record.append(line)
        self._size += len(line)
        weary = len(self.record) > 1 and self._repeated > _PATIENCE * (self.number + LIMIT)
        if weary or self._size > LIMIT:
            raise csv.Error
        return line

    def _next(self) -> str:
        line = self._again.pop() if self._again else next(self._fresh)
        self.number += 1
        return line


def _fitness(lines: list[str], delimiter: str, wanted: frozenset[str]) -> tuple[bool, bool, int]:
    """How well ``delimiter`` parts the record: whether into a key, whether tidily, into how many cells."""
    closed = [*lines, '"']  # the quote is read only if the record would go on behind these lines
    try:
        cells, tidy = next(csv.reader(closed, delimiter=delimiter, strict=True)), True
    except csv.Error:
        cells, tidy = _alone(lines[0], delimiter)[0], False
    keyed = any(is_bulk_key(cell.strip()) or normalised(cell) in wanted for cell in cells)
    return keyed, tidy, len(cells)


def _alone(line: str, delimiter: str) -> tuple[list[str], str | None]:
    """The cells of a line that csv refused, read leniently by itself, and what is wrong with it.

    Nothing is, if it closes its quotes: ``"KEY" ;x`` is only untidy.
    """
    following = iter((line[:LIMIT], ""))
    cells = next(csv.reader(following, delimiter=delimiter))
    closed = next(following, None) is not None
    return cells, _TOO_LONG if len(line) > LIMIT else None if closed else _UNCLOSED
