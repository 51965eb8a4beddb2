"""Records as CSV text, column by column in Arrow: quotes where needed (RFC 4180), CRLF, and the formula guard."""

from collections.abc import Sequence
from functools import cache, lru_cache, reduce

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.results.formula_guard import HARMLESS_STARTS, guard
from orchestrator.results.tables import RecordTable

BLANK, COMMA, QUOTE, END = (pa.scalar(text, pa.binary()) for text in (b"", b",", b'"', b"\r\n"))
"""Without numpy, Arrow takes ten times as long to find the type of bytes as to compare or join some records."""

_USUAL = 1 << 14  # records of a file, below which their numbers are made once
_SPECIAL = (b",", b'"', b"\n", b"\r")
_HARMLESS = {bytes([start]) for start in HARMLESS_STARTS} | {b""}


class QuotedTable:
    """A table whose ``cells``, by column, are in quotes where needed.

    ``uploaded`` are the cells of the columns at the places ``uploaded``; ``lines`` has them as CSV, if there are any.
    """

    def __init__(self, table: RecordTable, uploaded: Sequence[int]) -> None:
        self.table = table
        self.cells = table.columns if table.plain else [quoted(column) for column in table.columns]
        self.uploaded = [self.cells[place] for place in uploaded]
        self.lines = joined(self.uploaded) if uploaded else None


def text_of(values: pa.Array) -> memoryview:
    """The bytes of all ``values``, one behind the other."""
    _, offsets, data = values.buffers()
    if data is None or not len(values):
        return memoryview(b"")
    places = memoryview(offsets).cast("i")
    return memoryview(data)[places[values.offset] : places[values.offset + len(values)]]


def quoted(column: pa.Array) -> pa.Array:
    """``column`` with quotes around the cells that need them."""
    text = bytes(text_of(column))
    found = [pc.match_substring(column, character) for character in _SPECIAL if character in text]
    if not found:
        return column
    special = reduce(pc.or_, found)
    cells = column.filter(special)
    doubled = pc.replace_substring(cells, b'"', b'""') if b'"' in text else cells
    return pc.replace_with_mask(column, special, pc.binary_join_element_wise(QUOTE, doubled, QUOTE, BLANK))


def guarded(column: pa.Array) -> pa.Array:
    """``column`` with the formula guard: see :mod:`orchestrator.results.formula_guard`."""
    starts = pc.binary_slice(column, 0, 1)
    suspicious = [start for start in pc.unique(starts).to_pylist() if start not in _HARMLESS]
    if not suspicious:
        return column
    suspect = pc.is_in(starts, value_set=pa.array(suspicious, pa.binary()))
    cells = (cell.decode("utf-8", "surrogateescape") for cell in column.filter(suspect).to_pylist())
    safe = pa.array([guard(cell).encode("utf-8", "surrogateescape") for cell in cells], pa.binary())
    return pc.replace_with_mask(column, suspect, safe)


def constant(cell: bytes) -> pa.Scalar:
    """``cell`` as CSV, as the cell of every record."""
    return quoted(pa.array([cell], pa.binary()))[0]


def numbers(first: int, length: int, end: pa.Scalar = BLANK) -> pa.Array:
    """A column of the numbers from ``first`` on, as text, each with ``end`` behind it."""
    if first + length <= _USUAL:
        return _usual_numbers(end).slice(first - 1, length)
    return _as_text(pa.arange(first, first + length), end)


@cache
def _usual_numbers(end: pa.Scalar) -> pa.Array:
    return _as_text(pa.arange(1, _USUAL), end)


def _as_text(integers: pa.Array, end: pa.Scalar) -> pa.Array:
    return pc.binary_join_element_wise(integers.cast(pa.string()).cast(pa.binary()), end, BLANK)


def joined(columns: Sequence[pa.Array]) -> pa.Array:
    """The cells of each record of ``columns`` as CSV, without a line end. A scalar is a cell of every record."""
    return pc.binary_join_element_wise(*columns, COMMA) if len(columns) > 1 else columns[0]


def csv_lines(columns: Sequence[pa.Array]) -> pa.Array:
    """One line of CSV with its end for each record of ``columns``."""
    return joined([*columns[:-1], pc.binary_join_element_wise(columns[-1], END, BLANK)])


@lru_cache(maxsize=64)
def header_line(*names: str) -> bytes:
    """One line of CSV with its end."""
    row = [quoted(pa.array([name.encode("utf-8", "surrogateescape")], pa.binary())) for name in names]
    return bytes(text_of(csv_lines(row)))
