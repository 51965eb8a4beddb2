"""Takes our own credentials out of what the tenant says: it, or a gateway, may repeat what it was sent."""

import html
import json
import re
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterator
from urllib.parse import quote

Redact = Callable[[str], str]
"""Gives a text of the tenant's without what must not be kept."""

GRAM = 8
"""Characters in a row that are held against the secrets. Each run of ``2 * GRAM - 1`` has such a piece at a multiple of
``GRAM``, so that a text without one costs a look-up for every eight characters."""

LEAST = 4
"""Characters of the shortest secret that is sought: fewer stand in any text, and tell nothing."""

TOKENS = 3
"""Tokens that are remembered: calls under way may still bear the one before."""

_BEARER = re.compile(r"\b(bearer)\s+[^\s\"',;]{12,}", re.IGNORECASE)
_HEX = re.compile("%[0-9A-F]{2}")
_REDACTED = "…"


class Redaction:
    """The secrets of one tenant: the client's, ready or fetched tokens. Called with a text, it gives it without them.

    They are found as they are and in what an HTTP request, JSON or HTML makes of them, and so is any part of 15
    characters or more: a text may have been cut. Whatever stands behind ``Bearer`` is taken out as well.
    """

    def __init__(self, *secrets: str) -> None:
        self._secrets = secrets
        self._tokens: deque[str] = deque(maxlen=TOKENS)
        self._last = ""
        self._grams: frozenset[str] | None = None
        self._short: list[str] = []

    @classmethod
    def of_client(cls, client_id: str, client_secret: str) -> "Redaction":
        """For an OAuth client, whose secret also goes out together with its id (RFC 7617)."""
        return cls(client_secret, b64encode(f"{client_id}:{client_secret}".encode()).decode())

    def add_token(self, token: str) -> None:
        """Takes ``token`` out too, from now on."""
        if token is not self._last:
            self._last = token
            self._tokens.append(token)
            self._grams = None

    def __call__(self, text: str) -> str:
        grams = self._grams
        if grams is None:
            grams = self._learn()
        for at in range(0, len(text) - GRAM + 1, GRAM):
            if text[at : at + GRAM] in grams:
                text = _without(text, grams)
                break
        for secret in self._short:
            text = text.replace(secret, _REDACTED)
        return _BEARER.sub(rf"\1 {_REDACTED}", text) if "bearer" in text.lower() else text

    def _learn(self) -> frozenset[str]:
        forms = {form for secret in (*self._secrets, *self._tokens) for form in _forms(secret)}
        self._short = [form for form in forms if LEAST <= len(form) < 2 * GRAM]
        self._short.sort(key=len, reverse=True)
        self._grams = frozenset(
            form[at : at + GRAM]
            for form in forms
            if len(form) >= 2 * GRAM
            for at in range(len(form) - GRAM + 1)
        )
        return self._grams


def _forms(secret: str) -> Iterator[str]:
    for form in (secret, secret.translate(str.maketrans("+/", "-_"))):
        quoted, escaped = quote(form, safe=""), json.dumps(form)[1:-1]
        yield from (form, quoted, _HEX.sub(lambda found: found[0].lower(), quoted))
        yield from (escaped, escaped.replace("/", r"\/"), html.escape(form))


def _without(text: str, grams: frozenset[str]) -> str:
    """``text`` with each run of characters that ``grams`` are made of hidden."""
    kept, at = [], 0
    while at < len(text):
        end = at
        while text[end : end + GRAM] in grams:
            end += 1
        if end > at:
            kept.append(_REDACTED)
            at = end - 1 + GRAM
        else:
            kept.append(text[at])
            at += 1
    return "".join(kept)
