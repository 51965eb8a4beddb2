"""Remove the credentials from texts of the tenant: an API or a gateway may repeat the request in its response.

A text is decoded layer by layer, and each layer is searched for the secrets. The search compares letters and digits
only and ignores case. It therefore finds a secret with other characters in between. Every step is linear in the text.
"""

import html
import re
import unicodedata
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache

Redact = Callable[[str], str]
"""Returns a text of the tenant without the secrets."""

GRAM = 6
STEP = 5
"""Letters and digits that are compared at a time, and the distance between two comparisons."""

LEAST_PART = GRAM + STEP - 1
"""Number of consecutive letters and digits of a secret that are always removed."""

LEAST_SECRET = 4
"""Letters and digits of the shortest secret that is removed. Shorter ones occur in any text."""

LAYERS = 4
"""Number of layers that are searched: the text itself, and three layers of escapes."""

LONGEST = 4_096
"""Characters of a text that are kept. The limit bounds the cost of one text."""

TOKENS = 3
"""Number of latest tokens that are removed. Calls in flight may still use the previous token."""

_BEARER = re.compile(r"\b(bearer)\s+[^\s\"',;]{12,}", re.IGNORECASE)
_ESCAPE = re.compile(
    r"%u[0-9a-f]{4}|%[0-9a-f]{2}|&\#x?[0-9a-f]{1,10};?|&[a-z][a-z0-9]{1,30};|&(?:amp|lt|gt|quot|nbsp)"
    r"|\\u\{[0-9a-f]{1,6}\}|\\u[0-9a-f]{4}|\\x[0-9a-f]{2}|\\[0-7]{3}|\\.",
    re.IGNORECASE | re.DOTALL,
)
_REDACTED = "…"
_FOLD = bytes(range(256)).lower()
_NO_LETTER = bytes(code for code in range(256) if not chr(code).isascii() or not chr(code).isalnum())


MOST_REMEMBERED, LONGEST_REMEMBERED = 500, 100
"""Number of cached texts, and the longest cached text in characters. Nearly every response repeats some texts."""


class Redaction:
    """The secrets of one tenant: client secret, bearer token and fetched tokens. A call returns a text without them.

    Secrets are found in plain text, hexadecimal and base64 (also inside longer encoded texts), with any mixture of
    percent, HTML and backslash escapes. Every part of ``LEAST_PART`` letters and digits is removed, because a gateway
    may cut a text. The text after ``Bearer`` is removed as well. A text longer than ``LONGEST`` is cut.
    """

    def __init__(self, *secrets: str) -> None:
        self._secrets = secrets
        self._tokens: deque[str] = deque(maxlen=TOKENS)
        self._grams: frozenset[bytes] | None = None
        self._short: list[bytes] = []
        self._remembered = lru_cache(MOST_REMEMBERED)(self._redacted)

    @classmethod
    def of_client(cls, client_id: str, client_secret: str, *others: str) -> "Redaction":
        """Redact an OAuth client's secret, also inside Basic credentials (RFC 7617), and ``others``."""
        return cls(client_secret, b64encode(f"{client_id}:{client_secret}".encode()).decode(), *others)

    def add_token(self, token: str) -> None:
        """Remove ``token`` as well, from now on."""
        if token not in self._tokens:
            self._tokens.append(token)
            self._grams = None
            self._remembered.cache_clear()

    def __call__(self, text: str) -> str:
        return self._remembered(text) if len(text) <= LONGEST_REMEMBERED else self._redacted(text)

    def _redacted(self, text: str) -> str:
        if len(text) > LONGEST:
            text = text[:LONGEST] + _REDACTED
        grams = self._grams
        if grams is None:
            grams = self._learn()
        layer = text
        for _ in range(LAYERS):
            if self._is_in(_folded(layer), grams):
                text = self._without_secrets(text, grams)
                break
            if "%" not in layer and "&" not in layer and "\\" not in layer:
                break
            layer = _ESCAPE.sub(lambda found: _character(found[0]), layer)
        return _BEARER.sub(rf"\1 {_REDACTED}", text) if "bearer" in text.lower() else text

    def _learn(self) -> frozenset[bytes]:
        forms = {form for secret in (*self._secrets, *self._tokens) for form in _forms(secret)}
        self._short = [form for form in forms if LEAST_SECRET <= len(form) < LEAST_PART]
        self._grams = frozenset(
            form[at : at + GRAM]
            for form in forms
            if len(form) >= LEAST_PART
            for at in range(len(form) - GRAM + 1)
        )
        return self._grams

    def _is_in(self, line: bytes, grams: frozenset[bytes]) -> bool:
        """Return whether ``line`` may contain a secret. For nearly every text the search ends here."""
        pieces = [line[at : at + GRAM] for at in range(0, len(line) - GRAM + 1, STEP)]
        return not grams.isdisjoint(pieces) or any(map(line.__contains__, self._short))

    def _without_secrets(self, text: str, grams: frozenset[bytes]) -> str:
        secret = bytearray(len(text))
        chars, starts, ends = text, list(range(len(text))), list(range(1, len(text) + 1))
        for _ in range(LAYERS):
            folded = [_folded(char) for char in chars]
            at = [place for place, letters in enumerate(folded) for _ in letters]
            for first, end in self._found(b"".join(folded), grams):
                start, stop = starts[at[first]], ends[at[end - 1]]
                secret[start:stop] = b"\1" * (stop - start)
            chars, starts, ends = _decoded(chars, starts, ends)
        kept: list[str] = []
        place = 0
        for run in re.finditer(rb"\x01+", secret):
            kept += (text[place : run.start()], _REDACTED)
            place = run.end()
            while text[place : place + 1] in ("=", "-", "_") and place < len(text):  # padding of base64
                place += 1
        return "".join((*kept, text[place:]))

    def _found(self, line: bytes, grams: frozenset[bytes]) -> Iterator[tuple[int, int]]:
        """Yield start and end (exclusive) of each part of a secret in ``line``."""
        at = 0
        while at < len(line):
            end = at
            while line[end : end + GRAM] in grams:
                end += 1
            if end - 1 + GRAM - at >= LEAST_PART:
                yield at, end - 1 + GRAM
            at = end + 1
        for secret in self._short:
            at = line.find(secret)
            while at >= 0:
                yield at, at + len(secret)
                at = line.find(secret, at + 1)


def _forms(secret: str) -> Iterator[bytes]:
    """Yield the letters and digits of ``secret`` in each encoding that is searched for without decoding."""
    data = secret.encode()
    yield _folded(secret)
    yield _folded(data.hex())
    for before, mixed in enumerate((0, 2, 3)):  # skips characters that mix with bytes before
        yield _folded(b64encode(b"\0" * before + data).decode()[mixed:])


def _folded(text: str) -> bytes:
    """Return the ASCII letters and digits of ``text`` in lower case."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).casefold()
    return text.encode("ascii", "ignore").translate(_FOLD, _NO_LETTER)


def _decoded(chars: str, starts: list[int], ends: list[int]) -> tuple[str, list[int], list[int]]:
    """Decode one layer of escapes. Return the text, and the start and end of each character in the original text."""
    line: list[str] = []
    first: list[int] = []
    last: list[int] = []
    place = 0
    for found in _ESCAPE.finditer(chars):
        start, end = found.span()
        line += (chars[place:start], _character(found[0]))
        first += (*starts[place:start], starts[start])
        last += (*ends[place:start], ends[end - 1])
        place = end
    return "".join((*line, chars[place:])), first + starts[place:], last + ends[place:]


@lru_cache(maxsize=1024)
def _character(escape: str) -> str:
    """Return the one character that ``escape`` encodes, or a space if it encodes none."""
    if escape[0] == "&":
        return html.unescape(escape)[:1] or " "
    code = escape[1:].strip("uUxX{}")
    if escape[0] == "%" or (escape[1] in "uUxX" and code):
        return chr(min(int(code, 16), 0x10FFFF))
    if code.isdecimal() and len(code) == 3:
        return chr(int(code, 8))
    return " " if code in ("n", "r", "t", "b", "f") else escape[1:]
