"""Wrong values are refused with their name, their origin and what would be right."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import SettingError, UsageError
from orchestrator.settings import (
    SETTINGS,
    resolve,
)
from tests.unit.settings.resolved import resolved

WRONG = {
    "env": "nowhere",
    "base_url": "ftp://x",
    "client_id": "  ",
    "client_secret_file": "  ",
    "token_file": "  ",
    "entity_id": "a:b",
    "org_ids": "a b",
    "tenants": "  ",
    "tenant": "  ",
    "tenant_column": " ",
    "engine": "steam",
    "scheduler": " ",
    "insecure_scheduler": "perhaps",
    "shared_dir": " ",
    "zuora_version": "a;b",
    "track_prefix": "x" * 25,
    "proxy": "socks5://127.0.0.1:1080",
    "ca_file": " ",
    "column": " ",
    "order": " ",
    "plan": " ",
    "any_key": "maybe",
    "strict": "maybe",
    "expect_action_type": " ",
    "expect_uploaded_by": " ",
    "concurrency": "many",
    "headroom": "all",
    "rate": "fast",
    "max_attempts": "0",
    "timeout": "soon",
    "hedge": "sometimes",
    "wait_for_tenant": "until",
    "deadline": "later",
    "settle": "never",
    "max_failures": "some",
    "max_failures_total": "some",
    "no_results": "perhaps",
    "save_responses": "perhaps",
    "out": " ",
    "report": " ",
    "on_end": " ",
    "metrics": " ",
    "reason": " ",
    "ticket": " ",
    "require_reason": "perhaps",
    "require_ticket": "perhaps",
    "yes": "certainly",
    "log_format": "xml",
    "log_level": "loud",
    "quiet": "rather",
    "no_progress": "none",
}
"""A wrong value of every setting."""


def test_these_tests_have_a_wrong_value_for_every_setting():
    assert set(WRONG) == set(SETTINGS)


def refusals(name: str) -> list[tuple[dict[str, Any], str]]:
    return [
        ({"options": {name: WRONG[name]}}, SETTINGS[name].option),
        ({"environment": {SETTINGS[name].variable: WRONG[name]}}, SETTINGS[name].variable),
        ({"file": f'{name} = "{WRONG[name]}"'}, f"{name} in settings.toml"),
    ]


@pytest.mark.parametrize("layer", range(3), ids=["option", "environment", "file"])
@pytest.mark.parametrize("name", WRONG)
def test_a_refused_value_is_named_with_its_origin_and_a_right_one(name, layer):
    arguments, origin = refusals(name)[layer]
    with pytest.raises(SettingError) as caught:
        resolved(**arguments)
    error, sentence = caught.value, str(caught.value)
    assert (error.name, error.origin) == (name.replace("_", "-"), origin)
    assert (
        sentence == f"{origin}: {error.value!r} cannot be used for {error.name}; expected {error.expected}."
    )
    assert error.expected == SETTINGS[name].form.expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tiemout = 3", "settings.toml sets tiemout, which is no setting; did you mean timeout?"),
        ("save-response = true", "did you mean save_responses?"),
        ("zzz = 3", "which is no setting; mass-stop run --help lists the settings."),
        ("[run]\ntimeout = 3", "sets run, which is no setting"),
    ],
)
def test_an_unknown_name_in_the_file_is_refused_with_the_nearest(text, sentence):
    with pytest.raises(UsageError) as caught:
        resolved(file=text)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("value", ["{x = 1}", "[1, 2]", "2026-11-24", "1.5", "true"])
def test_a_value_of_another_type_in_the_file_is_refused(value):
    with pytest.raises(SettingError, match=r"concurrency in settings\.toml"):
        resolved(file=f"concurrency = {value}")


def test_invalid_toml_is_refused_with_its_line():
    with pytest.raises(UsageError, match=r"settings\.toml cannot be read: .*line 2"):
        resolved(file="timeout = 3\nstrict = maybe\n")


def test_a_file_in_another_encoding_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_bytes("headroom = 20\n".encode("utf-16"))
    with pytest.raises(UsageError, match="it is not text in UTF-8; save it in UTF-8"):
        resolve({}, {}, str(path))


def test_a_binary_file_is_refused():
    Path("binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"binary\.toml cannot be read"):
        resolve({}, {}, "binary.toml")


def test_a_file_without_end_is_refused():
    with pytest.raises(UsageError, match="/dev/zero cannot be read: it has more than 16 MB"):
        resolve({}, {}, "/dev/zero")


def test_a_named_file_that_is_missing_is_refused():
    with pytest.raises(UsageError, match=r"nowhere\.toml cannot be read: No such file or directory"):
        resolve({}, {}, "nowhere.toml")
