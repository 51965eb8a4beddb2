"""The runbooks of schedulers and clusters: valid by their schema, and their scripts do the job here."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml

from orchestrator.cli import COMMANDS, group
from tests.contract.examples import ROOT, shell

RUNBOOKS = ROOT / "config" / "runbooks"
SCHEMAS = Path(__file__).parent / "schemas"

VALID_BY = {
    "ansible-playbook.yml": "ansible-playbook.json",
    "github-workflow.yml": "github-workflow.json",
    "kubernetes-job.yaml": "kubernetes.json",
    "rundeck-job.yaml": "rundeck-job.json",
}

CALLING = {
    "ansible-playbook.yml": ["run", "check", "resume", "verify"],
    "github-workflow.yml": ["check", "run", "resume", "verify"],
    "kubernetes-job.yaml": ["resume", "run", "verify"],
}
"""The commands each calls; the Rundeck job leaves that to incident.sh."""


def documents(name: str) -> list[Any]:
    found = list(yaml.safe_load_all((RUNBOOKS / name).read_text("utf-8")))
    for document in found:
        if True in document:  # YAML 1.1 takes the word "on" for a yes; GitHub does not
            document["on"] = document.pop(True)
    return found


def texts(value: object) -> Iterator[str]:
    """Every text in a document, and every list of words as the command line it is."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from texts(part)
    elif isinstance(value, list):
        if value and value[0] == "mass-stop":
            yield shlex.join(value)
        for part in value:
            yield from texts(part)


def calls_in(name: str) -> list[list[str]]:
    """The words of every call of mass-stop in a runbook."""
    called = re.compile(rf"(?<![\w/.-])mass-stop ((?:{'|'.join(COMMANDS)})\b[^;&|\n]*)")
    found = [
        call for document in documents(name) for text in texts(document) for call in called.findall(text)
    ]
    return [shlex.split(call) for call in found]


@pytest.mark.parametrize("name", VALID_BY)
def test_a_runbook_is_valid_by_its_schema(name: str):
    schema = json.loads((SCHEMAS / VALID_BY[name]).read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    for document in documents(name):
        jsonschema.Draft202012Validator(schema).validate(document)


@pytest.mark.parametrize("name", VALID_BY)
def test_a_schema_refuses_a_word_that_it_does_not_know(name: str):
    schema = json.loads((SCHEMAS / VALID_BY[name]).read_text("utf-8"))
    for document in documents(name):
        (document[0] if isinstance(document, list) else document)["misspelt"] = 1
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema).validate(document)


@pytest.mark.parametrize("name", CALLING)
def test_every_call_of_a_runbook_is_one_that_mass_stop_takes(name: str):
    for command, *words in calls_in(name):
        found = group.get_command(click.Context(group), command)
        assert found is not None
        found.make_context(command, list(words))


def test_the_calls_of_the_runbooks_are_found():
    assert {name: [call[0] for call in calls_in(name)] for name in CALLING} == CALLING


@pytest.mark.parametrize("name", CALLING)
def test_every_run_of_a_runbook_gives_its_consent_and_names_its_directory(name: str):
    for call in calls_in(name):
        if call[0] == "run":
            assert {"--yes", "--out"} <= set(call)


@pytest.mark.parametrize("name", [path.name for path in sorted(RUNBOOKS.iterdir()) if path.is_file()])
def test_no_runbook_holds_a_secret(name: str):
    text = (RUNBOOKS / name).read_text("utf-8")
    assert re.findall(r"(?i)(?:secret|token|password)[\"']?\s*[:=]\s*[\"']?[\w+/-]{12,}", text) == []


def test_the_pod_runs_the_list_and_a_second_pod_continues_and_verifies_it(
    folder: Path, environment: dict[str, str]
):
    _, job = documents("kubernetes-job.yaml")
    pod = job["spec"]["template"]["spec"]
    (stopping,), (verifying,) = pod["initContainers"], pod["containers"]
    assert stopping["command"] == verifying["command"] == ["/bin/sh", "-c"]
    here = stopping["args"][0].replace("/keys/keys.csv", "keys.csv")
    assert "run.started" in shell(here, folder, environment).stderr
    assert "Not all over" not in shell(here, folder, environment).stderr
    assert json.loads((folder / "tonight" / "report.json").read_text())["run"]["resumed"] == 1
    assert (
        "Verified: "
        in shell(verifying["args"][0].replace("sleep 1800", "sleep 0"), folder, environment).stderr
    )


def test_the_pod_and_the_image_are_the_same_user_and_the_same_folder():
    _, job = documents("kubernetes-job.yaml")
    pod = job["spec"]["template"]["spec"]
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    user, folder = pod["securityContext"]["runAsUser"], pod["initContainers"][0]["workingDir"]
    assert f"USER {user}:{pod['securityContext']['runAsGroup']}\nWORKDIR {folder}\n" in dockerfile
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["workingDir"] == folder
        assert folder in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_a_terminated_pod_has_more_time_than_one_call_takes():
    from orchestrator.settings import Settings

    _, job = documents("kubernetes-job.yaml")
    assert job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > Settings().timeout


def test_the_steps_of_the_workflow_do_the_job(folder: Path, environment: dict[str, str]):
    (workflow,) = documents("github-workflow.yml")
    steps = [step for step in workflow["jobs"]["stop"]["steps"] if "run" in step]
    ours = [step for step in steps if not step["name"].startswith("Install") and "if" not in step]
    types = "MPU,ImportFXRate,CreateRevenueSchedule,UpdateAccountingCode"
    keys = " ".join((folder / "keys.txt").read_text().split())
    variables = {**environment, "KEYS": keys, "MASS_STOP_EXPECT_ACTION_TYPE": types}
    for step in ours:
        shell(step["run"], folder, variables)
    assert json.loads((folder / "tonight" / "report.json").read_text())["summary"]["keys"] == 12


def test_the_workflow_and_the_image_install_from_the_lock_files():
    (workflow,) = documents("github-workflow.yml")
    (install,) = [
        step for step in workflow["jobs"]["stop"]["steps"] if step.get("name", "").startswith("Install")
    ]
    installs = re.findall(r"pip install (.*)", install["run"])
    assert all("--require-hashes" in one or "--no-index" in one for one in installs)
    assert [
        lock for one in installs for lock in re.findall(r"\S+\.lock", one) if not (ROOT / lock).is_file()
    ] == []


def test_the_script_of_the_rundeck_job_does_the_job(folder: Path, environment: dict[str, str]):
    (jobs,) = documents("rundeck-job.yaml")
    (step,) = jobs[0]["sequence"]["commands"]
    shutil.copy(RUNBOOKS / "incident.sh", folder)
    given = {
        "RD_OPTION_BASE_URL": environment.pop("ZUORA_BASE_URL"),
        "RD_OPTION_CLIENT_ID": environment.pop("ZUORA_CLIENT_ID"),
        "RD_OPTION_CLIENT_SECRET": environment.pop("ZUORA_CLIENT_SECRET"),
        "RD_OPTION_KEYS": "keys.csv",
        "RD_OPTION_CHANGE": "CHG0012345",
    }
    variables = {**environment, **given, "VERIFY_AFTER": "1"}
    assert {name for name in given if f"${name}" not in step["script"]} == set()
    shell(step["script"].replace("/var/lib/mass-stop", str(folder)), folder, variables)
    report = json.loads((folder / "runs" / "CHG0012345" / "report.json").read_text())
    assert [one["keys"] for one in report["run"]["verifications"]] == [12]
