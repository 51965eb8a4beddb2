"""Completion offers only accepted values, and has every setting with few values."""

import pytest

from orchestrator.cli.complete import CHOICES, FOLDERS
from orchestrator.settings import SETTINGS


@pytest.mark.parametrize(("name", "word"), [(name, word) for name in CHOICES for word in CHOICES[name]])
def test_every_offered_word_is_accepted(name: str, word: str):
    assert SETTINGS[name].read(word, "a test")


def test_every_setting_with_few_values_offers_them():
    few = {
        name
        for name, setting in SETTINGS.items()
        if "|" in setting.form.metavar and setting.form.metavar.islower()
    }
    assert few <= CHOICES.keys()


@pytest.mark.parametrize("name", CHOICES)
def test_every_value_that_a_setting_names_is_offered(name: str):
    named = SETTINGS[name].form.expected.removeprefix("one of ").replace(" or ", ", ").split(", ")
    assert list(CHOICES[name]) == named


@pytest.mark.parametrize("name", sorted(FOLDERS))
def test_a_folder_is_a_setting_that_takes_a_path(name: str):
    assert SETTINGS[name].form.metavar == "PATH"
