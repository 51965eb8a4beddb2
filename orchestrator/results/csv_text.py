"""Records as CSV text, column by column in Arrow: quotes where needed (RFC 4180), CRLF, and the formula guard."""

from collections.abc import Sequence
from functools import cache

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.results.formula_guard import guard

END = b"\r\n"

_USUAL = 1 << 16  # records of a file, below which their numbers are made once
_SPECIAL = (b",", b'"', b"\n", b"\r")
_FORMULAS = (b"=", b"+", b"-", b"@", b"\t", b"\r", "＝".encode()[:2])
"""One of these bytes is in every cell that the guard changes."""


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
    if not any(character in text for character in _SPECIAL):
        return column
    doubled = pc.replace_substring(column, b'"', b'""') if b'"' in text else column
    in_quotes = pc.binary_join_element_wise(b'"', doubled, b'"', b"")
    return pc.if_else(pc.match_substring_regex(column, '[",\r\n]'), in_quotes, column)


def guarded(column: pa.Array) -> pa.Array:
    """``column`` with the formula guard: see :mod:`orchestrator.results.formula_guard`."""
    text = bytes(text_of(column))
    if not any(mark in text for mark in _FORMULAS):
        return column
    digit = pc.and_(pc.greater_equal(column, b"0"), pc.less(column, b":"))
    letter = pc.and_(pc.greater_equal(column, b"A"), pc.less(column, b"\x7f"))
    suspect = pc.invert(pc.or_(pc.or_(digit, letter), pc.equal(column, b"")))
    if not pc.any(suspect).as_py():
        return column
    cells = (cell.decode("utf-8", "surrogateescape") for cell in column.filter(suspect).to_pylist())
    safe = pa.array([guard(cell).encode("utf-8", "surrogateescape") for cell in cells], pa.binary())
    return pc.replace_with_mask(column, suspect, safe)


def constant(cell: bytes, length: int) -> pa.Array:
    """A column that has ``cell`` in each of ``length`` records."""
    return pa.repeat(pa.scalar(cell, pa.binary()), length)


def numbers(first: int, length: int) -> pa.Array:
    """A column of the numbers from ``first`` on, as text."""
    if first + length <= _USUAL:
        return _usual_numbers().slice(first - 1, length)
    return _as_text(pa.array(range(first, first + length), pa.int64()))


def places(length: int) -> pa.Array:
    """The numbers from 0 up to ``length``."""
    if length <= _USUAL:
        return _usual_places().slice(0, length)
    return pa.array(range(length), pa.int64())


@cache
def _usual_places() -> pa.Array:
    return pa.array(range(_USUAL), pa.int64())


@cache
def _usual_numbers() -> pa.Array:
    return _as_text(_usual_places().slice(1))


def _as_text(integers: pa.Array) -> pa.Array:
    return integers.cast(pa.string()).cast(pa.binary())


def joined(columns: Sequence[pa.Array]) -> pa.Array:
    """One line of CSV for each record of ``columns``, without its end."""
    return pc.binary_join_element_wise(*columns, b",") if len(columns) > 1 else columns[0]


def with_ends(lines: pa.Array) -> bytes:
    """The text of ``lines`` with CRLF behind each."""
    if not len(lines):
        return b""
    whole = pa.ListArray.from_arrays(pa.array([0, len(lines)], pa.int32()), lines)
    return bytes(text_of(pc.binary_join(whole, END))) + END


def header_line(names: Sequence[str]) -> bytes:
    """One line of CSV with its end."""
    row = [quoted(pa.array([name.encode("utf-8", "surrogateescape")], pa.binary())) for name in names]
    return bytes(with_ends(joined(row)))
