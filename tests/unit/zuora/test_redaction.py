"""What the tenant repeats of our credentials is taken out of its texts."""

import html
import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.zuora.redaction import GRAM, LEAST, TOKENS, Redaction

CLIENT, SECRET = "0f6d2c9e-8a1b-4c3d-9e5f-a1b2c3d4e5f6", "q7Z/kP+4vX=Tn&cW<0y>sH:jR'3mLd\"b\\8fGuA"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtYXNzIn0.Zm9yLW5vYm9keQ-_"
BASIC = f"{CLIENT}:{SECRET}".encode()


def lower(found: re.Match[str]) -> str:
    return found[0].lower()


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "of an address": lambda text: quote(text, safe=""),
    "of an address in small letters": lambda text: re.sub("%..", lower, quote(text, safe="")),
    "in JSON": lambda text: json.dumps(text)[1:-1],
    "in JSON of other libraries": lambda text: json.dumps(text)[1:-1].replace("/", r"\/"),
    "in HTML": html.escape,
}


@pytest.fixture
def redact() -> Redaction:
    told = Redaction.of_client(CLIENT, SECRET)
    told.add_token(TOKEN)
    return told


@pytest.mark.parametrize("secret", [SECRET, TOKEN], ids=["secret", "token"])
@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_taken_out_in_any_form_that_a_request_gives_it(redact: Redaction, secret: str, form: str):
    assert redact(f"Refused: {FORMS[form](secret)} is wrong.") == "Refused: … is wrong."


@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
def test_a_secret_is_taken_out_of_basic_credentials(redact: Redaction, encode: Callable[[bytes], bytes]):
    assert redact(f"Basic {encode(BASIC).decode()} is wrong.") == "Basic … is wrong."


@given(
    start=st.integers(0, len(SECRET) - 15), length=st.integers(15, len(SECRET)), before=st.text(max_size=20)
)
def test_a_part_of_a_secret_is_taken_out_wherever_it_stands(start: int, length: int, before: str):
    part = SECRET[start : start + length]
    assert part not in Redaction.of_client(CLIENT, SECRET)(f"{before}{part}.")


def test_every_secret_of_a_text_is_taken_out(redact: Redaction):
    assert redact(f"{SECRET}, {TOKEN} and {SECRET}") == "…, … and …"


def test_the_tokens_that_calls_under_way_may_bear_are_all_taken_out(redact: Redaction):
    tokens = [f"{number}-token-of-this-very-hour" for number in range(TOKENS)]
    for token in tokens:
        redact.add_token(token)
    assert redact(" ".join(tokens)) == " ".join("…" * TOKENS)


def test_however_many_calls_bear_the_new_token_the_one_before_is_taken_out(redact: Redaction):
    renewed = "another-token-of-this-very-hour"
    for _ in range(TOKENS):
        redact.add_token(renewed)
    assert redact(f"{TOKEN}, {renewed}") == "…, …"


def test_a_token_is_taken_out_from_its_first_call_on_although_texts_came_before_it(redact: Redaction):
    renewed = "another-token-of-this-very-hour"
    assert redact(renewed) == renewed
    redact.add_token(renewed)
    assert redact(renewed) == "…"


def test_of_two_short_secrets_of_which_one_holds_the_other_no_part_is_left():
    assert Redaction(*("s3cret-t0ken"[-length:] for length in range(LEAST, 13)))("no s3cret-t0ken") == "no …"


@pytest.mark.parametrize("secret", ["s3cr", "s3cret", "s3cret-t0ken-47"])
def test_a_short_secret_is_taken_out_as_a_whole(secret: str):
    assert Redaction(secret)(f"no {secret}: s3c") == "no …: s3c"


@pytest.mark.parametrize(
    "text", ["", "MPU", "No such mass action.", CLIENT, f"{SECRET[: GRAM - 1]} {TOKEN[-7:]}"]
)
def test_what_holds_no_secret_stays_as_it_is(redact: Redaction, text: str):
    assert redact(text) == text


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("Refused: Authorization: Bearer s3cret.t0ken-_~+/=", "Refused: Authorization: Bearer …"),
        ('{"authorization": "bearer s3cret-t0ken"} was sent', '{"authorization": "bearer …"} was sent'),
        ("The Bearer token has expired.", "The Bearer token has expired."),
        ("The bearer's permission is missing.", "The bearer's permission is missing."),
    ],
)
def test_what_stands_behind_bearer_is_taken_out_although_it_is_none_of_ours(
    redact: Redaction, told: str, kept: str
):
    assert redact(told) == kept
