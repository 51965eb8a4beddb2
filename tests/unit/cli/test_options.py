"""What one command line says, for another command; and where a report cannot be written."""

import os
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli import options
from orchestrator.errors import UsageError

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


@pytest.mark.parametrize(
    ("report", "named"),
    [("folder", "folder is a directory"), ("keys.csv/x", "keys.csv is a file"), ("x" * 300, "too long")],
)
def test_a_place_where_no_report_can_be_written_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: str, named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("keys.csv").touch()
    with pytest.raises(UsageError, match=named):
        options.refuse_no_place(report)


def test_a_folder_that_takes_nothing_of_this_user_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(UsageError, match="may write nothing"):
        options.refuse_no_place(str(tmp_path / "report.json"))


@pytest.mark.parametrize("report", [None, "-", "report.json", "made/on/the/way.json", "pipe", "/dev/stdout"])
def test_a_report_may_go_into_a_new_folder_a_pipe_or_a_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    options.refuse_no_place(report)
