"""The written tables against the code: commands, outcomes, exit statuses, make targets; and every link."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from docs import generate
from orchestrator import errors
from orchestrator.cli import COMMANDS, group
from orchestrator.model import Outcome

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


def table(document: str, heading: str) -> Table:
    """The only table below ``heading`` in ``document``."""
    (found,) = [each for each in tables_of((ROOT / document).read_text("utf-8")) if each.heading == heading]
    return found


def name_in(cell: str) -> str:
    """The first word in code: ``stopped`` of ``[`stopped`](#stopped)``."""
    found = re.match(r"\[?`([^\s`]+)", cell)
    assert found, f"no code at the start of {cell!r}"
    return found[1]


def table_with(document: str, first_column: str) -> Table:
    """The only table of ``document`` whose first column is ``first_column``."""
    (found,) = [
        each for each in tables_of((ROOT / document).read_text("utf-8")) if each.columns[0] == first_column
    ]
    return found


def options_of(command: str) -> dict[str, click.Option]:
    found = group.get_command(click.Context(group), command)
    assert found is not None
    return {option.opts[0]: option for option in found.params if isinstance(option, click.Option)}


def test_every_command_is_in_the_table_of_commands_once():
    named = [row["command"].strip("`").split()[1] for row in table_with("README.md", "command").rows]
    assert sorted(named) == sorted(COMMANDS)


def test_every_outcome_is_in_the_reference_and_no_other():
    (found,) = tables_of(generate.outcomes())
    assert {name_in(row["outcome"]) for row in found.rows} == set(Outcome)


@pytest.mark.parametrize("text", [README, generate.exit_statuses()], ids=["README", "reference"])
def test_every_exit_status_is_in_the_document_and_no_other(text: str):
    (found,) = [each for each in tables_of(text) if each.columns[0] == "code"]
    codes = {int(code) for row in found.rows for code in re.findall(r"\d+", row["code"].partition("]")[0])}
    of_errors = {
        error.exit_status
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.MassStopError)
    }
    assert codes == {0, 4, 129, 130, 143} | of_errors


def test_every_target_of_the_makefile_is_in_the_guide_for_contributors():
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = re.findall(r"^\.PHONY: (.+)$", makefile, re.M)
    named = {row["target"].strip("`").split()[1] for row in table("CONTRIBUTING.md", "Targets").rows}
    assert named == set(phony.split()) - {"help", "run"}


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "docs/architecture.md",
        "docs/scaling.md",
    ],
)
def test_every_link_of_a_document_has_a_target(document: str):
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target
