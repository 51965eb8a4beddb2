"""The message when a command ends early: one sentence, with the program's name once."""

import click
import pytest

from orchestrator import cli
from orchestrator.cli.output import say
from orchestrator.errors import StorageError, UsageError


@pytest.mark.parametrize(
    ("error", "sentence", "status"),
    [
        (UsageError("No keys."), "No keys.", 2),
        (ExceptionGroup("tasks", [ExceptionGroup("more", [StorageError("Disk full.")])]), "Disk full.", 5),
        (click.Abort(), "interrupted; nothing was sent.", 130),
        (KeyboardInterrupt(), "interrupted; nothing was sent.", 130),
        (click.UsageError("No such option: -x"), "No such option: -x (see mass-stop --help)", 2),
    ],
)
def test_an_error_ends_in_its_sentence_and_its_exit_status(error: BaseException, sentence: str, status: int):
    assert cli.ending(error) == (sentence, status)


@pytest.mark.parametrize("error", [ValueError("x"), ExceptionGroup("tasks", [ValueError("x")])])
def test_a_defect_is_named_once_and_without_a_prefix_of_its_own(error: Exception):
    sentence, status = cli.ending(error)
    assert sentence.startswith("a defect of mass-stop ended the run (ValueError: x).")
    assert ("mass-stop: " not in sentence.removesuffix("mass-stop resume RUN_DIR").rstrip(" :"), status) == (
        True,
        5,
    )


def test_an_error_of_this_machine_is_no_defect_and_names_its_place():
    sentence, status = cli.ending(PermissionError(13, "Permission denied", "run/remediation"))
    assert sentence.startswith("This machine refused an operation (Permission denied: run/remediation).")
    assert status == 5


def test_an_error_begins_with_the_name_of_the_program(capsys: pytest.CaptureFixture[str]):
    say("Nothing was stopped.\n")
    assert capsys.readouterr().err == "mass-stop: Nothing was stopped.\n"
