"""The records of one response file as Arrow tables: fast for usual files, through the strict reader for all others.

Arrow's CSV parser accepts forms that the strict reader refuses. So a file takes the fast path only if one regular
expression accepts its whole text. Every quote opens or closes a cell, and every line ends with LF or CRLF. Everything
else (long files, short records, odd marks under ``Success``) goes to the strict reader, which decides.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from msgspec import Struct

from orchestrator.results.reader import (
    DEFAULT_BOUNDS,
    Bounds,
    open_csv,
    read_rows,
    refusing_damage,
    success_place,
)

MOST_BYTES = 1 << 23
"""Text of a file in memory at most; a longer file is read record by record."""

RECORDS_AT_ONCE = 4_096

_CELL = r'(?:[^",\r\n]*|"(?:[^"]|"")*")'
_WELL_FORMED = rf"\A(?:{_CELL}(?:,|\r?\n))*{_CELL}\z"
_MARKS = pa.array([b"Y", b"N", b""], pa.binary())
_VERDICTS = {"succeeded": b"Y", "failed": b"N", "unprocessed": b""}


class RecordTable(Struct, frozen=True):
    """Some records of one response file, in their order.

    ``columns`` has one array of bytes for each cell of ``header``. ``first`` is the number of the first record (the
    first of the file is 1). ``marks`` has ``Y``, ``N`` or nothing for each record.
    """

    header: list[str]
    columns: list[pa.Array]
    first: int
    marks: pa.Array


def read_tables(path: Path, bounds: Bounds = DEFAULT_BOUNDS) -> Iterator[RecordTable]:
    """The records of the zip at ``path``; at least one table, which may be empty.

    Raises BadResponseFile or StorageError as :func:`orchestrator.results.reader.read_rows` does, possibly after some
    tables: believe nothing before the end.
    """
    table = _read_at_once(path, bounds)
    if table is not None:
        yield table
    else:
        yield from _read_strictly(path, bounds)


def _read_at_once(path: Path, bounds: Bounds) -> RecordTable | None:
    with open_csv(path, bounds) as contents, refusing_damage():
        data = io.BufferedReader(contents, 1 << 16).read(MOST_BYTES + 1)
    if not data or len(data) > MOST_BYTES or not _is_well_formed(data):
        return None
    header, length = _header(data)
    if not 1 < len(header) <= bounds.columns or length > bounds.record:
        return None
    place = success_place(header)
    names = [str(number) for number in range(len(header))]
    try:
        table = pacsv.read_csv(
            pa.BufferReader(memoryview(data)[length:]),
            pacsv.ReadOptions(use_threads=False, column_names=names, block_size=len(data)),
            pacsv.ParseOptions(newlines_in_values=True),
            pacsv.ConvertOptions(
                check_utf8=False, strings_can_be_null=False, column_types=dict.fromkeys(names, pa.binary())
            ),
        )
    except pa.ArrowInvalid:  # no record at all, or one with more or fewer cells than the header
        return None
    columns = [column.combine_chunks() for column in table.columns]
    columns = [column.chunk(0) if isinstance(column, pa.ChunkedArray) else column for column in columns]
    marks = columns[place]
    if not pc.all(pc.is_in(marks, value_set=_MARKS)).as_py() or _has_long_record(columns, bounds):
        return None
    return RecordTable(header, columns, 1, marks)


def _is_well_formed(data: bytes) -> bool:
    if b'"' not in data and data.count(b"\r") == data.count(b"\r\n"):
        return True
    text = pa.Array.from_buffers(
        pa.large_binary(),
        1,
        [None, pa.array([0, len(data)], pa.int64()).buffers()[1], pa.py_buffer(data)],
    )
    return bool(pc.match_substring_regex(text, _WELL_FORMED)[0].as_py())


def _header(data: bytes) -> tuple[list[str], int]:
    """The cells of the first record that is not a blank line, and how many bytes it takes up to its end."""
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", "surrogateescape", newline="")
    length = 3 if data.startswith(b"\xef\xbb\xbf") else 0

    def lines() -> Iterator[str]:
        nonlocal length
        for line in iter(text.readline, ""):
            length += len(line.encode("utf-8", "surrogateescape"))
            yield line

    return next(filter(None, csv.reader(lines(), strict=True)), []), length


def _has_long_record(columns: list[pa.Array], bounds: Bounds) -> bool:
    """Whether a record may have more characters than ``bounds`` allow; the strict reader counts exactly."""
    longest = sum(pc.max(pc.binary_length(column)).as_py() or 0 for column in columns)
    return 2 * longest + 3 * len(columns) > bounds.record


def _read_strictly(path: Path, bounds: Bounds) -> Iterator[RecordTable]:
    with read_rows(path, bounds) as rows:
        header = rows.header
        first = 1
        cells: list[list[bytes]] = [[] for _ in header]
        marks: list[bytes] = []
        for _, verdict, record in rows:
            marks.append(_VERDICTS[verdict])
            for column, cell in zip(cells, record, strict=False):
                column.append(cell.encode("utf-8", "surrogateescape"))
            for column in cells[len(record) :]:
                column.append(b"")
            if len(marks) == RECORDS_AT_ONCE:
                yield _table(header, cells, first, marks)
                first += len(marks)
                cells, marks = [[] for _ in header], []
        yield _table(header, cells, first, marks)


def _table(header: list[str], cells: list[list[bytes]], first: int, marks: list[bytes]) -> RecordTable:
    columns = [pa.array(column, pa.binary()) for column in cells]
    return RecordTable(header, columns, first, pa.array(marks, pa.binary()))
