"""Credentials that the tenant repeats are removed from its texts."""

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from itertools import cycle
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.zuora.redaction import GRAM, LEAST_PART, LEAST_SECRET, LONGEST, TOKENS, Redaction

CLIENT, SECRET = "0f6d2c9e-8a1b-4c3d-9e5f-a1b2c3d4e5f6", "q7Z/kP+4vX=Tn&cW<0y>sH:jR'3mLd\"b\\8fGuA"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtYXNzIn0.Zm9yLW5v_Ym9-keQ"
HEX_TOKEN = "5f0c3d1b7e9a42688d7c6b5a4f3e2d1c"
BASIC = f"{CLIENT}:{SECRET}".encode()

Encode = Callable[[str], str]


def each(form: str) -> Encode:
    """Every character of a text in one notation."""
    return lambda text: "".join(form.format(ord(char)) for char in text)


def every_third(encode: Encode) -> Encode:
    return lambda text: "".join(encode(char) if n % 3 == 0 else char for n, char in enumerate(text))


def split_by(separator: str, length: int = 5) -> Encode:
    return lambda text: separator.join(text[at : at + length] for at in range(0, len(text), length))


def base64(before: str = "", after: str = "") -> Encode:
    return lambda text: b64encode(f"{before}{text}{after}".encode()).decode()


def base64url(before: str = "", after: str = "") -> Encode:
    return lambda text: urlsafe_b64encode(f"{before}{text}{after}".encode()).decode().rstrip("=")


def one_after_the_other(*encodings: Encode) -> Encode:
    def encode(text: str) -> str:
        parts: Iterator[Encode] = cycle(encodings)
        return "".join(next(parts)(char) for char in text)

    return encode


def percent(text: str) -> str:
    return quote(text, safe="")


def named(text: str) -> str:
    names = {"&": "&amp;", "/": "&sol;", "+": "&plus;", "=": "&equals;", ":": "&colon;", "_": "&lowbar;"}
    return "".join(names.get(char, char) for char in text)


ENCODINGS: dict[str, Encode] = {
    "plain": str,
    "upper case": str.upper,
    "lower case": str.lower,
    "swapped case": str.swapcase,
    "base64": base64(),
    "base64url": base64url(),
    "base64 in lines": lambda text: split_by("\r\n", 20)(base64()(text)),
    "base64 in an address": lambda text: percent(base64()(text).rstrip("=")),
    "percent": percent,
    "percent, form": quote_plus,
    "percent, small letters": lambda text: re.sub("%..", lambda found: found[0].lower(), percent(text)),
    "percent, every character": each("%{:02X}"),
    "percent, some characters": every_third(each("%{:02x}")),
    "percent, twice": lambda text: percent(percent(text)),
    "percent, every character twice": each("%25{:02X}"),
    "percent, three times": each("%2525{:02X}"),
    "percent, as of old": each("%u{:04x}"),
    "HTML": html.escape,
    "HTML, named": named,
    "HTML, decimal": each("&#{};"),
    "HTML, decimal with zeros": each("&#{:07};"),
    "HTML, decimal without semicolons": each("&#{}"),
    "HTML, hexadecimal": each("&#x{:x};"),
    "HTML, hexadecimal in capitals": each("&#X{:02X};"),
    "HTML, some characters": every_third(each("&#{};")),
    "HTML, twice": lambda text: html.escape(html.escape(text)),
    "HTML, every character twice": each("&amp;#{};"),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON with escaped slashes": lambda text: json.dumps(text)[1:-1].replace("/", r"\/"),
    "JSON, twice": lambda text: json.dumps(json.dumps(text))[3:-3],
    "JSON, every character": each("\\u{:04x}"),
    "JavaScript, code points": each("\\u{{{:x}}}"),
    "JavaScript, bytes": each("\\x{:02x}"),
    "octal": each("\\{:03o}"),
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal in capitals": lambda text: text.encode().hex().upper(),
    "hexadecimal with colons": lambda text: text.encode().hex(":"),
    "full width": lambda text: "".join(chr(ord(char) + 0xFEE0) for char in text),
    "split by blanks": split_by(" "),
    "split by line ends": split_by("\r\n"),
    "split by quotes": split_by("' + '"),
    "split by commas": split_by(",", 1),
    "split by zero-width characters": split_by("\u200b", 1),
    "split by soft hyphens": split_by("\u00ad", 3),
    "split by control characters": split_by("\x00", 1),
    "split by entities": split_by("&#8203;"),
    "split by tags": split_by("</>"),
    "a mixture": one_after_the_other(each("%{:02x}"), each("&#{};"), str, each("\\u{:04x}")),
    "percent within HTML": lambda text: html.escape(each("%{:02x}")(text)),
    "HTML within percent": lambda text: percent(each("&#x{:x};")(text)),
}  # fmt: skip


@pytest.fixture
def redact() -> Redaction:
    redaction = Redaction.of_client(CLIENT, SECRET)
    redaction.add_token(HEX_TOKEN)
    redaction.add_token(TOKEN)
    return redaction


@pytest.mark.parametrize("secret", [SECRET, TOKEN, HEX_TOKEN], ids=["secret", "token", "hex token"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_secret_is_removed_in_every_encoding(redact: Redaction, secret: str, encoding: str):
    assert redact(f"It said ({ENCODINGS[encoding](secret)}).") == "It said (…)."


@pytest.mark.parametrize("secret", [SECRET, TOKEN, HEX_TOKEN], ids=["secret", "token", "hex token"])
@pytest.mark.parametrize("encode", [base64, base64url])
@pytest.mark.parametrize("before", ["Bearer ", "Authorization: Bearer ", "x", "xy", "other-client:", "Ω"])
@pytest.mark.parametrize("after", ["", "\r\n", "; path=/", "x"])
def test_base64_text_around_a_secret_is_unchanged(
    redact: Redaction, secret: str, encode: Callable[[str, str], Encode], before: str, after: str
):
    encoded = encode(before, after)(secret)
    left = redact(f"({encoded})")
    start, _, end = left.removeprefix("(").removesuffix(")").partition("…")
    assert encoded.startswith(start)
    assert encoded.endswith(end)
    # Four characters encode three bytes: one character at each end encodes a part of the secret too.
    assert len(start) <= (len(before.encode()) * 8 + 5) // 6
    assert len(end) <= (len(after.encode()) * 8 + 5) // 6 + 2


@pytest.mark.parametrize("encoding", ["plain", "percent", "HTML", "JSON", "JSON with escaped slashes"])
@pytest.mark.parametrize("secret", [SECRET, TOKEN], ids=["secret", "token"])
def test_the_rest_of_a_sentence_stays_as_it_is(redact: Redaction, secret: str, encoding: str):
    assert redact(f"Refused: {ENCODINGS[encoding](secret)} is wrong.") == "Refused: … is wrong."


def test_a_secret_is_removed_from_basic_credentials_as_a_whole(redact: Redaction):
    for encode in (b64encode, urlsafe_b64encode):
        assert redact(f"Basic {encode(BASIC).decode()} is wrong.") == "Basic … is wrong."


def parts_of(secret: str) -> st.SearchStrategy[str]:
    """Parts of ``secret`` with enough letters and digits."""
    ends = st.tuples(st.integers(0, len(secret)), st.integers(0, len(secret)))
    parts = ends.map(lambda pair: secret[min(pair) : max(pair)])
    return parts.filter(lambda part: sum(char.isalnum() for char in part) >= LEAST_PART)


@given(part=parts_of(SECRET), before=st.text(max_size=20), after=st.text(max_size=20))
@example(part=SECRET[:15], before="%", after="")
def test_a_part_of_a_secret_is_removed_wherever_it_is(part: str, before: str, after: str):
    assert part not in Redaction(SECRET)(f"{before}{part}{after}")


@given(text=st.text(max_size=200))
def test_a_text_without_a_secret_is_returned_unchanged(text: str):
    assert Redaction(SECRET, HEX_TOKEN)(text) == text or "bearer" in text.lower()


def test_every_secret_of_a_text_is_removed(redact: Redaction):
    assert redact(f"{SECRET}, {TOKEN} and {SECRET}") == "…, … and …"


def test_the_tokens_that_calls_in_flight_may_carry_are_all_removed(redact: Redaction):
    tokens = [f"{number}-token-of-this-very-hour" for number in range(TOKENS)]
    for token in tokens:
        redact.add_token(token)
    assert redact(" ".join(tokens)) == " ".join("…" * TOKENS)


def test_the_previous_token_is_removed_while_calls_use_the_new_one(redact: Redaction):
    renewed = "another-token-of-this-very-hour"
    for _ in range(TOKENS):
        redact.add_token(renewed)
    assert redact(f"{TOKEN}, {renewed}") == "…, …"


def test_a_token_is_removed_from_its_first_call_on(redact: Redaction):
    renewed = "another-token-of-this-very-hour"
    assert redact(renewed) == renewed
    redact.add_token(renewed)
    assert redact(renewed) == "…"


def test_two_short_secrets_are_removed_if_one_contains_the_other():
    secrets = ("s3cret-t0ken"[-length:] for length in range(LEAST_SECRET + 1, 13))
    assert Redaction(*secrets)("no s3cret-t0ken") == "no …"


@pytest.mark.parametrize("secret", ["s3cr", "s3cret", "s3cret-t0k"])
def test_a_short_secret_is_removed_as_a_whole(secret: str):
    assert Redaction(secret)(f"no {secret}: s3c") == "no …: s3c"


@pytest.mark.parametrize(
    "text",
    ["", "MPU", "No such mass action.", CLIENT, f"{SECRET[: GRAM - 1]} {TOKEN[-7:]}", "100 % & \\ &#0;"],
)
def test_text_without_a_secret_is_unchanged(redact: Redaction, text: str):
    assert redact(text) == text


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Refused: Authorization: Bearer s3cret.t0ken-_~+/=", "Refused: Authorization: Bearer …"),
        ('{"authorization": "bearer s3cret-t0ken"} was sent', '{"authorization": "bearer …"} was sent'),
        ("The Bearer token has expired.", "The Bearer token has expired."),
        ("The bearer's permission is missing.", "The bearer's permission is missing."),
    ],
)
def test_text_after_bearer_is_removed_although_it_is_no_known_secret(redact: Redaction, said: str, kept: str):
    assert redact(said) == kept


def test_a_text_of_any_length_is_cut_before_it_is_searched(redact: Redaction):
    assert redact("%41" * 10**6) == f"{('%41' * LONGEST)[:LONGEST]}…"


@pytest.mark.parametrize("piece", ["%25", "&amp;", "\\", "&#x26;", SECRET, "\u0041", "é"])
def test_the_time_for_a_text_is_linear_in_its_length(redact: Redaction, piece: str, monkeypatch):
    """Counted in characters that are looked at, not in seconds."""
    looked_at = 0
    compare = redact._is_in

    def counting(line: bytes, grams: frozenset[bytes]) -> bool:
        nonlocal looked_at
        looked_at += len(line)
        return compare(line, grams)

    monkeypatch.setattr(redact, "_is_in", counting)
    redact(piece * (LONGEST // len(piece)))
    assert looked_at <= 4 * 2 * LONGEST


def test_a_text_that_responses_repeat_is_searched_once_whatever_else_they_say(monkeypatch):
    redact = Redaction(SECRET)
    searched: list[bytes] = []
    compare = redact._is_in

    def recording(line: bytes, grams: frozenset[bytes]) -> bool:
        searched.append(line)
        return compare(line, grams)

    monkeypatch.setattr(redact, "_is_in", recording)
    for number in range(5_000):
        redact(f"request {number}")
        redact("integration@example.com")
    assert searched.count(b"integrationexamplecom") == 1
