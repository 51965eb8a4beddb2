"""Cells of tables for people, as they were before the formula guard."""

import re

_GUARDED = re.compile(
    r"'+(?:[\s\x00-\x1f\x7f-\xa0\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]*[=+\-@＝＋－＠]|[\t\r])"
)


def unguard(cell: str) -> str:
    """The cell that the guard was given: where a dangerous start follows apostrophes, drop one."""
    return cell[1:] if _GUARDED.match(cell) else cell
