"""Options of one command line, suggested for another command."""

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli import options

NAMES = ("tenants", "expect_action_type", "no_results", "headroom")


@click.command()
@options.settings_options(*NAMES)
def sample(**_: object) -> None:
    click.echo(f"next{options.given_again(*NAMES)}")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ([], "next"),
        (["--headroom", "20"], "next --headroom 20"),
        (["--no-results", "--tenants", "our tenants.toml"], "next --tenants 'our tenants.toml' --no-results"),
        (
            ["--expect-action-type", "MPU", "--expect-action-type", "a;b"],
            "next --expect-action-type MPU --expect-action-type 'a;b'",
        ),
        (["--config", "us.toml"], "next --config us.toml"),
    ],
)
def test_typed_options_are_repeated_with_the_quotes_of_a_shell(line: list[str], expected: str) -> None:
    assert CliRunner().invoke(sample, line).output.rstrip("\n") == expected


def test_a_value_of_the_environment_is_not_repeated_as_an_option(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MASS_STOP_HEADROOM", "30")
    monkeypatch.setenv("MASS_STOP_CONFIG", "ours.toml")
    assert CliRunner().invoke(sample, []).output.rstrip("\n") == "next"


def test_outside_a_command_no_option_is_repeated() -> None:
    assert options.given_again(*NAMES) == ""
