"""The records of all response files, sorted by what became of them: what a person takes to put things right.

``remediation/succeeded.csv``, ``failed.csv`` and ``unprocessed.csv`` hold every record once, in the form it was
uploaded in. To upload records again, take ``unprocessed.csv`` (or ``failed.csv`` once the cause is gone), drop
``bulk_key``, ``row`` and the columns the API added, and undo the formula guard; ``succeeded.csv`` is what may have to
be reversed by hand. The columns the API added (``Success``, the reason of an error) stay in all three files: a person
needs the reasons, and which columns they are is not documented, so none is dropped on a guess.

The files are UTF-8 without a BOM, with a header, comma, CRLF and quotes where needed (RFC 4180). ``row`` is the
record's number within its response file, from 1. Cells are as they were, bytes that are not UTF-8 included, but for
the formula guard.

The formula guard: a spreadsheet runs a cell that starts with ``=``, ``+``, ``-`` or ``@``, also in their full-width
forms, and behind blanks, control and zero-width characters; TAB and CR in front count as well. Such a cell gets an
apostrophe in front, unless it is a plain number (``-12.50``, ``+3``); so does a cell that starts with apostrophes and
then one of these, so that the guard can be undone: where apostrophes are followed by one of these, drop one.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, Protocol

from orchestrator.atomic import own_directory, replacing_all, sync_directory
from orchestrator.errors import MassStopError, StorageError

VERDICTS = ("succeeded", "failed", "unprocessed")

_PIECE = 1 << 16  # characters
_UNSEEN = r"[\s\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
_FORMULA = rf"(?:{_UNSEEN}*[=+\-@＝＋－＠]|[\t\r])"
_DANGER = re.compile(rf"'*{_FORMULA}")
_GUARDED = re.compile(rf"'+{_FORMULA}")
_PLAIN_NUMBER = re.compile(r" *[+-](?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+) *")


class Rows(Protocol):
    """The records of one response file: its header, and by iteration ``(number, verdict, cells)``.

    ``verdict`` is one of `VERDICTS`; there may be fewer cells than the header has, not more.
    """

    @property
    def header(self) -> Sequence[str]:
        """The names of the columns."""

    def __iter__(self) -> Iterator[tuple[int, str, list[str]]]: ...


Opener = Callable[[], AbstractContextManager[Rows]]
"""Opens one response file from its start; called twice. It and its rows say by a MassStopError that it is bad."""


def write_remediation(
    directory: Path, files: Iterable[tuple[str, Opener]], *, tenants: bool = False
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Write the three files into ``directory / "remediation"`` (0700, made if missing), each 0600.

    ``files`` are the bulk keys with their response files; it is gone through twice, first for the headers. With
    ``tenants`` each key has its tenant's name and a slash in front. The columns are ``bulk_key``, ``row``, then
    ``tenant`` where there are several, then those of all files in the order of their first appearance, blank where an
    action has them not. Columns are the same by exact name (the nth of that name in a file, with the nth in another),
    only ``Success`` whatever its case and the spaces around it. Memory grows with the columns, not with the records.

    The three appear whole, and all of them or none. An action whose file turns out bad, be it at its last byte,
    contributes no record to any of them: what was written of it is taken out again.

    Returns:
        How many records each verdict has; and the bulk key and a sentence for each file left out, in order.

    Raises:
        StorageError: the machine cannot write the files; what stood there before still stands.
    """
    if isinstance(files, Iterator):
        files = list(files)
    target = directory / "remediation"
    try:
        own_directory(target)
        sync_directory(directory)
        columns, bad = _columns(files)
        with replacing_all([target / f"{verdict}.csv" for verdict in VERDICTS]) as outputs:
            tables = {verdict: _Table(output) for verdict, output in zip(VERDICTS, outputs, strict=True)}
            header = ["bulk_key", "row", *(["tenant"] if tenants else []), *map(guard, columns.values())]
            for table in tables.values():
                table.add(header)
            for place, (bulk_key, opener) in enumerate(files):
                if place not in bad:
                    tenant, slash, key = bulk_key.partition("/")
                    front = (guard(key), [guard(tenant)]) if slash else (guard(bulk_key), [])
                    problem = _add(tables, columns, front, opener)
                    if problem is not None:
                        bad[place] = (bulk_key, problem)
            for table in tables.values():
                table.flush()
    except OSError as error:
        raise StorageError(
            f"The remediation files in {target} cannot be written: {error.strerror}."
        ) from error
    return {verdict: table.rows for verdict, table in tables.items()}, [bad[place] for place in sorted(bad)]


def guard(cell: str) -> str:
    """``cell`` such that no spreadsheet runs it as a formula; most cells as they are. See the top of this file."""
    return f"'{cell}" if _DANGER.match(cell) and not _PLAIN_NUMBER.fullmatch(cell) else cell


def unguard(cell: str) -> str:
    """The cell that `guard` was given."""
    return cell[1:] if _GUARDED.match(cell) else cell


_Column = tuple[str, int]  # a name, and which one of that name in its file


def _keys(header: Sequence[str]) -> list[_Column]:
    seen: dict[str, int] = {}
    keys = []
    for name in header:
        same = "success" if name.strip().casefold() == "success" else name
        seen[same] = seen.get(same, 0) + 1
        keys.append((same, seen[same]))
    return keys


def _columns(files: Iterable[tuple[str, Opener]]) -> tuple[dict[_Column, str], dict[int, tuple[str, str]]]:
    """The union of all columns with their names, and the files, by place, whose header could not be read."""
    columns: dict[_Column, str] = {}
    bad: dict[int, tuple[str, str]] = {}
    for place, (bulk_key, opener) in enumerate(files):
        try:
            with opener() as rows:
                header = rows.header
        except MassStopError as error:
            bad[place] = (bulk_key, str(error))
        else:
            for key, name in zip(_keys(header), header, strict=True):
                columns.setdefault(key, name)
    return columns, bad


class _Table:
    """One of the three files, still without its name. Lines gather in memory until there is a good piece of them."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self.rows = -1  # the header is none
        self._text = io.StringIO(newline="")
        # CRLF is also what makes the csv module of Python 3.11 put a lone CR in quotes.
        self._quoting = csv.writer(self._text, lineterminator="\r\n")

    def add(self, cells: Sequence[str]) -> None:
        """Write one line of at least two cells."""
        # Most lines need no quotes, and the csv module takes three times as long for them.
        line = ",".join(cells)
        if '"' in line or "\n" in line or "\r" in line or line.count(",") != len(cells) - 1:
            self._quoting.writerow(cells)
        else:
            self._text.write(line + "\r\n")
        self.rows += 1
        if self._text.tell() > _PIECE:
            self.flush()

    def flush(self) -> None:
        """Hand on what gathered. What was read with ``surrogateescape`` becomes the same bytes again."""
        self._output.write(self._text.getvalue().encode("utf-8", "surrogateescape"))
        self._text.seek(0)
        self._text.truncate()

    def mark(self) -> tuple[int, int]:
        """Where the file stands, for `back`."""
        self.flush()
        return self._output.tell(), self.rows

    def back(self, mark: tuple[int, int]) -> None:
        """Forget what was written since ``mark``."""
        self.flush()
        place, self.rows = mark
        self._output.seek(place)
        self._output.truncate()


_Front = tuple[
    str, list[str]
]  # what every line of a file starts with: its key, and what follows the row's number


def _add(tables: dict[str, _Table], columns: dict[_Column, str], front: _Front, opener: Opener) -> str | None:
    """Add the records of one file to the tables. If it is bad, add none and return the sentence that says so."""
    marks = {verdict: table.mark() for verdict, table in tables.items()}
    try:
        with opener() as rows:
            _copy(rows, tables, columns, front)
    except MassStopError as error:
        for verdict, table in tables.items():
            table.back(marks[verdict])
        return str(error)
    return None


def _copy(rows: Rows, tables: dict[str, _Table], columns: dict[_Column, str], front: _Front) -> None:
    bulk_key, behind = front
    before = 2 + len(behind)
    places = {key: place for place, key in enumerate(_keys(rows.header), before)}
    if not places.keys() <= columns.keys():
        raise StorageError("The response file changed while the remediation files were written.")
    # Every record gets a blank at its end, where a column that this action has not finds its cell.
    arranged = itemgetter(*range(before), *(places.get(key, -1) for key in columns))
    same = list(places) == list(columns)
    width = len(places)
    for number, verdict, cells in rows:
        table = tables[verdict]
        # Nearly every cell starts with an ASCII letter or digit: the comparisons are only there to be quick.
        safe = [
            cell if "A" <= cell < "\x7f" or "0" <= cell < ":" or not cell else guard(cell) for cell in cells
        ]
        line = [bulk_key, str(number), *behind, *safe]
        if not same or len(cells) != width:
            line = arranged([*line, *[""] * (width - len(cells) + 1)])
        table.add(line)
