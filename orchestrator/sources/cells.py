"""Read a bulk key from a cell, and explain why a cell contains none."""

import re
from collections.abc import Callable

from orchestrator.model import is_bulk_key, is_safe_key
from orchestrator.printable import counted

INVISIBLE = "".join(
    chr(code)
    for first, last in (
        (0x09, 0x0D), (0x1A, 0x1A), (0x1C, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0xAD, 0xAD), (0x61C, 0x61C),
        (0x1680, 0x1680), (0x180E, 0x180E), (0x2000, 0x200F), (0x2028, 0x202F), (0x205F, 0x206F), (0x3000, 0x3000),
        (0xFEFF, 0xFEFF),
    )
    for code in range(first, last + 1)
)  # fmt: skip
"""Whitespace, zero-width and direction characters, and the end-of-file character of DOS."""

_QUOTES = "\"'`\u00b4\u00ab\u00bb\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u2039\u203a"
_EDGES = INVISIBLE + _QUOTES
_FORM = "a bulk key is 32 letters or digits (A-Z, a-z, 0-9)"
_SAFE_FORM = "with --any-key a key is 1 to 200 letters, digits or . _ ~ -"
_FOREIGN = re.compile(r"[^0-9A-Za-z]")
_UNSAFE = re.compile(r"[^0-9A-Za-z._~-]")
_KEY_INSIDE = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{32}(?![0-9A-Za-z])")
_UUID = re.compile(r"\{?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?", re.IGNORECASE)
_SCIENTIFIC = re.compile(r"[0-9]([.,][0-9]+)?E\+?[0-9]+", re.IGNORECASE)
_WORDS = re.compile(r"[^0-9A-Za-z]+")
_PARTS = re.compile(r"[,;\t|\r\n]")
_CHANGES = re.compile(r"(?<=[0-9])(?=[a-z])|(?<=[a-z])(?=[0-9])")

Reader = Callable[[str], str | None]
"""Returns the key in a cell without surrounding characters, or None if the cell contains no key."""


def clean(cell: str) -> str:
    """Return the text of a cell without invisible characters, quotes and Excel's text form (``'KEY``, ``="KEY"``)."""
    text = cell.strip(INVISIBLE)
    if text[:2] == '="':
        text = text[1:]
    return text.strip(_EDGES)


def bulk_key(cell: str) -> str | None:
    """Return the bulk key in ``cell``, or None."""
    if is_bulk_key(cell):
        return cell
    text = clean(cell) if len(cell) > 32 else cell
    return text if is_bulk_key(text) else None


def safe_key(cell: str) -> str | None:
    """Return the key in ``cell``, or None. A key may be any text that is safe in a URL path."""
    text = clean(cell)
    return text if is_safe_key(text) else None


def storable(text: str) -> str:
    """Return ``text`` without NUL, and without lone surrogates, which UTF-8 cannot encode."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def mentions_key(cell: str) -> bool:
    """Return whether a cell contains a key, with or without other text."""
    return _KEY_INSIDE.search(cell) is not None


def hides_key(cell: str) -> bool:
    """Return whether a cell that is no key looks like several keys, or like a key between other characters.

    A sentence with a key in it does not.
    """
    if len(cell) <= 32:
        return False
    words = list(filter(None, _WORDS.split(cell)))
    return bool(words) and (all(map(is_bulk_key, words)) or any(map(bulk_key, _PARTS.split(cell))))


def looks_damaged(cell: str) -> bool:
    """Return whether a cell looks like a key that lost or gained characters, and not like a title."""
    text = _WORDS.sub("", cell).casefold()
    if not 24 <= len(text) <= 40:
        return False
    return (not text.isalpha() and not text.strip("0123456789abcdef")) or len(_CHANGES.findall(text)) > 4


def key_problem(cell: str, *, any_key: bool = False) -> str:
    """Return why ``cell`` contains no key, as a sentence."""
    text = clean(cell)
    foreign = (_UNSAFE if any_key else _FOREIGN).search(text)
    form = _SAFE_FORM if any_key else _FORM
    the = "Without its leading apostrophe the" if cell.strip(INVISIBLE)[:1] == "'" else "The"
    if not text:
        return "The key is empty."
    if not any_key and _UUID.fullmatch(text):
        return f"This is a UUID with hyphens; {form}. If it is the key, remove the hyphens."
    if not any_key and _SCIENTIFIC.fullmatch(text):
        return f"A spreadsheet made the number {text} of the key. Export it again with the column formatted as text."
    if keys := len(_KEY_INSIDE.findall(text)):
        return (
            "The cell contains a key and other text; leave only the key."
            if keys == 1
            else f"The cell contains {keys} keys; put each into a row or cell of its own."
        )
    if any_key and text in (".", ".."):
        return f"{form[0].upper()}{form[1:]}, but not . or .. alone: a path has them for folders."
    if foreign:
        sign = foreign[0]
        return f"Character {foreign.start() + 1} of the key is {sign!a} (U+{ord(sign):04X}); {form}."
    return f"{the} key has {counted(len(text), 'character')}; {form}."
