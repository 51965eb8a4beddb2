"""Undo the formula guard of cells in tables for people."""

import re

_GUARDED = re.compile(
    r"'+(?:[\s\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*[=+\-@＝＋－＠]|[\t\r])"
)


def unguard(cell: str) -> str:
    """Return the cell before the guard: drop one apostrophe if a dangerous start follows the apostrophes."""
    return cell[1:] if _GUARDED.match(cell) else cell
