"""``--help`` and refused command lines: the texts for a person who does not know the command yet."""

import re

import click
import pytest
from click.testing import CliRunner

from orchestrator.cli import COMMANDS, ending, group
from orchestrator.cli.help import EXAMPLES
from orchestrator.cli.options import COMMON, SECTIONS
from orchestrator.errors import UsageError
from orchestrator.settings import ENVIRONMENTS, SETTINGS

EVERY_COMMAND = pytest.mark.parametrize("name", COMMANDS)


def help_of(*words: str) -> str:
    return CliRunner().invoke(group, [*words, "--help"]).output


def refusal(*words: str) -> str:
    """The sentence about a command line that is refused."""
    with pytest.raises((click.ClickException, UsageError)) as raised:
        group.main([*words], prog_name="mass-stop", standalone_mode=False)
    sentence, status = ending(raised.value)
    assert status == 2
    return sentence


@EVERY_COMMAND
def test_the_help_of_a_command_ends_with_its_examples(name: str):
    text = help_of(name)
    assert "[1<=" not in text
    last = text.rpartition("\n\nExamples:\n")[2]
    assert [line for line, _ in EXAMPLES[name] if line not in last] == []


def test_the_help_of_the_program_ends_with_examples_and_names_the_variables_for_secrets():
    text = CliRunner().invoke(group, ["--help"]).output
    assert text.rpartition("\n\nExamples:\n")[2].count("  mass-stop ") == len(EXAMPLES["mass-stop"])
    assert {"ZUORA_CLIENT_SECRET", "ZUORA_TOKEN"} <= set(text.split())


@EVERY_COMMAND
def test_the_help_of_every_command_names_the_variables_for_secrets(name: str):
    assert {"ZUORA_CLIENT_SECRET", "ZUORA_TOKEN"} <= set(re.findall(r"\w+", help_of(name)))


@EVERY_COMMAND
def test_the_help_of_a_command_is_ascii(name: str):
    assert help_of(name).isascii()


@pytest.mark.parametrize("name", ["run", "plan", "resume", "check", "verify"])
def test_the_help_names_the_variables_for_secrets_and_the_data_centres(name: str):
    text = help_of(name)
    for word in ("ZUORA_CLIENT_ID", "ZUORA_CLIENT_SECRET", "ZUORA_TOKEN", *ENVIRONMENTS):
        assert word in text


def test_the_help_of_run_begins_with_the_common_options():
    titles = re.findall(r"^(\w[\w ]*):$", help_of("run"), re.M)
    assert titles == [
        "Common options",
        *SECTIONS,
        "General",
        "Values",
        "Environment",
        "Exit status",
        "Examples",
    ]


def test_every_setting_has_its_place_in_the_help():
    placed = [name for names in SECTIONS.values() for name in names]
    assert sorted({*placed, *COMMON}) == sorted(SETTINGS)
    assert len(placed) == len(set(placed))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("run", "--headrom", "3"), "There is no option --headrom. Did you mean --headroom?"),
        (("run", "--rat", "5"), "There is no option --rat. Did you mean --rate?"),
        (("drill", "--frobnicate"), "There is no option --frobnicate."),
        (("rnu",), "There is no command rnu. Did you mean run?"),
        (("a" * 32,), f"There is no command {'a' * 32}. Did you mean mass-stop run {'a' * 32}?"),
        (("frobnicate",), "There is no command frobnicate."),
        (("drill", "--actions", "x"), "give a whole number from 1 to 200,000."),
        (("simulate", "--latency", "soon"), "give a duration up to 60s, for example 80ms or 0.08."),
        (("run", "--out"), "Option '--out' requires an argument."),
    ],
)
def test_a_wrong_command_line_suggests_the_likely_right_one(words: tuple[str, ...], sentence: str):
    command = f" {words[0]}" if words[0] in COMMANDS else ""
    assert refusal(*words).endswith(f"{sentence} (see mass-stop{command} --help)")


@pytest.mark.parametrize(
    ("words", "likely"), [(("--env", "us2-prd"), "us2-prod"), (("--log-format", "jsn"), "json")]
)
def test_a_wrong_value_suggests_the_likely_right_one(words: tuple[str, ...], likely: str):
    assert refusal("run", "keys.csv", *words).endswith(f". Did you mean {likely}?")
