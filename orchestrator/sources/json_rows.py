"""Read keys from JSON: arrays of keys, and objects with ``bulkKey`` or ``bulk_key``, one after the other."""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from orchestrator.errors import InputError
from orchestrator.model import InputRow
from orchestrator.sources.cells import bulk_key, clean, key_problem, storable
from orchestrator.sources.headers import KEY_HEADERS, as_index, normalised
from orchestrator.sources.rows import KEPT, Wanted, as_number
from orchestrator.sources.text import count_lines

LONGEST = 4 << 20
"""Characters of one JSON value below the outermost array. Labels of a megabyte fit, escapes included."""

_BETWEEN = re.compile(r"[\s,\ufeff]*")
_START = re.compile(r"[\s\ufeff]*(\[[\s\ufeff]*([\[{\"\]]|$)|\{[\s\ufeff]*([\"}]|$))")
_ADVICE = "Give an array of keys, or one object with bulkKey on each line."


class _Object(list[tuple[str, Any]]):
    """The members of a JSON object; a name may occur more than once."""


def is_json(text: str) -> bool:
    """Whether ``text``, the start of a source, starts JSON rather than a table whose first cell has a bracket."""
    return _START.match(text) is not None


def parse_json(pieces: Iterable[str], name: str, wanted: Wanted) -> Iterator[InputRow]:
    """Yield one row for each key, and one for each value without a key, as soon as its value was read.

    ``row`` is the line where the value starts. The other members of an object become its labels.

    Raises:
        InputError: the content is not JSON, is cut short, or lacks a chosen member.
    """
    if as_index(wanted.column) is not None:
        raise InputError(
            f"{name} is JSON, which has no column {wanted.column}: name the member with --column."
        )
    reader = _Reader(wanted)
    for line, value in _values(pieces, name):
        try:
            yield from reader.rows(line, value)
        except RecursionError:
            raise _invalid(name, line, "its values are nested too deeply") from None


def check_json(pieces: Iterable[str], name: str) -> None:
    """Raise InputError if the content is not JSON or is cut short."""
    for _ in _values(pieces, name):
        pass


def _values(pieces: Iterable[str], name: str) -> Iterator[tuple[int, Any]]:
    """The values of all outermost arrays, and those outside of arrays, each with the line where it starts."""
    decoder = json.JSONDecoder(object_pairs_hook=_Object, parse_int=str, parse_float=str, parse_constant=str)
    text, line, array = "", 1, 0
    for piece in chain(pieces, [None]):
        text += piece or ""
        at = 0
        while True:
            start = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]  # it matches everywhere
            line += count_lines(text[at:start])
            at = start
            if at == len(text):
                break
            if text[at] == ("]" if array else "["):
                array = 0 if array else line
                at += 1
                continue
            try:
                value, end = decoder.raw_decode(text, at)
            except (json.JSONDecodeError, RecursionError) as error:
                if piece is None or len(text) - at > LONGEST or isinstance(error, RecursionError):
                    raise _refused(name, line, error, text, at) from None
                break
            if end == len(text) and piece is not None and text[at] not in '"[{':
                break  # a number may continue in the next piece
            yield line, value
            line += count_lines(text[at:end])
            at = end
        text = text[at:]
    if array:
        raise _invalid(name, array, "the array that starts here is cut short", "Copy the file again.")


class _Reader:
    """Finds keys in JSON values."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted

    def rows(self, line: int, value: Any) -> list[InputRow]:
        """The rows of one value: at least one."""
        return self._found(line, value, deep=False) or [self._malformed(line, value)]

    def _found(self, line: int, value: Any, *, deep: bool) -> list[InputRow]:
        """The rows of the keys in ``value``. ``deep`` inside an object, other texts than keys are no rows."""
        if isinstance(value, _Object):
            names = self._key_names(value)
            rows = []
            for name, member in value:
                if name in names:
                    keys = member if type(member) is list else [member]
                    rows += [self._row(line, key, self._labels(value, names), value) for key in keys]
                elif isinstance(member, list):
                    rows += self._found(line, member, deep=True)
            return rows
        if isinstance(value, list):
            parts = [self._found(line, item, deep=deep) for item in value]
            if any(parts):  # a list of keys: an item without one is malformed
                parts = [
                    rows or [self._malformed(line, item)] for rows, item in zip(parts, value, strict=True)
                ]
            return [row for rows in parts for row in rows]
        if deep and (not isinstance(value, str) or bulk_key(value) is None):
            return []
        return [self._row(line, value, {}, None)]

    def _malformed(self, line: int, value: Any) -> InputRow:
        if not isinstance(value, _Object):
            return self._row(line, value, {}, None)
        wanted = self._wanted.column
        problem = "The value has no bulkKey or bulk_key; --column names another member."
        if wanted is not None:
            problem = f"The object has no {wanted!r}."
        return InputRow(line, "", self._labels(value, ()), problem=problem, tenant=self._tenant(value))

    def _key_names(self, members: _Object) -> set[str]:
        """The names in ``members`` that the keys have."""
        column = self._wanted.column
        if column is not None:
            exact = {name for name, _ in members if name == column}
            return exact or {name for name, _ in members if normalised(name) == normalised(column)}
        loose = {name: normalised(name) for name, _ in members}
        title = next((title for title in KEY_HEADERS if title in loose.values()), None)
        return {name for name, found in loose.items() if found == title}

    def _row(self, line: int, key: Any, labels: dict[str, str], members: "_Object | None") -> InputRow:
        text = _text(key)
        found = self._wanted.read_key(text) if isinstance(key, str) else None
        problem = None if found else key_problem(text, any_key=self._wanted.any_key)
        weight = self._chosen(members, self._wanted.weight)
        return InputRow(
            line,
            found or clean(text)[:KEPT],
            labels,
            as_number(weight) if weight else None,
            problem,
            self._tenant(members),
        )

    def _tenant(self, value: Any) -> str:
        return clean(self._chosen(value, self._wanted.tenant) or "")[:KEPT]

    def _chosen(self, value: Any, column: str | None) -> str | None:
        """The member named ``column``, ignoring case and separators."""
        if column is None or not isinstance(value, _Object):
            return None
        return next((_text(member) for name, member in value if normalised(name) == normalised(column)), None)

    def _labels(self, members: _Object, keys: "set[str] | tuple[()]") -> dict[str, str]:
        tenant = self._wanted.tenant
        return {
            storable(name): _text(member)
            for name, member in members
            if name not in keys and (tenant is None or normalised(name) != normalised(tenant))
        }


def _text(value: Any) -> str:
    """A JSON value as it may be shown and stored."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return storable(value if isinstance(value, str) else json.dumps(_plain(value), ensure_ascii=False))


def _plain(value: Any) -> Any:
    if isinstance(value, _Object):
        return {name: _plain(member) for name, member in value}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _refused(name: str, line: int, error: Exception, text: str, at: int) -> InputError:
    if isinstance(error, RecursionError):
        return _invalid(name, line, "its values are nested too deeply")
    if len(text) - at > LONGEST:
        return _invalid(name, line, f"a value is longer than {LONGEST:,} characters")
    assert isinstance(error, json.JSONDecodeError)
    where = line + count_lines(text[at : error.pos])
    return _invalid(name, where, error.msg[:1].lower() + error.msg[1:])


def _invalid(name: str, line: int, why: str, advice: str = _ADVICE) -> InputError:
    return InputError(f"{name} is not readable as JSON: {why} (line {line}). {advice}")
