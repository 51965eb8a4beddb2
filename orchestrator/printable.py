"""Text as it may be shown. Nothing in a text from outside is obeyed by a terminal or changes what is read around it."""

import re

_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0\U000e0100-\U000e01ef]")
"""Characters that count as printable although nothing is seen of them."""

_HIDDEN = re.compile(
    "[\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Characters that JSON need not escape: controls above ASCII, format characters, line separators, blanks."""


def printable(text: str) -> str:
    """``text`` with each character escaped that is not seen, or that changes what is seen around it.

    That covers control characters (C0, C1), escape sequences of terminals, changes of the writing direction,
    zero-width characters and half characters.
    """
    if text.isprintable() and (text.isascii() or not _BLANK.search(text)):
        return text
    return "".join(
        char if char.isprintable() and not _BLANK.match(char) else char.encode("unicode_escape").decode()
        for char in text
    )


def counted(number: int, noun: str) -> str:
    """``1 key``, ``2,000 keys``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def shortened(text: str, most: int) -> str:
    """``text``, or its first ``most`` characters with a mark that says how long it was."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def printable_json(data: bytes) -> bytes:
    """The same JSON as ``data``, with the characters escaped that :func:`printable` escapes and JSON need not."""
    if data.isascii() and b"\x7f" not in data:
        return data
    return _HIDDEN.sub(_escape, data.decode()).encode()


def _escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
