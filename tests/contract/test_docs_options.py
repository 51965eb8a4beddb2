"""The README's tables against the code: options, environment names, defaults, outcomes, exit statuses, targets."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from orchestrator import errors
from orchestrator.cli import COMMANDS, group
from orchestrator.model import Outcome
from orchestrator.settings import ENVIRONMENTS, SETTINGS, Setting

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")


@dataclass(frozen=True)
class Table:
    """One Markdown table: the heading above it, and its rows as dictionaries by column."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]


def cells(line: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]


def tables_of(text: str) -> Iterator[Table]:
    heading = ""
    lines = text.splitlines()
    for place, line in enumerate(lines):
        if line.startswith("#"):
            heading = line.lstrip("# ").strip()
        if re.fullmatch(r"\|[\s|:-]+\|", line):
            columns = cells(lines[place - 1])
            rows = []
            for row in lines[place + 1 :]:
                if not row.startswith("|"):
                    break
                rows.append(dict(zip(columns, cells(row), strict=True)))
            yield Table(heading, tuple(columns), tuple(rows))


TABLES = list(tables_of(README))


def table(heading: str) -> Table:
    (found,) = [one for one in TABLES if one.heading == heading]
    return found


def name_in(cell: str) -> str:
    """The first word in code: ``--rate`` of ```--rate N/min```."""
    found = re.match(r"`([^\s`]+)", cell)
    assert found, f"no code at the start of {cell!r}"
    return found[1]


GENERAL = {name_in(row["option"]): row for row in table("Options").rows}
OWN = {
    command: {name_in(row["option"]): row for row in one.rows}
    for one in TABLES
    for command in COMMANDS
    if one.heading == f"`mass-stop {command}`"
}


def options_of(command: str) -> dict[str, click.Option]:
    found = group.get_command(click.Context(group), command)
    assert found is not None
    return {one.opts[0]: one for one in found.params if isinstance(one, click.Option)}


OPTIONS = [(command, option) for command in COMMANDS for option in options_of(command)]
EVERY_SETTING = pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.name)


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_an_option_of_a_command_is_in_the_readme(command: str, option: str):
    assert option in OWN.get(command, {}) or option in GENERAL


@pytest.mark.parametrize("option", GENERAL)
def test_an_option_in_the_options_table_exists(option: str):
    assert option in {name for _, name in OPTIONS}


@pytest.mark.parametrize(
    ("command", "option"), [(command, option) for command in OWN for option in OWN[command]]
)
def test_an_option_in_a_commands_own_table_exists(command: str, option: str):
    assert option in options_of(command)


@pytest.mark.parametrize("command", ["report", "drill", "simulate"])
def test_an_option_that_is_no_setting_is_in_the_commands_own_table(command: str):
    of_settings = {setting.option for setting in SETTINGS.values()} | {"--config"}
    assert set(options_of(command)) - of_settings <= set(OWN[command])


@EVERY_SETTING
def test_the_readme_gives_a_settings_environment_name(setting: Setting):
    assert GENERAL[setting.option]["environment"] == f"`{setting.variable}`"


@EVERY_SETTING
def test_the_readme_gives_a_settings_default(setting: Setting):
    told = GENERAL[setting.option]["default"]
    if setting.default in (None, (), False):
        assert not told.startswith("`") or setting.name == "out"
    else:
        assert told == f"`{setting.form.show(setting.default)}`"


@EVERY_SETTING
def test_the_readme_says_what_a_setting_takes(setting: Setting):
    shown = GENERAL[setting.option]["option"]
    assert shown == (
        f"`{setting.option}`" if setting.about.flag else f"`{setting.option} {setting.form.metavar}`"
    )


@pytest.mark.parametrize(
    ("command", "option"),
    [(command, option) for command in ("drill", "simulate") for option in OWN[command]],
)
def test_the_readme_gives_the_default_of_a_commands_own_option(command: str, option: str):
    default = options_of(command)[option].get_default(click.Context(group))
    told = OWN[command][option]["default"]
    if default and isinstance(default, (str, int, float)):
        assert told == f"`{default}`"
    else:
        assert not told.startswith("`")


def test_every_command_is_in_the_table_of_commands_once():
    named = [row["command"].strip("`").split()[1] for row in table("Commands").rows]
    assert sorted(named) == sorted(COMMANDS)


def test_every_outcome_is_in_the_readme_and_no_other():
    assert {name_in(row["outcome"]) for row in table("Outcomes").rows} == set(Outcome)


def test_every_exit_status_is_in_the_readme_and_no_other():
    told = {int(code) for row in table("Exit status").rows for code in row["code"].split(",")}
    of_errors = {
        one.exit_status
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.MassStopError)
    }
    assert told == {0, 4, 130, 143} | of_errors


def test_every_data_centre_is_in_the_readme_with_its_address():
    told = dict(re.findall(r"`([a-z0-9]+-[a-z]+)` \| `(https://[^`]+)`", README))
    assert told == ENVIRONMENTS


def test_every_target_of_the_makefile_is_in_the_readme():
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.M)
    told = {row["target"].strip("`").split()[1] for row in table("Development").rows}
    assert told == set(phony.split()) - {"help", "run"}


@pytest.mark.parametrize("document", ["README.md", "docs/architecture.md", "docs/scaling.md", "CHANGELOG.md"])
def test_a_link_of_a_document_leads_somewhere(document: str):
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


def test_a_link_within_the_readme_leads_to_a_heading():
    anchors = {one.lower().replace(" ", "-") for one in re.findall(r"^#+ ([\w ]+)$", README, re.M)}
    assert set(re.findall(r"\]\(#([^)]+)\)", README)) <= anchors
