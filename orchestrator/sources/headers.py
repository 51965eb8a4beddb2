"""Recognise headers, and find columns by name or number."""

import re

from orchestrator.errors import InputError
from orchestrator.sources.cells import INVISIBLE

KEY_HEADERS = ("bulkkey", "key")
"""The normalised titles of a key column; the earlier one is preferred."""

_SEPARATORS = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"[0-9]{1,9}")
_HANDOVER = frozenset({"bulkkey", "tenant", "source", "row", "outcome"})


def normalised(header: str) -> str:
    """A title without case and separators: ``Bulk Key`` and ``bulk-key`` both become ``bulkkey``."""
    return _SEPARATORS.sub("", header).casefold()


def key_columns(cells: list[str]) -> frozenset[int]:
    """The indexes of the columns whose titles name the key; empty if there is none."""
    loose = [normalised(cell) for cell in cells]
    title = next((title for title in KEY_HEADERS if title in loose), None)
    return frozenset(index for index, cell in enumerate(loose) if cell == title)


def is_handover(titles: list[str]) -> bool:
    """Whether a header is that of ``needs-person.csv``, where a row may have no key."""
    return set(map(normalised, titles)) >= _HANDOVER


def as_index(column: str | None) -> int | None:
    """The index (from 0) of a column given as a number (from 1); None if it is a name.

    Raises:
        InputError: the number is 0.
    """
    if column is None or _NUMBER.fullmatch(column) is None:
        return None
    if int(column) == 0:
        raise InputError("Column 0 does not exist; columns are counted from 1.")
    return int(column) - 1


def find(header: list[str], column: str, name: str, option: str, instead: str = "") -> int:
    """The index of the column titled ``column``: exactly so, otherwise ignoring case and separators.

    Raises:
        InputError: there is no such column, or there are several. The message names the columns, the ``option`` that
            takes one of them, and the alternative (``instead``).
    """
    titles = [cell.strip(INVISIBLE) for cell in header]
    if found := [index for index, title in enumerate(titles) if title == column]:
        if len(found) > 1:
            numbers = " and ".join(str(index + 1) for index in found)
            raise InputError(f"{name} has several columns {column!r}. Give {option} its number: {numbers}.")
        return found[0]
    loose = [normalised(title) for title in titles]
    if normalised(column) in filter(None, loose):
        return loose.index(normalised(column))
    raise InputError(
        f"{name} has no column {column!r}; its first row holds {named(titles)}. Give {option} one of these, or a "
        f"number from 1.{instead}"
    )


def named(titles: list[str]) -> str:
    """The titles for a message: the first 20, each at most 40 characters long."""
    return ", ".join(repr(title[:40]) for title in titles[:20]) + (", …" if len(titles) > 20 else "")
