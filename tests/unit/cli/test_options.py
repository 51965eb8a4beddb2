"""What one command line says, for another command."""

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli import options

NAMES = ("tenants", "expect_action_type", "no_results", "headroom")


@click.command()
@options.settings_options(*NAMES)
def told(**_: object) -> None:
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
def test_what_was_typed_is_told_again_as_a_shell_takes_it(line: list[str], expected: str) -> None:
    assert CliRunner().invoke(told, line).output.rstrip("\n") == expected


def test_what_the_environment_says_holds_anyway_and_is_not_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MASS_STOP_HEADROOM", "30")
    monkeypatch.setenv("MASS_STOP_CONFIG", "ours.toml")
    assert CliRunner().invoke(told, []).output.rstrip("\n") == "next"


def test_outside_a_command_nothing_was_typed() -> None:
    assert options.given_again(*NAMES) == ""
