"""Unusual but valid responses: undocumented forms that tenants and gateways send.

Each change keeps the meaning of a response of the simulated tenant.
"""

import gzip
import json
from collections.abc import Callable, Iterable
from itertools import product
from typing import Any

Change = Callable[[bytes], bytes]
Headers = list[tuple[str, str]]

ABSENT = object()

VALUES: dict[str, object] = {
    "absent": ABSENT, "null": None, "empty": "", "blank": " ", "a word": "soon", "digits": "12", "a number": 7,
    "minus one": -1, "a fraction": 2.5, "vast": 10**30, "true": True, "false": False, "a list": [1],
    "an empty list": [], "an object": {"of": None}, "two lines": "a\r\nb: c",
}  # fmt: skip
"""Values that may replace the value of a field."""

FEW = ("absent", "null", "empty", "a word", "a number", "true", "a list", "an object")
"""One value of each kind."""

STATUS_FIELDS = (
    "actionType", "uploadedBy", "uploadedOn", "startedOn", "endedOn", "inputSize", "outputSize", "outputType",
    "outputURL", "totalCount", "processedCount", "errorCount", "successCount", "processId", "reasons", "message",
    "unheardOf",
)  # fmt: skip
"""All fields of a status except those with a meaning (``status``, ``success``)."""

STOP_FIELDS = ("processId", "reasons", "message", "unheardOf")
"""All fields of an accepted stop except ``success``."""

SPELLINGS: dict[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "lower case": str.lower,
    "capitals turned": str.swapcase,
    "blanks around": lambda status: f" {status}\n",
}
"""Spellings of a status."""


def fields(changed: dict[str, object]) -> Change:
    """Return a change that sets these fields of a JSON response, and removes those that are ``ABSENT``."""

    def change(body: bytes) -> bytes:
        payload: dict[str, Any] = json.loads(body) | changed
        return json.dumps({name: value for name, value in payload.items() if value is not ABSENT}).encode()

    return lambda answer: _written(answer, change)


def odd_fields(names: Iterable[str], values: Iterable[str] = VALUES) -> dict[str, Change]:
    """Return a change for each of these of ``VALUES`` in each of these fields, by a name of the case."""
    return {
        f"{name}: {described}": fields({name: VALUES[described]})
        for name, described in product(names, values)
    }


def spelt(spelling: Callable[[str], str]) -> Change:
    """Return a change that writes the status in this spelling."""

    def change(body: bytes) -> bytes:
        payload = json.loads(body)
        return json.dumps(payload | {"status": spelling(payload["status"])}).encode()

    return lambda answer: _written(answer, change)


def waits(*values: str, date: str | None = None) -> bytes:
    """Return a 429 with one Retry-After header for each of ``values``. Without ``date`` it has no Date."""
    headers = [("Retry-After", value) for value in values] + ([] if date is None else [("Date", date)])
    return _answer("HTTP/1.1 429 Too Many Requests", [*headers, ("Content-Length", "0")], b"")


def _parts(answer: bytes) -> tuple[str, Headers, bytes]:
    """Return first line, headers and unpacked body of a response, without the headers for length and encoding."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    if any(name.lower() == "content-encoding" for name, _ in headers):
        body = gzip.decompress(body)
    framing = ("content-length", "content-encoding", "transfer-encoding", "connection")
    return first, [(name, value) for name, value in headers if name.lower() not in framing], body


def _answer(first: str, headers: Headers, body: bytes) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{first}\r\n{lines}\r\n".encode("latin-1") + body


def _written(answer: bytes, change: Callable[[bytes], bytes]) -> bytes:
    first, headers, body = _parts(answer)
    body = change(body)
    return _answer(first, [*headers, ("Content-Length", str(len(body)))], body)


def _headed(change: Callable[[Headers], Headers]) -> Change:
    def changed(answer: bytes) -> bytes:
        first, headers, body = _parts(answer)
        return _answer(first, change([*headers, ("Content-Length", str(len(body)))]), body)

    return changed


def _begun(first_line: str) -> Change:
    def changed(answer: bytes) -> bytes:
        _, headers, body = _parts(answer)
        return _answer(first_line, [*headers, ("Content-Length", str(len(body)))], body)

    return changed


def _in_chunks(size: int, extension: str = "", trailer: str = "", *, packed: bool = False) -> Change:
    def changed(answer: bytes) -> bytes:
        first, headers, body = _parts(answer)
        body = gzip.compress(body) if packed else body
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        chunks = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension.encode(), piece) for piece in pieces)
        headers += [("Transfer-Encoding", "chunked"), *([("Content-Encoding", "gzip")] if packed else [])]
        return _answer(first, headers, chunks + f"0{extension}\r\n{trailer}\r\n".encode())

    return changed


def _until_closed(version: str) -> Change:
    def changed(answer: bytes) -> bytes:
        first, headers, body = _parts(answer)
        return _answer(f"HTTP/{version}{first[8:]}", [*headers, ("Connection", "close")], body)

    return changed


def _packed(answer: bytes) -> bytes:
    first, headers, body = _parts(answer)
    body = gzip.compress(body)
    return _answer(first, [*headers, ("Content-Encoding", "gzip"), ("Content-Length", str(len(body)))], body)


def _typed(content_type: str | None) -> Change:
    named = [] if content_type is None else [("Content-Type", content_type)]
    return _headed(lambda headers: [*((n, v) for n, v in headers if n.lower() != "content-type"), *named])


def _only(name: str) -> Change:
    return _headed(lambda headers: [(n, v) for n, v in headers if n.lower() == name])


CLOSING: dict[str, Change] = {
    "HTTP/1.0": _until_closed("1.0"),
    "no length": _until_closed("1.1"),
    "the connection ends": _headed(lambda headers: [*headers, ("Connection", "close")]),
}
"""Forms of a response that is the only one on its connection."""

FORMS: dict[str, Change] = CLOSING | {
    "chunked": _in_chunks(7),
    "chunked by the byte": _in_chunks(1),
    "chunks with extensions and a trailer": _in_chunks(11, ";at=1", "Checked: yes\r\n"),
    "chunked and gzipped": _in_chunks(9, packed=True),
    "gzipped": _packed,
    "no reason": _begun("HTTP/1.1 200 "),
    "no blank for a reason": _begun("HTTP/1.1 200"),
    "another reason": _begun("HTTP/1.1 200 Tr\u00e8s bien"),
    "names in upper case": _headed(lambda headers: [(name.upper(), value) for name, value in headers]),
    "names in lower case": _headed(lambda headers: [(name.lower(), value) for name, value in headers]),
    "values with blanks": _headed(lambda headers: [(name, f"  {value} \t") for name, value in headers]),
    "values without a blank": lambda answer: _headed(list)(answer).replace(b": ", b":", 3),
    "headers in the other order": _headed(lambda headers: headers[::-1]),
    "every header but its length twice": _headed(
        lambda headers: [*headers, *(one for one in headers if one[0] != "Content-Length")]
    ),
    "no header but its length": _only("content-length"),
    "no type": _typed(None),
}
"""Forms of any response."""

JSON_FORMS: dict[str, Change] = FORMS | {
    "a byte order mark": lambda answer: _written(answer, lambda body: b"\xef\xbb\xbf" + body),
    "blanks around": lambda answer: _written(answer, lambda body: b"\r\n\t " + body + b"\n\n"),
    "one field a line": lambda answer: _written(
        answer, lambda body: json.dumps(json.loads(body), indent=4).encode()
    ),
    "fields in the other order": lambda answer: _written(
        answer, lambda body: json.dumps(dict(reversed(json.loads(body).items()))).encode()
    ),
    "every letter escaped": lambda answer: _written(answer, _escaped),
    "201": _begun("HTTP/1.1 201 Created"),
    "202": _begun("HTTP/1.1 202 Accepted"),
    "plain text": _typed("text/plain; charset=us-ascii"),
    "a type of its own": _typed("application/vnd.zuora.v1+json"),
    "said to be HTML": _typed("text/html"),
    "said to be UTF-16": _typed("application/json; charset=utf-16"),
}
"""Forms of a JSON response."""


def _escaped(body: bytes) -> bytes:
    """Escape every character of names and values, as RFC 8259 allows."""
    payload = {
        name: value for name, value in json.loads(body).items() if isinstance(value, str | bool | None)
    }
    words = {
        name: _hex(value) if isinstance(value, str) else json.dumps(value) for name, value in payload.items()
    }
    return ("{" + ",".join(f"{_hex(name)}:{word}" for name, word in words.items()) + "}").encode()


def _hex(text: str) -> str:
    return '"' + "".join(f"\\u{ord(letter):04x}" for letter in text) + '"'
