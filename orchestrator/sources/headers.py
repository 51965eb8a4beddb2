"""How a header is recognised."""

import re

from orchestrator.errors import InputError

KEY_HEADERS = ("bulkkey", "key")
"""The headers of a key column, normalised; the earlier wins."""

_SEPARATORS = re.compile(r"[\W_]+")
_NUMBER = re.compile(r"[0-9]{1,9}")


def normalised(header: str) -> str:
    """A header without case and separators: ``Bulk Key`` and ``bulk-key`` are both ``bulkkey``."""
    return _SEPARATORS.sub("", header).casefold()


def as_index(column: str | None) -> int | None:
    """The index (from 0) meant by a column given as a number (from 1); None where it is a name.

    Raises:
        InputError: the number is 0.
    """
    if column is None or _NUMBER.fullmatch(column) is None:
        return None
    if int(column) == 0:
        raise InputError("Column 0 does not exist; columns are counted from 1.")
    return int(column) - 1


def find(header: list[str], column: str, name: str, option: str, instead: str = "") -> int:
    """The index of the column called ``column``: exactly so, else but for case and separators.

    Raises:
        InputError: there is none; the sentence names the columns there are and the ``option`` that takes one, and ends
            in what would do ``instead``.
    """
    titles = [cell.strip() for cell in header]
    if column in titles:
        return titles.index(column)
    loose = [normalised(title) for title in titles]
    if normalised(column) in filter(None, loose):
        return loose.index(normalised(column))
    seen = ", ".join(repr(title[:40]) for title in titles[:20]) + (", …" if len(titles) > 20 else "")
    raise InputError(
        f"{name} has no column {column!r}; its first row holds {seen}. Give {option} one of these, or a number from 1."
        f"{instead}"
    )
