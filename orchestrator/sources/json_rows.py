"""Read keys from JSON: arrays of keys, and objects with ``bulkKey`` or ``bulk_key``, one after another."""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from orchestrator.errors import InputError
from orchestrator.model import InputRow
from orchestrator.sources.cells import bulk_key, clean, key_problem, storable
from orchestrator.sources.headers import KEY_HEADERS, as_index, named, normalised
from orchestrator.sources.rows import KEPT, Wanted, as_number
from orchestrator.sources.text import count_lines

LONGEST = 4 << 20
"""Most characters of one JSON value below the outermost array. A label of a megabyte fits, with its escapes."""

_BETWEEN = re.compile(r"[\s,\ufeff]*")
_PLURALS = tuple(f"{title}s" for title in KEY_HEADERS)
_LINE_END = re.compile(r"[\r\n]")
_START = re.compile(
    r"[\s\ufeff]*(\[[\s\ufeff]*((?<=[\r\n])#[^\r\n]*[\s\ufeff]*)*([\[{\"\]]|$)|\{[\s\ufeff]*([\"}]|$))"
)
_ADVICE = "Give an array of keys, or one object with bulkKey on each line."


class _Object(list[tuple[str, Any]]):
    """The members of a JSON object. A name may occur more than once."""


def is_json(text: str) -> bool:
    """Return whether ``text``, the start of a source, is JSON, and not a table whose first cell has a bracket."""
    return _START.match(text) is not None


def parse_json(pieces: Iterable[str], name: str, wanted: Wanted) -> Iterator[InputRow]:
    """Yield a row for each key, and for each value without a key, as soon as the value is read.

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
    """Yield the values in and outside the outermost arrays, each with the line where it starts."""
    decoder = json.JSONDecoder(object_pairs_hook=_Object, parse_int=str, parse_float=str, parse_constant=str)
    text, line, array, line_begins = "", 1, 0, True
    for piece in chain(pieces, [None]):
        text += piece or ""
        at = 0
        while True:
            start = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]  # it matches everywhere
            if start > at:
                ends = count_lines(text[at:start])
                line_begins = ends > 0 or (line_begins and "," not in text[at:start])
                line += ends
                at = start
            if at == len(text):
                break
            if text[at] == "#" and line_begins:  # a comment
                end_of_line = _LINE_END.search(text, at)
                if end_of_line is None and piece is not None:
                    break
                at = end_of_line.start() if end_of_line else len(text)
                continue
            line_begins = False
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
        self._member: str | None = None  # the normalised name of the first member with a key

    def rows(self, line: int, value: Any) -> list[InputRow]:
        """Return the rows of one value, at least one."""
        lists = {normalised(name): name for name in self._key_lists(value)}
        if self._member is None and len(lists) > 1 and lists.keys().isdisjoint(_PLURALS):
            problem = f"Keys are in several members: {named(list(lists.values()))}. Choose one with --column."
            return [InputRow(line, "", self._labels(value, ()), problem=problem, tenant=self._tenant(value))]
        allowed = (*_PLURALS, self._member) if self._member is not None else (*_PLURALS, *lists)
        title = next((title for title in allowed if title in lists), None)
        rows = self._found(line, value, title) or [self._malformed(line, value)]
        if self._member is None and any(row.problem is None for row in rows):
            self._member = title or KEY_HEADERS[0]
        return rows

    def _key_lists(self, value: Any, name: str | None = None) -> Iterator[str]:
        """Yield the names of the members in ``value`` that are lists of keys, unless a member has a key's name."""
        if isinstance(value, _Object):
            if self._wanted.column is None and not self._key_names(value):
                for inner, member in value:
                    yield from self._key_lists(member, inner)
        elif isinstance(value, list):
            if name is not None and any(isinstance(item, str) and bulk_key(item) for item in value):
                yield name
            for item in value:
                yield from self._key_lists(item, name)

    def _found(
        self, line: int, value: Any, title: str | None, *, deep: bool = False, listed: bool = True
    ) -> list[InputRow]:
        """Return the rows of the keys in ``value``. ``deep`` inside an object, a text without a key gives no row.

        ``title`` is the normalised name of lists of keys. In another member (not ``listed``), a text is a label.
        """
        if isinstance(value, _Object):
            names = self._key_names(value)
            if names or self._wanted.column is not None:
                title = None
            rows: list[InputRow] = []
            for name, member in value:
                if name in names:
                    keys = member if type(member) is list else [member]
                    rows += self._listed(line, keys, value, names)
                elif isinstance(member, list):
                    listed = normalised(name) == title
                    if listed and not any(isinstance(item, (list, tuple)) for item in member):
                        rows += self._listed(line, member, value, {name})
                    else:
                        rows += self._found(line, member, title, deep=True, listed=listed)
            return rows
        if isinstance(value, list):
            parts = [self._found(line, item, title, deep=deep, listed=listed) for item in value]
            if any(parts):  # a list of keys, so an item without a key is malformed
                parts = [
                    rows or ([self._malformed(line, item)] if listed or isinstance(item, list) else [])
                    for rows, item in zip(parts, value, strict=True)
                ]
            return [row for rows in parts for row in rows]
        if deep and not (listed and isinstance(value, str) and bulk_key(value) is not None):
            return []
        return [self._row(line, value, {}, None)]

    def _listed(self, line: int, keys: list[Any], members: _Object, names: set[str]) -> Iterator[InputRow]:
        """Yield the rows of ``keys``. The other members are labels, but lists and objects only for the first key."""
        labels = self._labels(members, names)
        for number, key in enumerate(keys):
            if number == 1:
                short = _Object((name, value) for name, value in members if not isinstance(value, list))
                labels = self._labels(short, names)
            yield self._row(line, key, labels, members)

    def _malformed(self, line: int, value: Any) -> InputRow:
        if not isinstance(value, _Object):
            return self._row(line, value, {}, None)
        wanted = self._wanted.column
        problem = "The value has no bulkKey or bulk_key; --column names another member."
        if wanted is not None:
            problem = f"The object has no {wanted!r}."
        return InputRow(line, "", self._labels(value, ()), problem=problem, tenant=self._tenant(value))

    def _key_names(self, members: _Object) -> set[str]:
        """Return the names in ``members`` that contain keys."""
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
        """Return the text of the member named ``column``, ignoring case and separators."""
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
    """Return a JSON value as text that can be shown and stored."""
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
