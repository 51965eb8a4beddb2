"""The README's examples do what it says: each is run, in a folder of its own, against a simulated tenant."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from orchestrator.store import report as reports

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")

LONGEST = 40.0
"""Seconds after which an example has failed."""

HAND_MADE = ("make ", "pip ", "export ", "read ")
"""What an example's line starts with where a test can not run it: it sets up a machine, or stops something real."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def commands() -> list[str]:
    """Every line of the shell examples that can be run by itself."""
    lines = [line for block in blocks("sh") if "&\n" not in block for line in block.splitlines()]
    return [line for line in lines if line.strip() and not line.startswith(HAND_MADE)]


@pytest.fixture(scope="module")
def tenant(mass_stop_command: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """A simulated tenant's environment. Its keys are in the file ``KEYS`` names."""
    keys = tmp_path_factory.mktemp("tenant") / "keys.csv"
    process = subprocess.Popen(
        [mass_stop_command, "simulate", "--actions", "12", "--latency", "0.005", "--keys", keys],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    told = dict(process.stdout.readline().strip().split("=", 1) for _ in range(3))
    yield {**told, "KEYS": str(keys)}
    process.terminate()
    process.wait(LONGEST)
    process.stdout.close()


@pytest.fixture
def environment(tenant: Mapping[str, str], mass_stop_command: Path) -> dict[str, str]:
    """What an operator has set; nobody can be asked, so consent is among it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("ZUORA_", "MASS_STOP"))}
    path = f"{mass_stop_command.parent}{os.pathsep}{own.get('PATH', os.defpath)}"
    return {**own, **tenant, "PATH": path, "MASS_STOP_YES": "true"}


@pytest.fixture
def folder(tenant: Mapping[str, str], tmp_path: Path) -> Path:
    """A folder with the keys as the examples name them."""
    table = Path(tenant["KEYS"]).read_text()
    (tmp_path / "keys.csv").write_text(table)
    keys = [row.split(",")[0] for row in table.splitlines()[1:]]
    (tmp_path / "keys.txt").write_text("".join(f"{key}\n" for key in keys))
    (tmp_path / "all-keys.csv").write_text("bulk_key,tenant\n" + ",north\n".join(keys) + ",north\n")
    (tmp_path / "tenants.toml").write_text(
        f'[tenants.north]\nbase_url = "{tenant["ZUORA_BASE_URL"]}"\nclient_id_env = "ZUORA_CLIENT_ID"\n'
        'client_secret_env = "ZUORA_CLIENT_SECRET"\n'
    )
    return tmp_path


def shell(
    line: str, folder: Path, environment: Mapping[str, str], ends_in: int = 0
) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        ["sh", "-c", line], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=LONGEST,
    )  # fmt: skip
    assert done.returncode == ends_in, f"{line}\n{done.stdout}\n{done.stderr}"
    return done


def make_ready(line: str, folder: Path, environment: Mapping[str, str]) -> None:
    """What must have happened before ``line`` makes sense: a plan, a finished run, a run that was killed."""
    if "--plan plan-tonight" in line:
        shell("mass-stop plan keys.csv --out plan-tonight", folder, environment)
    if "report tonight" in line:
        shell("mass-stop run keys.csv --out tonight", folder, environment)
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


def test_the_readme_has_shell_examples_to_run():
    assert len(commands()) > 8


@pytest.mark.parametrize("line", commands())
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
    example = folder / "example.py"
    example.write_text(blocks("python")[number], "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", example], cwd=folder, env={**environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


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


def test_the_files_of_a_run_are_those_that_the_readme_names(folder: Path, environment: dict[str, str]):
    shell("mass-stop run keys.csv --out tonight --save-responses", folder, environment)
    section = README.partition("## The run directory")[2].partition("\n## ")[0]
    named = {name for name in re.findall(r"^\| `([^`]+)` \|", section, re.M) if name != "responses/KEY.csv"}
    there = {
        path.relative_to(folder / "tonight").as_posix()
        for path in (folder / "tonight").rglob("*")
        if path.is_file() and path.parent.name != "responses"
    }
    assert there == named


def test_the_closing_summary_has_the_lines_that_the_readme_shows(folder: Path, environment: dict[str, str]):
    done = shell("mass-stop drill --actions 30", folder, environment)
    (shown,) = [block for block in blocks("text") if "All over" in block]

    def titles(text: str) -> list[str]:
        return re.findall(r"^  ([a-z][a-z ]*?)  +\S", text, re.M)

    assert titles(done.stderr) == titles(shown)
