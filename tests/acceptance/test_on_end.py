"""``--on-end``: a command of the operator runs once the report is written, in every state of a run."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cli import on_end
from tests.acceptance.support import PROCESSING, MassStop, Tenant

SCRIPT = """#!/bin/sh
cat > "$MASS_STOP_RUN_DIR/../input.md"
env > "$MASS_STOP_RUN_DIR/../environment"
"""


@pytest.fixture
def tenant(tenants: list[Tenant]) -> Iterator[Tenant]:
    with Tenant(seed=17, actions=3, **PROCESSING) as tenant:
        tenants.append(tenant)
        yield tenant


@pytest.fixture
def script(mass_stop: MassStop) -> Path:
    return executable(mass_stop.home / "a script.sh", SCRIPT)


def executable(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def environment_of(mass_stop: MassStop) -> dict[str, str]:
    lines = (mass_stop.home / "environment").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_the_command_receives_the_markdown_report_and_how_the_run_ended(
    mass_stop: MassStop, tenant: Tenant, script: Path
) -> None:
    ended = mass_stop.run(tenant, *tenant.keys, "--no-results", "--on-end", f"'{script}'")
    assert ended.status == 0, ended
    markdown = mass_stop("report", "run", "--format", "markdown", "--report", "-").out.decode()
    assert (mass_stop.home / "input.md").read_text().splitlines()[:2] == markdown.splitlines()[:2]
    environment = environment_of(mass_stop)
    names = ("MASS_STOP_RUN_DIR", "MASS_STOP_EXIT_STATUS", "MASS_STOP_STATE")
    assert [environment[name] for name in names] == [str(ended.directory), "0", "finished"]


def test_the_command_receives_no_secret(mass_stop: MassStop, tenant: Tenant, script: Path) -> None:
    env = {
        "NIGHTLY_PROXY": "http://ada:pw@proxy.example:3128",
        "OTHER": tenant.environment["ZUORA_CLIENT_SECRET"],
    }
    mass_stop.run(tenant, *tenant.keys, "--no-results", env={**env, "MASS_STOP_ON_END": f"sh '{script}'"})
    environment = environment_of(mass_stop)
    assert environment["ZUORA_CLIENT_ID"] == tenant.environment["ZUORA_CLIENT_ID"]
    assert not {"ZUORA_CLIENT_SECRET", "NIGHTLY_PROXY", "OTHER", "MASS_STOP_ON_END"} & environment.keys()


def test_the_command_runs_after_a_run_that_was_cut_and_after_its_resume(
    mass_stop: MassStop, tenant: Tenant, script: Path
) -> None:
    ended = mass_stop.run(tenant, *tenant.keys, "--deadline", "1ms", "--on-end", f"'{script}'")
    assert (ended.status, environment_of(mass_stop)["MASS_STOP_STATE"]) == (4, "aborted")
    assert mass_stop("resume", "run", "--no-results", "--on-end", f"'{script}'", tenant=tenant).status == 0
    assert environment_of(mass_stop)["MASS_STOP_STATE"] == "finished"


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("sh -c 'echo no such channel; exit 7'", "ended in exit status 7. Its output: no such channel"),
        ("./missing", "could not be started: No such file or directory."),
        ("sh -c 'yes | head -c 30000000; exit 1'", "(2,000 characters)"),
    ],
)
def test_a_command_that_fails_is_reported_and_changes_no_status(
    mass_stop: MassStop, tenant: Tenant, command: str, sentence: str
) -> None:
    ended = mass_stop.run(tenant, *tenant.keys, "--no-results", "--on-end", command)
    assert ended.status == 0, ended
    assert "The command of --on-end " in ended.err
    assert sentence.replace("(2,000 characters)", "y\\ny") in ended.err
    assert len(ended.err) < 20_000


def test_a_command_that_hangs_is_ended(mass_stop: MassStop, tenant: Tenant) -> None:
    code = "from orchestrator.cli import on_end; on_end.LONGEST = 2"
    ended = mass_stop.run(
        tenant, *tenant.keys, "--no-results", "--on-end", "sh -c 'echo waiting; sleep 600 & sleep 600'",
        shell=mass_stop.after(code),
    )  # fmt: skip
    assert ended.status == 0, ended
    assert "The command of --on-end was ended after 2s. Its output: waiting" in ended.err


def test_a_command_that_cannot_be_split_is_refused_before_anything_is_sent(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    ended = mass_stop.run(tenant, *tenant.keys, "--on-end", "sh -c 'unclosed")
    assert (ended.status, tenant.nothing_sent()) == (2, True)
    assert "--on-end: the command cannot be split into words" in ended.err


def test_no_file_of_the_run_directory_contains_the_command(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(
        tenant, *tenant.keys, "--no-results", "--on-end", "true https://hooks.example/secret"
    )
    assert ended.report["run"]["operator"]["command_line"][-2:] == ["--on-end", "…"]
    files = [path for path in ended.directory.rglob("*") if path.is_file()]
    assert [path for path in files if b"hooks.example" in path.read_bytes()] == []


def test_a_drill_and_a_plan_run_no_command(mass_stop: MassStop, tenant: Tenant, script: Path) -> None:
    mass_stop("plan", *tenant.keys, "--out", "run", "--on-end", f"'{script}'", tenant=tenant)
    assert not (mass_stop.home / "input.md").exists()


def test_an_address_with_a_password_is_secret_in_every_variable() -> None:
    environment = {"A": "http://u:p@host", "B": "http://host", "C": "x"}
    assert on_end.without_secrets(environment, ["C"]) == {"B": "http://host"}


def test_the_report_says_who_ran_it_and_why(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(
        tenant, *tenant.keys, "--no-results", "--reason", "paid twice", "--ticket", "INC-1", "--proxy",
        "http://ada:secret-pw@127.0.0.1:9",
    )  # fmt: skip
    operator = ended.report["run"]["operator"]
    assert (operator["confirmed"], operator["reason"], operator["ticket"]) == (
        "option",
        "paid twice",
        "INC-1",
    )
    assert operator["client_id"] == tenant.environment["ZUORA_CLIENT_ID"]
    assert operator["command_line"][:3] == ["mass-stop", "run", "--yes"]
    assert operator["command_line"][-1] == "http://127.0.0.1:9"
    assert all(operator[name] for name in ("user", "host"))
    page = (ended.directory / "report.html").read_text()
    markdown = mass_stop("report", "run", "--format", "markdown", "--report", "-").out.decode()
    for text in (page, markdown):
        assert "paid twice" in text
        assert "INC-1" in text
    files = [path for path in ended.directory.rglob("*") if path.is_file()]
    assert [path for path in files if b"secret-pw" in path.read_bytes()] == []


def test_the_operator_of_a_resume_is_named_beside_the_first(mass_stop: MassStop, tenant: Tenant) -> None:
    mass_stop.run(tenant, *tenant.keys, "--deadline", "1ms", "--ticket", "INC-1")
    mass_stop("resume", "run", "--no-results", "--ticket", "INC-2", tenant=tenant)
    report = json.loads((mass_stop.home / "run" / "report.json").read_text())
    assert report["run"]["operator"]["ticket"] == "INC-1"
    assert [one["ticket"] for one in report["run"]["resumed_by"]] == ["INC-2"]


@pytest.mark.parametrize("name", ["reason", "ticket"])
def test_a_run_without_what_is_required_is_refused(mass_stop: MassStop, tenant: Tenant, name: str) -> None:
    (mass_stop.home / "mass-stop.toml").write_text(f"require-{name} = true\n")
    refused = mass_stop.run(tenant, *tenant.keys, "--no-results", out="refused")
    assert (refused.status, tenant.nothing_sent()) == (2, True)
    assert f"A run needs a {name} here (require-{name} is set): add --{name} TEXT." in refused.err
    assert mass_stop.run(tenant, *tenant.keys, "--no-results", f"--{name}", "x").status == 0
