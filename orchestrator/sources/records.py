"""Convert lines to records. csv parses them; this module finds the delimiter, counts lines and limits stray quotes."""

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from orchestrator.sources.cells import INVISIBLE, bulk_key
from orchestrator.sources.headers import normalised
from orchestrator.sources.text import LIMIT

MOST_HELD = 10_000
"""Most lines or records that are read ahead to find the first key."""

_DELIMITERS = ",;\t"
_SEP = re.compile(
    r'"?sep=([^0-9A-Za-z"\r\n])"?[ \t]*[\r\n]*', re.IGNORECASE
)  # Excel's line with the delimiter
_NOTHING = INVISIBLE + ",;"  # a line of these characters is blank: spreadsheets end in rows of delimiters
_SKIPPED_START = frozenset(_NOTHING + '#"sS')
_PATIENT_LINES = 131_072
_PATIENCE = 16  # times each line may be read in total; after that, a quoted text must end on its line
_TOO_LONG = f"The line is longer than {LIMIT:,} characters; a row of keys is shorter."
_UNCLOSED = (
    "A quote opened on this line is not closed properly; any lines after it were read as rows of their own."
)
_DOUBTFUL = "The line follows a quote that is not closed, and its number of columns differs. It may be part of a text."


class Record(NamedTuple):
    """One record: its first line (from 1), its cells, and why it cannot be read (None if it can)."""

    number: int
    cells: list[str]
    problem: str | None = None


def parse_records(lines: Iterable[str], wanted: frozenset[str], *, any_key: bool = False) -> Iterator[Record]:
    """Yield the records of a table as soon as their last line is read, without blank and comment lines.

    Excel's line ``sep=;`` sets the delimiter. Otherwise the first line with several cells decides, if one of them is a
    key or a title of ``wanted`` (normalised). The delimiter is the character that separates this cell from the others.
    With ``any_key`` the first line decides.

    If a record is not valid CSV, or longer than ``LIMIT`` characters, only its first line is malformed. The lines after
    it are read again, so that a stray quote cannot hide the keys below it. A stop cannot be undone. Lines that are read
    again therefore become rows only if they have as many cells as the first record.
    """
    if csv.field_size_limit() < LIMIT:  # this limit of the whole process must not decrease
        csv.field_size_limit(LIMIT)
    delimiter, settled, lines, sep = _find_delimiter(lines, wanted, any_key)
    source = _Lines(lines, sep)
    width = doubtful = 0  # cells of the first valid record; last line after an unclosed quote
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    while True:
        source.start_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            cells = []
        if (
            not settled
            and source.size > 32  # a shorter record contains no key
            and (len(cells) != 1 or ";" in source.record[0] or "\t" in source.record[0])
        ):
            best, (keyed, _, count) = _best(source.record, wanted)
            settled = keyed and count > 1
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


def _find_delimiter(
    lines: Iterable[str], wanted: frozenset[str], any_key: bool
) -> tuple[str, bool, Iterator[str], str | None]:
    """Read ahead to the first line with a key or a title of ``wanted``.

    Return the delimiter, whether it is certain, an iterator over all lines, and Excel's line with the delimiter or
    None.
    """
    lines = iter(lines)
    held: list[str] = []
    size = 0
    fallback = None
    for line in lines:
        held.append(line)
        size += len(line)
        if len(held) == 1 and (sep := _SEP.fullmatch(line)):
            return sep[1], True, chain(held, lines), line.strip()
        if line[0] != "#" and line.strip(_NOTHING):
            best, (keyed, _, count) = _best([line], wanted)
            if keyed or any_key:
                return best, count > 1, chain(held, lines), None
            fallback = fallback or best
        if len(held) >= MOST_HELD or size >= LIMIT:
            break
    return fallback or ",", False, chain(held, lines), None


class _Lines:
    """Passes lines to csv.reader, counts them, and stores those of the current record, which may be read again.

    Skips blank lines, comments and lines that equal ``sep``.
    """

    def __init__(self, lines: Iterable[str], sep: str | None) -> None:
        self.number = 0
        self.record: list[str] = []
        self.size = 0
        self._repeated = 0
        self._fresh = iter(lines)
        self._again: list[str] = []
        self._sep = sep

    def start_record(self) -> None:
        self.record = []
        self.size = 0

    def read_again(self, first: int) -> None:
        """Put the record's lines back, starting with line ``first`` (from 0)."""
        again = self.record[first:]
        self.number -= len(again)
        self._repeated += len(again)
        self._again += reversed(again)

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._next()
        if not self.record:
            while line[0] in _SKIPPED_START and self._is_skipped(line):
                line = self._next()
        self.record.append(line)
        self.size += len(line)
        weary = len(self.record) > 1 and self._repeated > _PATIENCE * (self.number + _PATIENT_LINES)
        if weary or self.size > LIMIT:
            raise csv.Error
        return line

    def _is_skipped(self, line: str) -> bool:
        if line.lstrip("\ufeff")[:1] == "#" or (self._sep is not None and line.strip(INVISIBLE) == self._sep):
            return True
        return not line.strip(_NOTHING) and len(line) <= LIMIT

    def _next(self) -> str:
        line = self._again.pop() if self._again else next(self._fresh)
        self.number += 1
        return line


def _best(lines: list[str], wanted: frozenset[str]) -> tuple[str, tuple[bool, bool, int]]:
    """Return the best delimiter for the record, and its fitness."""
    fitness = {delimiter: _fitness(lines, delimiter, wanted) for delimiter in _DELIMITERS}
    best = max(fitness, key=lambda delimiter: fitness[delimiter])
    return best, fitness[best]


def _fitness(lines: list[str], delimiter: str, wanted: frozenset[str]) -> tuple[bool, bool, int]:
    """Return the fitness of ``delimiter``: whether a cell is a key or wanted title, valid CSV, number of cells."""
    closed = [*lines, '"']  # csv reads this quote only if the record continues after the lines
    try:
        cells, tidy = next(csv.reader(closed, delimiter=delimiter, strict=True)), True
    except csv.Error:
        cells, tidy = _alone(lines[0], delimiter)[0], False
    keyed = any(bulk_key(cell) is not None or normalised(cell) in wanted for cell in cells)
    return keyed, tidy, len(cells)


def _alone(line: str, delimiter: str) -> tuple[list[str], str | None]:
    """Return the cells of a line that csv refused, parsed leniently as a record of its own, and its problem.

    A line that closes its quotes has no problem: ``"KEY" ;x`` is only untidy.
    """
    following = iter((line[:LIMIT], ""))
    cells = next(csv.reader(following, delimiter=delimiter))
    closed = next(following, None) is not None
    return cells, _TOO_LONG if len(line) > LIMIT else None if closed else _UNCLOSED
