"""From records to rows: which column holds the key, how the others are called, why a row is malformed."""

import math
import re
from collections.abc import Iterator
from itertools import chain

from orchestrator.errors import InputError
from orchestrator.model import InputRow, is_bulk_key
from orchestrator.sources.headers import KEY_HEADERS, as_index, find, normalised
from orchestrator.sources.records import Record

_FORM = "a bulk key is 32 letters or digits (A-Z, a-z, 0-9)"
_FOREIGN = re.compile(r"[^0-9A-Za-z]")
_QUOTED = re.compile(r'"([^"]*)"')  # what csv leaves of a quoted cell behind a space
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_KEPT = 200  # characters of a malformed key


def key_headers(column: str | None) -> frozenset[str]:
    """The normalised headers any of which marks the key column."""
    return frozenset((*KEY_HEADERS, normalised(column or "key") or "key"))


def parse_rows(
    records: Iterator[Record],
    name: str,
    column: str | None,
    weight_column: str | None,
    tenant_column: str | None = None,
) -> Iterator[InputRow]:
    """Yields one row for each record but the header; the columns as in ``Source.read``.

    Raises:
        InputError: the header lacks a column that was asked for; raised before the first row.
    """
    index, weight, tenant = as_index(column), as_index(weight_column), as_index(tenant_column)
    first = next(records, None)
    if first is None:
        return
    ahead = [first]
    if column is None:
        found = _key_column(first.cells)
        index, headed = found or 0, found is not None
    elif index is None:
        index, headed = find(first.cells, column, name, "--column"), True
    else:
        headed = _is_key_header(first.cells, index)
        if not headed and _may_be_header(first, index) and (second := next(records, None)) is not None:
            ahead.append(second)
            headed = _holds_key(second.cells, index)
    if weight_column is not None:
        weight = _asked_for(first.cells, weight, weight_column, headed, name, "--order")
    if tenant_column is not None:
        tenant = _asked_for(first.cells, tenant, tenant_column, headed, name, "--tenant-column")
    table = _Table(index, weight, tenant, first.cells if headed else [])
    for record in chain(ahead[headed:], records):
        yield table.row(record)


class _Table:
    """The columns of one source, and how a record of it becomes a row."""

    def __init__(self, key: int, weight: int | None, tenant: int | None, header: list[str]) -> None:
        self._key = key
        self._weight = weight
        self._tenant = tenant
        self._names: list[str] = []
        self._taken: set[str] = set()
        for cell in header:
            self._add(cell.strip())

    def row(self, record: Record) -> InputRow:
        number, cells, problem = record
        at = self._key
        cell = cells[at].strip() if at < len(cells) else ""
        if not is_bulk_key(cell):
            if quoted := _QUOTED.fullmatch(cell):
                cell = quoted[1].strip()
            problem = problem or _problem(cell, at, len(cells))
        if problem is not None:
            cell = cell[:_KEPT]
        if len(cells) == 1 and at == 0 and self._weight is None and self._tenant is None:
            return InputRow(number, cell, {}, None, problem)
        weight = self._weight
        value = _number(cells[weight]) if weight is not None and weight < len(cells) else None
        tenant = self._tenant
        whose = cells[tenant].strip()[:_KEPT] if tenant is not None and tenant < len(cells) else ""
        return InputRow(number, cell, self._labels(cells), value, problem, whose)

    def _labels(self, cells: list[str]) -> dict[str, str]:
        while len(self._names) < len(cells):
            self._add("")
        labels = dict(zip(self._names, cells, strict=False))
        for taken in {self._key, self._tenant}:
            if taken is not None and taken < len(cells):
                del labels[self._names[taken]]
        return labels

    def _add(self, title: str) -> None:
        """Names the next column by its title, else by its number; a name already taken gets one behind it."""
        position = len(self._names) + 1
        name = title = title or f"column_{position}"
        again = 1
        while name in self._taken:
            again += 1
            name = f"{title}_{again}"
        self._taken.add(name)
        self._names.append(name)


def _key_column(cells: list[str]) -> int | None:
    """The column that a header marks as the key's; None if this is no header (no row with a key is)."""
    if _holds_any_key(cells):
        return None
    loose = [normalised(cell) for cell in cells]
    return next((loose.index(header) for header in KEY_HEADERS if header in loose), None)


def _is_key_header(cells: list[str], index: int) -> bool:
    return index < len(cells) and normalised(cells[index]) in KEY_HEADERS


def _holds_any_key(cells: list[str]) -> bool:
    return any(is_bulk_key(cell.strip()) for cell in cells)


def _holds_key(cells: list[str], index: int) -> bool:
    return index < len(cells) and is_bulk_key(cells[index].strip())


def _may_be_header(record: Record, index: int) -> bool:
    """Whether a first record of unknown names may be a header: it holds no key, nor what looks like one."""
    if record.problem or index >= len(record.cells) or _holds_any_key(record.cells):
        return False
    title = normalised(record.cells[index])
    return len(title) < 24 or title.isalpha()


_PURPOSES = {
    "--order": ("to order by", ""),
    "--tenant-column": ("that names the tenant", " If all rows belong to one tenant, name it with --tenant."),
}


def _asked_for(cells: list[str], index: int | None, column: str, headed: bool, name: str, option: str) -> int:
    """The index of the column that ``option`` needs. Raises InputError, whose sentence ends in what else would do."""
    purpose, instead = _PURPOSES[option]
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


def _number(cell: str) -> float | None:
    cell = cell.strip()
    value = float(cell) if _NUMBER.fullmatch(cell) else math.inf
    return value if math.isfinite(value) else None


def _problem(cell: str, index: int, columns: int) -> str | None:
    """Why ``cell`` is no bulk key, as a sentence; None if it is one."""
    if is_bulk_key(cell):
        return None
    if index >= columns:
        return f"The row has too few columns: {columns}, where the key is expected in column {index + 1}."
    if not cell:
        return f"The key's cell (column {index + 1}) is empty."
    if foreign := _FOREIGN.search(cell):
        sign = foreign[0]
        return f"Character {foreign.start() + 1} of the key is {sign!a} (U+{ord(sign):04X}); {_FORM}."
    return f"The key has {len(cell)} characters; {_FORM}."
