"""The four places of a setting, and their order."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.settings import (
    SETTINGS,
    Rate,
    Settings,
    Threshold,
)
from tests.unit.settings.resolved import resolved

FOUR_VALUES: dict[str, tuple[list[Any], list[Any]]] = {
    # name: (written as option, variable, TOML value, earlier value), (what each means)
    "client_id": (["a", "b", '"c"', "d"], ["a", "b", "c", "d"]),
    "timeout": (["1s", "2s", '"3s"', 4.0], [1.0, 2.0, 3.0, 4.0]),
    "headroom": (["1", "2%", "3", 4.0], [1.0, 2.0, 3.0, 4.0]),
    "rate": (["1/s", "2/s", '"3/s"', Rate(4, 1)], [Rate(1, 1), Rate(2, 1), Rate(3, 1), Rate(4, 1)]),
    "max_failures": (
        ["1", "2", "3", Threshold(count=4)],
        [Threshold(1), Threshold(2), Threshold(3), Threshold(4)],
    ),
    "concurrency": (["1", "2", "3", 4], [1, 2, 3, 4]),
    "org_ids": (["a", "b", '["c", "cc"]', ("d",)], [("a",), ("b",), ("c", "cc"), ("d",)]),
    "expect_action_type": (
        [("A",), "B,BB", '["C"]', ("D",)],
        [("A",), ("B", "BB"), ("C",), ("D",)],
    ),
    "log_format": (["json", "console", '"JSON"', "console"], ["json", "console", "json", "console"]),
}
"""One setting of each kind."""


def layers_of(name: str, first: int) -> tuple[Any, ...]:
    """The four layers for one setting, but for those before ``first``."""
    option, variable, toml, earlier = FOUR_VALUES[name][0]
    return (
        {name: option} if first <= 0 else {},
        {SETTINGS[name].variable: variable} if first <= 1 else {},
        f"{name} = {toml}" if first <= 2 else "",
        {name: earlier} if first <= 3 else {},
    )


@pytest.mark.parametrize("first", range(4), ids=["option", "environment", "file", "earlier run"])
@pytest.mark.parametrize("name", FOUR_VALUES)
def test_the_nearest_layer_to_the_operator_takes_precedence(name, first):
    assert getattr(resolved(*layers_of(name, first)), name) == FOUR_VALUES[name][1][first]


@pytest.mark.parametrize("name", SETTINGS)
def test_without_a_value_the_default_applies(name):
    assert getattr(resolved(), name) == SETTINGS[name].default


@pytest.mark.parametrize(
    ("layers", "strict"),
    [
        (({"strict": "true"}, {"MASS_STOP_STRICT": "false"}), True),
        (({"strict": False}, {"MASS_STOP_STRICT": "true"}), False),
        (({}, {"MASS_STOP_STRICT": "0"}, "strict = true"), False),
        (({}, {"MASS_STOP_STRICT": "On"}), True),
        (({}, {}, "strict = true"), True),
        (({}, {}, "strict = false", {"strict": True}), False),
    ],
)
def test_a_flag_may_be_raised_and_lowered_by_each_layer(layers, strict):
    assert resolved(*layers).strict is strict


def test_an_option_that_was_not_given_leaves_the_value_to_the_next_layer():
    options: dict[str, object] = {"timeout": None, "expect_action_type": ()}
    environment = {"MASS_STOP_TIMEOUT": "7s", "MASS_STOP_EXPECT_ACTION_TYPE": "MPU"}
    settings = resolved(options, environment)
    assert (settings.timeout, settings.expect_action_type) == (7.0, ("MPU",))


def test_an_empty_variable_is_ignored():
    assert resolved({}, {"MASS_STOP_TIMEOUT": "", "ZUORA_TOKEN": "", "ZUORA_BASE_URL": ""}) == Settings()


def test_a_file_in_the_working_directory_is_found():
    Path("mass-stop.toml").write_text('timeout = "7s"')
    assert resolved().timeout == 7.0


def test_a_named_file_replaces_the_one_in_the_working_directory():
    Path("mass-stop.toml").write_text('timeout = "7s"\nheadroom = 20')
    assert resolved(file='timeout = "8s"') == Settings(timeout=8.0)


def test_dashes_and_underscores_both_name_a_setting_in_the_file():
    settings = resolved(file="max-attempts = 3\nno_results = true")
    assert (settings.max_attempts, settings.no_results) == (3, True)
