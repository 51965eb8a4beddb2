"""The settings of programs: they match those of the command, and errors name arguments."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import SettingError, UsageError
from orchestrator.settings import SETTINGS, Rate, Secret, Threshold, declared, programs

COMMAND_ONLY = {
    "yes", "report", "log_format", "log_level", "quiet", "no_progress", "on_end", "column", "order", "plan", "strict",
    "tenant", "tenant_column",
}  # fmt: skip
"""Settings of the screen, of files of keys and of the confirmation."""


def usable(**values: Any) -> declared.Settings:
    return programs.checked(programs.Settings(base_url="https://t.invalid", **values), several=False)


def test_a_program_has_every_setting_but_those_of_the_command():
    assert SETTINGS.keys() - COMMAND_ONLY | {"client_secret", "token"} == programs.FIELDS


@pytest.mark.parametrize("name", sorted(programs.FIELDS))
def test_a_setting_has_one_default(name: str):
    assert getattr(programs.Settings(), name) == getattr(declared.Settings(), name)


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("timeout", "45s", 45.0),
        ("timeout", 45, 45.0),
        ("deadline", "1h30m", 5400.0),
        ("settle", "500ms", 0.5),
        ("hedge", "off", 0.0),
        ("headroom", "20%", 20.0),
        ("rate", "600/min", Rate(600, 60)),
        ("max_failures", 3, Threshold(count=3)),
        ("max_failures", "5%", Threshold(share=0.05)),
        ("out", Path("some/where"), "some/where"),
        ("org_ids", ["a", "b"], ("a", "b")),
        ("expect_action_type", ["MPU"], ("MPU",)),
    ],
)
def test_a_program_can_pass_a_value_in_several_forms(name: str, given: object, value: object):
    assert getattr(usable(**{name: given}), name) == value


@pytest.mark.parametrize("name", sorted(programs.FIELDS - {"client_secret", "token", "tenants"}))
def test_a_run_accepts_the_result_of_resolve(name: str, tmp_path: Path):
    environment = {"ZUORA_BASE_URL": "https://t.invalid", "MASS_STOP_TIMEOUT": "12s", "ZUORA_TOKEN": "ready"}
    found = programs.checked(programs.resolve({}, environment), several=False)
    assert getattr(found, name) == getattr(
        declared.Settings(base_url="https://t.invalid", timeout=12.0), name
    )


def test_a_password_of_a_proxy_is_not_shown():
    settings = programs.resolve({"proxy": "http://user:secret@proxy.test:3128"}, {})
    assert isinstance(settings.proxy, Secret)
    assert programs.checked(settings, several=False).proxy == "http://proxy.test:3128"


def test_a_setting_of_the_command_is_no_option_of_a_program():
    with pytest.raises(UsageError, match="quiet is a setting of the command only"):
        programs.resolve({"quiet": True}, {})


def test_a_setting_that_cannot_be_used_is_named_as_the_argument():
    with pytest.raises(SettingError) as raised:
        programs.resolve({"max_attempts": "many"}, {})
    assert (raised.value.name, raised.value.origin) == ("max_attempts", "max_attempts")
    assert "--" not in str(raised.value)
    assert "max-attempts" not in str(raised.value)


def test_resolve_names_the_variable_that_cannot_be_used():
    with pytest.raises(SettingError, match=r"^MASS_STOP_HEADROOM: "):
        programs.resolve({}, {"MASS_STOP_HEADROOM": "all"})


@pytest.mark.parametrize(
    ("sentence", "named"),
    [
        ("Give --env NAME or --base-url URL, or more.", "Give env or base_url, or more."),
        ("--scheduler needs --shared-dir: a folder.", "scheduler needs shared_dir: a folder."),
        ("It takes --unknown-option.", "It takes --unknown-option."),
        ("Set ZUORA_CLIENT_ID and ZUORA_TOKEN.", "Set client_id and token."),
        ("The environment variable ZUORA_TOKEN is not set.", "The environment variable ZUORA_TOKEN is not set."),
        ("Give --base-url URL, or set ZUORA_BASE_URL.", "Give base_url."),
        ("No tenant (mass-stop drill needs none of them).", "No tenant."),
        ("See --retry-rejected and --tenants FILE.", "See --retry-rejected and tenants."),
    ],
)  # fmt: skip
def test_a_sentence_names_arguments_instead_of_options(sentence: str, named: str):
    assert programs.argument_names(sentence) == named
