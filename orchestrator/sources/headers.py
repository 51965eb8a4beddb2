"""Recognise headers, and find columns by name or number."""

import re

from orchestrator.errors import InputError
from orchestrator.sources.cells import INVISIBLE

KEY_HEADERS = ("bulkkey", "key")
"""The normalised titles of a key column. The first one has precedence."""

_SEPARATORS = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"[0-9]{1,9}")
_HANDOVER = frozenset({"bulkkey", "tenant", "source", "row", "outcome"})


def normalised(header: str) -> str:
    """Return a title without case and separators: ``Bulk Key`` and ``bulk-key`` both become ``bulkkey``."""
    return _SEPARATORS.sub("", header).casefold()


def key_columns(cells: list[str]) -> frozenset[int]:
    """Return the indexes of the columns with the title of a key column. Empty if there is none."""
    loose = [normalised(cell) for cell in cells]
    title = next((title for title in KEY_HEADERS if title in loose), None)
    return frozenset(index for index, cell in enumerate(loose) if cell == title)


def is_handover(titles: list[str]) -> bool:
    """Return whether a header is the one of ``needs-person.csv``, where a row may have no key."""
    return set(map(normalised, titles)) >= _HANDOVER


def as_index(column: str | None) -> int | None:
    """Return the index (from 0) of a column given by number (from 1); None if ``column`` is a name.

    Raises:
        InputError: the number is 0.
    """
    if column is None or _NUMBER.fullmatch(column) is None:
        return None
    if int(column) == 0:
        raise InputError("Column 0 does not exist; columns are counted from 1.")
    return int(column) - 1


def find(header: list[str], column: str, name: str, option: str, instead: str = "") -> int:
    """Return the index of the column titled ``column``. Without an exact match, case and separators are ignored.

    Raises:
        InputError: there is no such column, or there are several. The message lists the columns, the ``option`` to
            choose one, and the alternative (``instead``).
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
    """Return the titles for a message: the first 20, each cut to 40 characters."""
    return ", ".join(repr(title[:40]) for title in titles[:20]) + (", …" if len(titles) > 20 else "")
