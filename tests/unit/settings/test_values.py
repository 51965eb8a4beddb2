"""Whitespace around a value in the environment or in a file does not belong to it."""

from pathlib import Path

import pytest

from orchestrator.errors import SettingError
from orchestrator.settings import Settings, resolve
from orchestrator.settings.tenants import read_tenants, settings_of
from orchestrator.settings.text import from_variable
from tests.unit.settings.resolved import resolved

SURROUNDED = [
    "{}\r",
    "{}\r\n",
    " {} ",
    "\ufeff{}",
    "\u00a0{}\u200b",
    '"{}"',
    "'{}'",
    '"{}"\r',
    '\ufeff" {} "',
]


@pytest.mark.parametrize("form", SURROUNDED)
@pytest.mark.parametrize(
    ("variable", "name", "text", "value"),
    [
        ("ZUORA_CLIENT_ID", "client_id", "11111111-2222", "11111111-2222"),
        ("ZUORA_BASE_URL", "base_url", "https://rest.zuora.com/", "https://rest.zuora.com"),
        ("MASS_STOP_OUT", "out", "runs/tonight", "runs/tonight"),
        ("MASS_STOP_ENV", "env", "us2-prod", "us2-prod"),
        ("MASS_STOP_HEADROOM", "headroom", "20", 20.0),
        ("MASS_STOP_STRICT", "strict", "true", True),
        ("MASS_STOP_ORG_IDS", "org_ids", "a, b", ("a", "b")),
        ("MASS_STOP_EXPECT_ACTION_TYPE", "expect_action_type", "MPU,ImportFXRate", ("MPU", "ImportFXRate")),
    ],
)
def test_whitespace_around_a_variable_is_removed(form, variable, name, text, value):
    assert getattr(resolved({}, {variable: form.format(text)}), name) == value


@pytest.mark.parametrize("text", ["", "\r", "\r\n", "\ufeff", '""', "''", '""\r'])
def test_an_empty_variable_counts_as_unset(text):
    assert (
        resolved({}, dict.fromkeys(("MASS_STOP_OUT", "MASS_STOP_TIMEOUT", "ZUORA_TOKEN"), text)) == Settings()
    )


@pytest.mark.parametrize("text", [" ", '" "', "\t\r"])
def test_a_variable_of_spaces_is_refused(text):
    """An expectation that silently went away would stop every action."""
    with pytest.raises(SettingError, match="MASS_STOP_EXPECT_ACTION_TYPE"):
        resolved({}, {"MASS_STOP_EXPECT_ACTION_TYPE": text})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"a b" "c d"', '"a b" "c d"'),
        ("it's", "it's"),
        ('"', '"'),
        ('"it\'s"', "it's"),
        ("'a\"", "'a\""),
        ('""a""', '""a""'),
    ],
)
def test_quotes_are_removed_only_as_one_pair_around_the_whole(text, value):
    assert from_variable(text) == value


def test_an_option_keeps_its_spaces():
    assert resolved({"out": " spaced "}).out == " spaced "


@pytest.mark.parametrize("text", ["\ufeffheadroom = 20\n", "\ufeffheadroom = 20\r\n", 'headroom = " 20\\r"'])
def test_a_configuration_file_may_begin_with_a_byte_order_mark(text):
    assert resolved(file=text).headroom == 20.0


@pytest.mark.parametrize("written", ['"runs/tonight\\r"', '" runs/tonight "', '"\\uFEFFruns/tonight"'])
def test_texts_in_a_configuration_file_are_stripped(written):
    assert resolved(file=f"out = {written}").out == "runs/tonight"


def test_texts_in_a_list_of_a_configuration_file_are_stripped():
    assert resolved(file='expect-action-type = [" MPU\\r", "ImportFXRate "]').expect_action_type == (
        "MPU",
        "ImportFXRate",
    )


def test_a_file_of_tenants_may_begin_with_a_byte_order_mark(tmp_path: Path):
    path = tmp_path / "tenants.toml"
    path.write_text(
        '\ufeff[tenants.north]\r\nbase_url = " https://NORTH.example/v1/ "\r\ntoken_env = "T "\r\n', "utf-8"
    )
    tenant = read_tenants(str(path))["north"]
    assert (tenant.address, tenant.token_env) == ("https://north.example", "T")


@pytest.mark.parametrize("form", SURROUNDED)
def test_whitespace_around_the_variables_of_a_tenant_is_removed(tmp_path: Path, monkeypatch, form):
    path = tmp_path / "tenants.toml"
    path.write_text(
        '[tenants.north]\nenv = "us-test"\nclient_id_env = "N_ID"\nclient_secret_env = "N_SECRET"\n', "utf-8"
    )
    monkeypatch.setenv("N_ID", form.format("id"))
    monkeypatch.setenv("N_SECRET", form.format("s3cret"))
    settings = settings_of("north", read_tenants(str(path))["north"], Settings())
    assert settings.client_secret is not None
    assert (settings.client_id, settings.client_secret.reveal()) == ("id", "s3cret")


@pytest.mark.parametrize("written", ["true", "[1, 2]", "{x = 1}", "2026-11-24", '"a\\u0000b"'])
def test_a_path_in_a_configuration_file_must_be_text(written):
    with pytest.raises(SettingError, match=r"out in settings\.toml"):
        resolved(file=f"out = {written}")


def test_a_program_can_pass_a_path_object(tmp_path: Path):
    assert resolve({"out": tmp_path}, {}).out == str(tmp_path)
