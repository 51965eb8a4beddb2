"""Texts from outside on a screen."""

import json
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.printable import printable, printable_json

HIDDEN = {
    "a C0 control": "\x07",
    "a sequence of the terminal": "\x1b[2J",
    "DEL": "\x7f",
    "a C1 control": "\x9b",
    "a line separator": "\u2028",
    "a right-to-left override": "\u202e",
    "an isolate": "\u2066",
    "a zero-width blank": "\u200b",
    "a zero-width joiner": "\u200d",
    "a byte order mark": "\ufeff",
    "a soft hyphen": "\xad",
    "a tag": "\U000e0041",
    "a blank letter": "\u3164",
    "a variation selector": "\U000e0100",
}


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
def test_a_hidden_character_is_escaped(hidden):
    assert printable(f"a{hidden}b") == f"a{hidden.encode('unicode_escape').decode()}b"


@pytest.mark.parametrize("text", ["MPU", "Süß & Söhne", "東京", "a\\b", "❤️", "naïve"])
def test_a_visible_text_is_shown_as_it_is(text):
    assert printable(text) == text


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
def test_a_hidden_character_is_escaped_in_json_and_keeps_its_value(hidden):
    shown = printable_json(json.dumps({"a": f"ü{hidden}"}, ensure_ascii=False).encode())
    assert shown.isascii() or shown.decode().isprintable()
    assert json.loads(shown) == {"a": f"ü{hidden}"}


@given(st.text())
def test_json_keeps_its_meaning(text):
    assert json.loads(printable_json(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace"))) == (
        text.encode("utf-8", "replace").decode()
    )


def test_json_escapes_every_character_that_controls_or_formats():
    for code in range(0x7F, sys.maxunicode + 1):
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp"):
            assert printable_json(chr(code).encode()).isascii(), hex(code)


def test_json_leaves_letters_of_every_script_as_they_are():
    text = "Süß, Ελλάδα, Россия, ישראל, العربية, भारत, 東京, 한국, 😀"
    assert printable_json(text.encode()).decode() == text
