"""Convert records to rows: decide which columns contain keys, name the labels, explain malformed rows."""

import math
import re
from collections.abc import Collection, Iterator
from itertools import chain

from msgspec import Struct

from orchestrator.errors import InputError
from orchestrator.model import InputRow
from orchestrator.sources.cells import (
    INVISIBLE,
    Reader,
    bulk_key,
    clean,
    hides_key,
    key_problem,
    looks_damaged,
    mentions_key,
    safe_key,
)
from orchestrator.sources.headers import (
    KEY_HEADERS,
    as_index,
    find,
    is_handover,
    key_columns,
    named,
    normalised,
)
from orchestrator.sources.records import MOST_HELD, Record
from orchestrator.sources.text import LIMIT

KEPT = 200
"""Most characters that are stored of a malformed key."""

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


class Wanted(Struct, frozen=True):
    """The columns that the operator chose, each by title or by number (from 1), and the form of a key.

    ``column`` contains the keys; if it is None, the key column is searched for. ``weight`` and ``tenant`` become the
    fields of these names in :class:`InputRow`. With ``any_key``, any text that is safe in a URL path is a key.
    """

    column: str | None = None
    weight: str | None = None
    tenant: str | None = None
    any_key: bool = False

    @property
    def headers(self) -> frozenset[str]:
        """The normalised titles of a key column."""
        return frozenset((*KEY_HEADERS, normalised(self.column or "key") or "key"))

    @property
    def read_key(self) -> Reader:
        return safe_key if self.any_key else bulk_key


NOTHING_CHOSEN = Wanted()


def parse_rows(records: Iterator[Record], name: str, wanted: Wanted) -> Iterator[InputRow | None]:
    """Yield the rows of a table: one for each key, and one for each record without a key. A header gives no row.

    None is a skipped record: one without a key in a ``needs-person.csv``.

    Raises:
        InputError: a chosen column is missing, or several columns may be the key column. Raised before the first row.
    """
    first = next(records, None)
    if first is None:
        return
    held = [first]
    table = _lay_out(held, records, name, wanted)
    for record in chain(held, records):
        if (row := table.simple_row(record)) is not None:
            yield row
        else:
            yield from table.rows(record)


def as_number(cell: str) -> float | None:
    """Return the finite decimal number in ``cell``, or None."""
    cell = cell.strip(INVISIBLE)
    value = float(cell) if _NUMBER.fullmatch(cell) else math.inf
    return value if math.isfinite(value) else None


class _Table:
    """The columns of one source.

    ``keys`` are the key columns. Without a header there are none, and every cell may contain a key, unless the operator
    chose a column (``wanted.column``). ``at`` is the column where a row without a key should have it.
    """

    def __init__(
        self,
        header: list[str],
        keys: frozenset[int],
        at: int,
        wanted: Wanted,
        weight: int | None,
        tenant: int | None,
    ) -> None:
        self._header = [title.strip(INVISIBLE) for title in header]
        self._keys = keys
        self._at = at
        self._read_key = wanted.read_key
        self._any_key = wanted.any_key
        self._limited = wanted.column is not None
        self._single = wanted.any_key and not header and not self._limited
        self._handover = is_handover(self._header)
        self._weight = weight
        self._tenant = tenant
        self._names: list[str] = []
        self._taken: set[str] = set()
        for title in self._header:
            self._add_name(title)
        # Up to this number of cells, the key in column ``at`` is the only key of a record.
        self._simple = 1
        if self._limited:
            self._simple = LIMIT
        elif header:
            self._simple = len(header) if keys == {at} and all(self._header) else 0

    def simple_row(self, record: Record) -> InputRow | None:
        """Return the row of a record whose only key is in column ``at``; None if the record needs a full search."""
        number, cells, problem = record
        at = self._at
        if problem is not None or at >= len(cells) or (key := self._read_key(cells[at])) is None:
            return None
        if len(cells) > self._simple and (
            self._header or self._single or sum(map(len, cells)) - len(cells[at]) >= 32
        ):
            return None
        if self._any_key and self._is_header(cells):  # a title may be a key by its form
            return None
        return self._row(number, cells, key, (at,))

    def _is_header(self, cells: list[str]) -> bool:
        """Return whether ``cells`` are the header once more, as in files that were joined."""
        return bool(self._header) and [cell.strip(INVISIBLE) for cell in cells] == self._header

    def rows(self, record: Record) -> Iterator[InputRow | None]:
        """Yield the rows of any record; none for a repeated header."""
        number, cells, problem = record
        if problem is not None:
            yield self._malformed(number, cells, self._at, problem)
        elif self._single and any(map(clean, cells[1:])):
            yield self._malformed(number, cells, self._at, _SEVERAL_CELLS)
        elif not self._is_header(cells):
            yield from self._search(number, cells)

    def _search(self, number: int, cells: list[str]) -> Iterator[InputRow | None]:
        """Yield the rows of a record with any number of keys."""
        keys: dict[int, str] = {}
        bad = []
        for index, cell in enumerate(cells):
            if index in self._keys:
                if (key := self._read_key(cell)) is not None:
                    keys[index] = key
                elif clean(cell):
                    bad.append(index)
            elif not self._limited and (index >= len(self._header) or not self._header[index]):
                if (key := bulk_key(cell)) is not None:
                    keys[index] = key
                elif hides_key(cell):
                    bad.append(index)
        for key in keys.values():
            yield self._row(number, cells, key, keys)
        for index in bad:
            yield self._malformed(number, cells, index)
        if not keys and not bad:
            yield None if self._handover else self._malformed(number, cells, self._at)

    def _row(
        self, number: int, cells: list[str], key: str, keys: Collection[int], problem: str | None = None
    ) -> InputRow:
        weight, tenant = self._weight, self._tenant
        if len(cells) == 1 and weight is None and tenant is None:
            labels = {} if 0 in keys else self._labels(cells, keys)
            return InputRow(number, key, labels, None, problem)
        value = as_number(cells[weight]) if weight is not None and weight < len(cells) else None
        whose = clean(cells[tenant])[:KEPT] if tenant is not None and tenant < len(cells) else ""
        return InputRow(number, key, self._labels(cells, keys), value, problem, whose)

    def _malformed(self, number: int, cells: list[str], at: int, problem: str | None = None) -> InputRow:
        cell = cells[at] if at < len(cells) else ""
        if problem is None and at >= len(cells):
            problem = (
                f"The row has too few columns: {len(cells)}, where the key is expected in column {at + 1}."
            )
        elif problem is None and not clean(cell):
            problem = f"The key's cell (column {at + 1}) is empty."
        elif problem is None:
            problem = key_problem(cell, any_key=self._any_key)
        return self._row(number, cells, clean(cell)[:KEPT], (at,), problem)

    def _labels(self, cells: list[str], keys: Collection[int]) -> dict[str, str]:
        width = max(len(cells), 1 + max(keys))
        while len(self._names) < width:
            self._add_name("")
        labels = dict(zip(self._names, cells, strict=False))
        for index in keys:
            labels.pop(self._names[index], None)
        if self._tenant is not None and self._tenant < len(self._names):
            labels.pop(self._names[self._tenant], None)
        return labels

    def _add_name(self, title: str) -> None:
        """Name the next column by its title or its number. A repeated name gets a number as suffix."""
        position = len(self._names) + 1
        name = title = title or f"column_{position}"
        again = 1
        while name in self._taken:
            again += 1
            name = f"{title}_{again}"
        self._taken.add(name)
        self._names.append(name)


def _lay_out(held: list[Record], records: Iterator[Record], name: str, wanted: Wanted) -> _Table:
    """Return the columns of a source. ``held`` has the first record and receives those that are read ahead.

    The later records remain in ``records``. A header is removed from ``held``.
    """
    cells = held[0].cells
    headed, keys, at = _find_keys(held, records, name, wanted)
    weight = _chosen(cells, wanted.weight, headed, name, "--order")
    tenant = _chosen(cells, wanted.tenant, headed, name, "--tenant-column")
    if headed:
        del held[0]
    return _Table(cells if headed else [], keys, at, wanted, weight, tenant)


def _find_keys(
    held: list[Record], records: Iterator[Record], name: str, wanted: Wanted
) -> tuple[bool, frozenset[int], int]:
    """Return whether the first record is a header, the key columns, and the column that should have a key."""
    first, cells = held[0], held[0].cells
    index = as_index(wanted.column)
    if wanted.column is not None and index is None:
        at = find(cells, wanted.column, name, "--column")
        return True, frozenset({at}), at
    in_first = _keys_in(first, None)
    if index is None:
        keys = frozenset[int]() if in_first else key_columns(cells)
        titled = bool(keys)
    elif index < len(cells) or first.problem is not None:
        keys = frozenset({index})
        titled = index < len(cells) and normalised(cells[index]) in KEY_HEADERS
    else:
        raise InputError(f"{name} has no column {wanted.column}: its first row has {len(cells)}.")
    if titled:
        return True, keys, min(keys)
    if wanted.any_key and index is None:
        if len(cells) > 1:
            raise InputError(
                f"{name} has several columns. With --any-key name the key's column with --column, or give it the "
                "header bulk_key."
            )
        return False, frozenset({0}), 0
    if in_first or first.problem is not None:
        return False, keys, min(keys or in_first, default=0)
    found = _hold(held, records, index)
    damaged = any(looks_damaged(cells[column]) for column in found if column < len(cells))
    if found and not damaged and not any(map(mentions_key, cells)):
        keys = _titled(cells, found, name, held[-1].number)
        return True, keys, min(keys or found)
    names = [column for column in (wanted.weight, wanted.tenant) if column and as_index(column) is None]
    headed = any(normalised(column) in map(normalised, cells) for column in names)
    return headed, keys, min(keys or found, default=0)


def _keys_in(record: Record, index: int | None) -> list[int]:
    """Return the columns of ``record`` that contain a bulk key; only ``index`` if it is given."""
    return [
        column
        for column, cell in enumerate(record.cells)
        if index in (None, column) and bulk_key(cell) is not None
    ]


def _hold(held: list[Record], records: Iterator[Record], index: int | None) -> list[int]:
    """Read ahead to a record with a key. Return its columns with keys; none if the limit is reached before."""
    size = 0
    while len(held) < MOST_HELD and size < LIMIT and (record := next(records, None)) is not None:
        held.append(record)
        size += sum(map(len, record.cells))
        if record.problem is None and (found := _keys_in(record, index)):
            return found
    return []


def _titled(titles: list[str], found: list[int], name: str, row: int) -> frozenset[int]:
    """Return the key column of an unknown header. Raises InputError if several titled columns contain keys."""
    columns = [column for column in found if column < len(titles) and titles[column].strip(INVISIBLE)]
    if len(columns) > 1:
        shown = named([titles[column].strip(INVISIBLE) for column in columns])
        raise InputError(
            f"{name} has keys in several columns (row {row}): {shown}. Choose one with --column."
        )
    return frozenset(columns)


_SEVERAL_CELLS = "The row has several cells. With --any-key name the key's column with --column."
_PURPOSES = {
    "--order": ("to order by", ""),
    "--tenant-column": ("that names the tenant", " If all rows belong to one tenant, name it with --tenant."),
}


def _chosen(cells: list[str], column: str | None, headed: bool, name: str, option: str) -> int | None:
    """Return the index of the column for ``option``. Raises InputError, whose message ends with the alternative."""
    if column is None:
        return None
    purpose, instead = _PURPOSES[option]
    index = as_index(column)
    if index is None and not headed:
        raise InputError(
            f"{name} has no header, so no column {column!r} {purpose}; give {option} the column's number, from 1."
            f"{instead}"
        )
    if index is None:
        return find(cells, column, name, option, instead)
    if index >= len(cells):
        raise InputError(f"{name} has no column {column} {purpose}; its first row has {len(cells)}.{instead}")
    return index
