"""The formula guard: no cell of a table for people runs in a spreadsheet.

A spreadsheet runs a cell that starts with ``=``, ``+``, ``-`` or ``@``, also in their full-width forms, and behind
blanks, control and zero-width characters. TAB and CR in front count as well. Such a cell gets an apostrophe in front,
unless it is a plain number (``-12.50``, ``+3``). So does a cell that starts with apostrophes and then one of these
characters. This makes the guard reversible: where apostrophes are followed by one of these, drop one apostrophe.
"""

import re

_UNSEEN = r"[\s\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
_FORMULA = rf"(?:{_UNSEEN}*[=+\-@＝＋－＠]|[\t\r])"
_DANGER = re.compile(rf"'*{_FORMULA}")
_PLAIN_NUMBER = re.compile(r" *[+-](?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+) *")

HARMLESS_STARTS = frozenset({*range(0x21, 0x7F), *range(0xC3, 0x100)}.difference(b"'+-=@\xe1\xe2\xe3\xef"))
"""First bytes of cells, in UTF-8, that the guard never changes; some others are harmless, too."""


def guard(cell: str) -> str:
    """``cell`` such that no spreadsheet runs it as a formula; most cells as they are. See the top of this module."""
    return f"'{cell}" if _DANGER.match(cell) and not _PLAIN_NUMBER.fullmatch(cell) else cell
