"""The README is short, and its examples do what it says: each runs against a simulated tenant."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.contract.conftest import furnish
from tests.contract.examples import ROOT, shell

README = (ROOT / "README.md").read_text("utf-8")

LONGEST_README = 200
"""Lines."""

HAND_MADE = ("make ", "pip ", "export ", "read ")
"""The beginnings of lines that a test cannot run: they set up a machine, or stop real actions."""


def commands() -> list[str]:
    """Each line of the shell examples that can run by itself."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", README, re.M | re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.strip() and not line.startswith(HAND_MADE)]


@pytest.fixture(scope="module")
def evening(
    tenant: Mapping[str, str], operator: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder in which the commands of the README ran in their order."""
    folder = furnish(tmp_path_factory.mktemp("evening"), tenant)
    for line in commands():
        shell(line, folder, operator)
    return folder


def test_the_readme_is_short():
    assert len(README.splitlines()) <= LONGEST_README


def test_the_readme_has_shell_examples_to_run():
    assert [line.split()[1] for line in commands()] == ["check", "plan", "run"]


def test_the_commands_of_the_readme_work_in_their_order(evening: Path):
    assert (evening / "tonight" / "report.html").is_file()


def test_the_files_of_a_run_are_those_that_the_reference_names(evening: Path):
    page = (ROOT / "docs" / "reference" / "run-directory.md").read_text("utf-8")
    named = set(re.findall(r"^\| `([^`]+)` \|", page, re.M))
    there = {
        re.sub(r"/[A-Za-z]+-\d{3}\.csv$", "/TYPE-NNN.csv", path.relative_to(evening / "tonight").as_posix())
        for path in (evening / "tonight").rglob("*")
        if path.is_file() and path.parent.name != "responses"
    }
    depends_on_the_input = {name for name in named if name.count("/") > 1} | {
        "needs-person.csv",
        "responses/KEY.csv",
    }
    assert there - named == set()
    assert named - there <= depends_on_the_input
