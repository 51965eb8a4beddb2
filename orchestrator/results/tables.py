"""The records of one response file as Arrow tables: fast for usual files, through the strict reader for all others.

Arrow's CSV parser accepts forms that the strict reader refuses. So a piece of a file takes the fast path only if one
regular expression accepts its whole text. Every quote opens or closes a cell, and every line ends with LF or CRLF.
From the first piece with anything else on (short records, odd marks under ``Success``) the strict reader decides.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from msgspec import Struct

from orchestrator.results.formula_guard import HARMLESS_STARTS
from orchestrator.results.reader import (
    CHUNK,
    DEFAULT_BOUNDS,
    Bounds,
    Contents,
    open_csv,
    read_rows,
    refusing_damage,
    success_place,
)

PIECE, LATER_PIECE = 15 * CHUNK, 6 * CHUNK
"""Bytes of text that become one table, give or take a chunk: fewer than a record may have.

A usual file is one table, which takes the least time. The later pieces of a long file are smaller, so that it needs
hardly more memory.
"""

_MOST_COLUMNS = 128  # Arrow's parser takes some 10 KB for each column of a piece

_BOM = b"\xef\xbb\xbf"
_CELL = r'(?:[^",\r\n]*|"(?:[^"]|"")*")'
_WELL_FORMED = rf"\A(?:{_CELL}(?:,|\r?\n))*{_CELL}\z"
_START = "".join(rf"\x{start:02x}" for start in sorted(HARMLESS_STARTS.difference(b'",')))
_HARMLESS_CELL = rf'(?:[{_START}][^",\r\n]*|"(?:(?:[{_START},]|"")(?:[^"]|"")*)?"|)'
_HARMLESS = rf"\A(?:\xef\xbb\xbf)?(?:{_HARMLESS_CELL}(?:,|\r?\n))*{_HARMLESS_CELL}\z"
"""Well-formed, and no cell needs the formula guard."""
_NO_CELLS = pa.array([], pa.binary())
_MARKS = pa.array([b"Y", b"N", b""], pa.binary())
_VERDICTS = {"succeeded": b"Y", "failed": b"N", "unprocessed": b""}


class RecordTable(Struct, frozen=True):
    """Some records of one response file, in their order.

    ``columns`` has one array of bytes for each cell of ``header``. ``first`` is the number of the first record (the
    first of the file is 1). ``marks`` has ``Y``, ``N`` or nothing for each record. ``plain`` says that no cell needs
    quotes, ``harmless`` that no cell needs the formula guard.
    """

    header: list[str]
    columns: list[pa.Array]
    first: int
    marks: pa.Array
    plain: bool = False
    harmless: bool = False


class _Unusual(Exception):
    """Only the strict reader may decide on this text."""


def read_tables(path: Path, bounds: Bounds = DEFAULT_BOUNDS) -> Iterator[RecordTable]:
    """The records of the zip at ``path``; at least one table, which may be empty.

    Raises BadResponseFile or StorageError as :func:`orchestrator.results.reader.read_rows` does, possibly after some
    tables: trust no record before the end.
    """
    done = 0
    try:
        for table in _read_fast(path, bounds):
            yield table
            done += len(table.marks)
    except _Unusual:
        yield from _read_strictly(path, bounds, done)


def _read_fast(path: Path, bounds: Bounds) -> Iterator[RecordTable]:
    header: list[str] = []
    place = done = 0
    with open_csv(path, bounds) as contents:
        for text in _pieces(contents):
            if header and not text:
                return  # the piece before ended with the file
            start = 0
            plain = b'"' not in text
            harmless = not plain and _matches(text, _HARMLESS)
            if len(text) > bounds.record or b"\0" in text or not (harmless or _is_well_formed(text)):
                raise _Unusual
            if not header:
                header, start = _header(text)
                if not 1 < len(header) <= min(bounds.columns, _MOST_COLUMNS):
                    raise _Unusual
                place = success_place(header)
            columns = _columns(memoryview(text)[start:], len(header))
            marks = columns[place]
            if not pc.all(pc.is_in(marks, value_set=_MARKS)).as_py():
                raise _Unusual
            yield RecordTable(header, columns, done + 1, marks, plain, harmless)
            done += len(marks)


def _pieces(contents: Contents) -> Iterator[bytes]:
    """The text in pieces of whole records; at least one."""
    text, least = b"", PIECE
    while len(text := _filled_up(text, contents, least)) >= least:
        end = _end_of_records(text)
        piece, text, least = text[:end], text[end:], LATER_PIECE
        yield piece
    yield text


def _filled_up(text: bytes, contents: Contents, least: int) -> bytes:
    """``text`` and what follows it: ``least`` bytes or more, or all up to the end of the file."""
    chunks, size = [text], len(text)
    with refusing_damage():
        while size < least and (chunk := contents.chunk()):
            chunks.append(chunk)
            size += len(chunk)
    return b"".join(chunks)


def _end_of_records(text: bytes) -> int:
    """Where the last complete record of ``text`` ends, if what is before is well-formed. Raises _Unusual."""
    end = text.rfind(b"\n") + 1
    if text.count(b'"', 0, end) % 2:  # the last quote opens a cell, in which this line ends
        end = text.rfind(b"\n", 0, text.rfind(b'"', 0, end)) + 1
    if not end:
        raise _Unusual
    return end


def _columns(text: memoryview, width: int) -> list[pa.Array]:
    """The ``width`` columns of the records in ``text``. Raises _Unusual."""
    if not text or text[: len(_BOM)] == _BOM:  # Arrow would drop the latter
        raise _Unusual
    names = [str(number) for number in range(width)]
    try:
        table = pacsv.read_csv(
            pa.BufferReader(text),
            pacsv.ReadOptions(use_threads=False, column_names=names, block_size=len(text)),
            pacsv.ParseOptions(newlines_in_values=True),
            pacsv.ConvertOptions(
                check_utf8=False, strings_can_be_null=False, column_types=dict.fromkeys(names, pa.binary())
            ),
        )
    except pa.ArrowInvalid as error:  # no record at all, or one with more or fewer cells than the header
        raise _Unusual from error
    # Copied: Arrow makes room for the whole text in each column. The gaps that this leaves in memory are rarely reused.
    return [pa.concat_arrays([_NO_CELLS, *column.chunks]) for column in table.columns]


def _is_well_formed(data: bytes) -> bool:
    if b'"' not in data and data.count(b"\r") == data.count(b"\r\n"):
        return True
    return _matches(data, _WELL_FORMED)


def _matches(data: bytes, pattern: str) -> bool:
    offsets = pa.array([0, len(data)], pa.int32()).buffers()[1]
    text = pa.Array.from_buffers(pa.binary(), 1, [None, offsets, pa.py_buffer(data)])
    return bool(pc.match_substring_regex(text, pattern)[0].as_py())


def _header(data: bytes) -> tuple[list[str], int]:
    """The cells of the first record that is not a blank line, and how many bytes it takes up to its end."""
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", "surrogateescape", newline="")
    length = 3 if data.startswith(_BOM) else 0

    def lines() -> Iterator[str]:
        nonlocal length
        for line in iter(text.readline, ""):
            length += len(line.encode("utf-8", "surrogateescape"))
            yield line

    return next(filter(None, csv.reader(lines(), strict=True)), []), length


def _read_strictly(path: Path, bounds: Bounds, done: int) -> Iterator[RecordTable]:
    """The records behind the first ``done``."""
    with read_rows(path, bounds) as rows:
        header = rows.header
        first = done + 1
        cells: list[list[bytes]] = [[] for _ in header]
        marks: list[bytes] = []
        size = 0
        for number, verdict, record in rows:
            if number <= done:
                continue
            marks.append(_VERDICTS[verdict])
            size += sum(map(len, record)) + len(header)
            for column, cell in zip(cells, record, strict=False):
                column.append(cell.encode("utf-8", "surrogateescape"))
            for column in cells[len(record) :]:
                column.append(b"")
            if size >= LATER_PIECE:
                yield _table(header, cells, first, marks)
                first += len(marks)
                cells, marks, size = [[] for _ in header], [], 0
        yield _table(header, cells, first, marks)


def _table(header: list[str], cells: list[list[bytes]], first: int, marks: list[bytes]) -> RecordTable:
    columns = [pa.array(column, pa.binary()) for column in cells]
    return RecordTable(header, columns, first, pa.array(marks, pa.binary()))
