"""The README's examples do what it says: each is run, in a folder of its own, against a simulated tenant."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from orchestrator import report as reports
from tests.contract.conftest import furnish
from tests.contract.examples import LONGEST, ROOT, python, shell

README = (ROOT / "README.md").read_text("utf-8")

HAND_MADE = ("make ", "pip ", "export ", "read ")
"""What an example's line starts with where a test can not run it: it sets up a machine, or stops something real."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def commands() -> list[str]:
    """Every line of the shell examples that can be run by itself."""
    lines = [line for block in blocks("sh") if "&\n" not in block for line in block.splitlines()]
    return [line for line in lines if line.strip() and not line.startswith(HAND_MADE)]


(EVENING,) = (block.splitlines() for block in blocks("sh") if "mass-stop plan keys.csv" in block)
"""A careful evening: one command after the other."""


def make_ready(line: str, folder: Path, environment: Mapping[str, str]) -> None:
    """What must have happened before ``line`` makes sense: a run that was killed."""
    if "resume runs/RUN_ID" in line:
        process = subprocess.Popen(
            ["mass-stop", "run", "keys.csv", "--out", "runs/RUN_ID", "--concurrency", "1"],
            executable=str(Path(environment["PATH"].split(os.pathsep)[0]) / "mass-stop"),
            cwd=folder, env=dict(environment), stderr=subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr is not None
        process.stderr.readline()  # the run has started, and no action stops within milliseconds
        process.kill()
        process.wait(LONGEST)
        process.stderr.close()


@pytest.fixture(scope="module")
def evening(
    tenant: Mapping[str, str], operator: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder in which the careful evening was done once: with its plan, and the run of it."""
    folder = furnish(tmp_path_factory.mktemp("evening"), tenant)
    for line in EVENING:
        shell(line, folder, operator)
    return folder


def test_the_readme_has_shell_examples_to_run():
    assert len(commands()) > 8


@pytest.mark.parametrize("line", [line for line in commands() if " tonight" in line and line not in EVENING])
def test_an_example_after_the_evening_ends_in_exit_status_0(
    line: str, evening: Path, environment: dict[str, str]
):
    shell(line, evening, environment)


@pytest.mark.parametrize(
    "line", [line for line in commands() if " tonight" not in line and line not in EVENING]
)
def test_a_shell_example_ends_in_exit_status_0(line: str, folder: Path, environment: dict[str, str]):
    make_ready(line, folder, environment)
    shell(line, folder, environment)


def test_the_rehearsal_with_a_served_tenant_ends_in_exit_status_0(folder: Path, environment: dict[str, str]):
    (block,) = [block for block in blocks("sh") if "&\n" in block]
    any_port = block.replace("--port 8480", "--port 0").replace("--actions 500", "--actions 20")
    assert any_port != block
    without_consent = {name: value for name, value in environment.items() if not name.startswith("ZUORA_")}
    shell(f"set -e\ntrap 'kill $! 2>/dev/null || true' EXIT\n{any_port}", folder, without_consent)


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_a_python_example_runs(number: int, folder: Path, environment: dict[str, str]):
    python(blocks("python")[number], folder, environment)


def test_the_example_of_a_report_uses_the_reports_own_names():
    (block,) = blocks("json")
    properties = reports.json_schema()["$defs"]

    def unknown(value: object, kind: str) -> Iterator[str]:
        assert isinstance(value, dict)
        yield from (f"{kind}.{name}" for name in value if name not in properties[kind]["properties"])

    report = json.loads(block)
    (action,) = report["actions"]
    pairs = (
        (report, "Report"), (report["run"], "RunEntry"), (report["summary"], "Summary"), (action, "ActionEntry"),
        (report["summary"]["records"], "RecordTotals"), (action["stop"], "StopEntry"), (action["records"], "Records"),
    )  # fmt: skip
    assert [name for value, kind in pairs for name in unknown(value, kind)] == []


def test_the_files_of_a_run_are_those_that_the_readme_names(evening: Path):
    section = README.partition("## The run directory")[2].partition("\n## ")[0]
    named = {name for name in re.findall(r"^\| `([^`]+)` \|", section, re.M) if name != "responses/KEY.csv"}
    there = {
        path.relative_to(evening / "tonight").as_posix()
        for path in (evening / "tonight").rglob("*")
        if path.is_file() and path.parent.name != "responses"
    }
    assert there == named


def test_the_closing_summary_has_the_lines_that_the_readme_shows(folder: Path, environment: dict[str, str]):
    done = shell("mass-stop drill --actions 30", folder, environment)
    (shown,) = [block for block in blocks("text") if "All over" in block]

    def titles(text: str) -> list[str]:
        return re.findall(r"^  ([a-z][a-z ]*?)  +\S", text, re.M)

    assert titles(done.stderr) == titles(shown)
