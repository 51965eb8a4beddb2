"""The image is built from the locks, holds no secret, runs without rights, and hands signals on.

No image is built here: that needs a container engine. The text of the Dockerfile is checked.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch

import pytest

from tests.contract.examples import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


@dataclass(frozen=True)
class Stage:
    """One FROM and the instructions after it, as (name, arguments) in order."""

    base: str
    name: str
    steps: tuple[tuple[str, str], ...]

    def all(self, instruction: str) -> list[str]:
        return [arguments for name, arguments in self.steps if name == instruction]


def stages_of(text: str) -> list[Stage]:
    """A Dockerfile's stages, with the arguments given before the first one put in."""
    lines = re.sub(r"(?m)^\s*#.*\n", "", text).replace("\\\n", " ").splitlines()
    steps = [
        (words[0].upper(), " ".join(words[1].split()))
        for line in lines
        if len(words := line.split(None, 1)) == 2
    ]
    given = dict(arguments.split("=", 1) for name, arguments in steps if name == "ARG" and "=" in arguments)
    starts = [place for place, (name, _) in enumerate(steps) if name == "FROM"]
    found = []
    for start, end in zip(starts, [*starts[1:], len(steps)], strict=True):
        base, _, name = steps[start][1].partition(" AS ")
        for argument, value in given.items():
            base = base.replace(f"${{{argument}}}", value)
        found.append(Stage(base, name, tuple(steps[start + 1 : end])))
    return found


def complaints(text: str) -> set[str]:
    """The names of the rules that a Dockerfile breaks."""
    stages = stages_of(text)
    last = stages[-1]
    everything = [step for stage in stages for step in stage.steps]
    users = last.all("USER")
    runs = [command for stage in stages for command in stage.all("RUN")]
    installs = [
        one for run in runs for one in re.split(r"&&|;|\|", run) if re.search(r"\bpip\b.* install ", one)
    ]
    found = set()
    if len(stages) < 2 or any("pip" in run for run in last.all("RUN")):
        found.add("the stage that runs must not be the one that builds")
    for base, _, digest in (stage.base.partition("@") for stage in stages):
        if not re.search(r":[^/]+$", base) or base.endswith(":latest"):
            found.add("a base image has a tag, and it is not latest")
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            found.add("a base image has a digest")
    if not users or not re.fullmatch(r"[1-9]\d*:[1-9]\d*", users[-1]):
        found.add("the last user is a number, and not 0")
    for name in ("ENTRYPOINT", "CMD"):
        if not last.all(name) or not last.all(name)[-1].startswith("["):
            found.add("no shell is between the engine and mass-stop")
    if any(name == "ADD" for name, _ in everything):
        found.add("nothing is taken from an address: COPY, never ADD")
    if any("--require-hashes" not in one and "--no-index" not in one for one in installs) or not installs:
        found.add("what is installed is checked against its hash")
    fetching = [run for run in runs if re.search(r"\bpip\b.* install (?!.*--no-index)", run)]
    if any(not run.startswith("--mount=type=secret,id=pip,target=/etc/pip.conf ") for run in fetching):
        found.add("pip's own configuration comes as a secret, to every step that fetches")
    if any(
        re.search(r"(?i)secret|token|password", f"{args}")
        for name, args in everything
        if name in ("ENV", "ARG")
    ):
        found.add("a secret in ENV or ARG stays in the image")
    if any(re.search(r"\b(curl|wget|apt-get|sudo|ssh)\b", run) for run in runs):
        found.add("nothing else is downloaded or installed")
    return found


def test_the_dockerfile_keeps_every_rule():
    assert complaints(DOCKERFILE) == set()


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (lambda text: text.replace("USER 10001:10001\n", ""), "the last user is a number, and not 0"),
        (lambda text: text.replace("USER 10001:10001", "USER root"), "the last user is a number, and not 0"),
        (lambda text: text + "USER 0:0\n", "the last user is a number, and not 0"),
        (lambda text: text.replace(":3.13.14-slim-trixie", ""), "a base image has a tag, and it is not latest"),
        (lambda text: text.replace(":3.13.14-slim-trixie", ":latest"), "a base image has a tag, and it is not latest"),
        (
            lambda text: text.replace("ENTRYPOINT [", "ENTRYPOINT sh ["),
            "no shell is between the engine and mass-stop",
        ),
        (lambda text: text.replace('CMD ["--help"]', ""), "no shell is between the engine and mass-stop"),
        (lambda text: text.replace("--require-hashes ", ""), "what is installed is checked against its hash"),
        (
            lambda text: text.replace("RUN --mount=type=secret,id=pip,target=/etc/pip.conf", "RUN", 1),
            "pip's own configuration comes as a secret, to every step that fetches",
        ),
        (lambda text: text + "ADD https://example.com/x /x\n", "nothing is taken from an address: COPY, never ADD"),
        (lambda text: text + "ENV ZUORA_CLIENT_SECRET=x\n", "a secret in ENV or ARG stays in the image"),
        (lambda text: text + "RUN apt-get update\n", "nothing else is downloaded or installed"),
        (lambda text: text.partition("FROM ${BASE} AS run")[0], "the stage that runs must not be the one that builds"),
    ],
)  # fmt: skip
def test_a_dockerfile_that_breaks_a_rule_is_reported(broken: Callable[[str], str], rule: str):
    assert broken(DOCKERFILE) != DOCKERFILE
    assert rule in complaints(broken(DOCKERFILE))


def test_the_image_starts_the_command_and_shows_help_without_arguments():
    last = stages_of(DOCKERFILE)[-1]
    assert json.loads(last.all("ENTRYPOINT")[0])[-1] == "mass-stop"
    assert json.loads(last.all("CMD")[0]) == ["--help"]


def test_the_image_blocks_signals_until_the_command_has_its_handlers():
    """The kernel would discard them: the command is process 1."""
    (entry,) = stages_of(DOCKERFILE)[-1].all("ENTRYPOINT")
    assert json.loads(entry)[:-1] == ["env", "--block-signal=HUP,INT,TERM"]


def test_the_image_writes_only_to_a_volume_of_the_user():
    last = stages_of(DOCKERFILE)[-1]
    (user,) = last.all("USER")
    (volume,) = json.loads(last.all("VOLUME")[0])
    (made,) = last.all("RUN")
    assert volume in last.all("WORKDIR")
    assert {f"--owner={user.split(':')[0]}", "--mode=0700", volume} <= set(made.split())


def copied() -> list[str]:
    """The paths that are copied from this tree."""
    lists = [one for stage in stages_of(DOCKERFILE) for one in stage.all("COPY") if "--from=" not in one]
    return [name for one in lists for name in one.split()[:-1]]


def test_every_copied_file_exists_and_is_in_the_build_context():
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert [name for name in copied() if not (ROOT / name).exists()] == []
    assert {f"!{name}" for name in copied()} == {line for line in ignored if line.startswith("!")}
    assert next(line for line in ignored if line and line[0] not in "#!") == "*"


def test_everything_that_the_wheel_is_built_from_is_copied():
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    (readme,) = re.findall(r'^readme = "(.+)"$', project, re.M)
    (licence,) = re.findall(r'^license-files = \["(.+)"\]$', project, re.M)
    (packages,) = re.findall(r'^packages = \["(.+)"\]', project, re.M)
    assert {readme, licence, packages, "pyproject.toml"} <= set(copied())


@pytest.mark.parametrize("name", ["keys.csv", "mass-stop.toml", ".env", "runs/x/journal.db", ".git/config"])
def test_no_secret_and_no_run_is_in_the_build_context(name: str):
    let_in = [
        line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"
    ]
    assert not any(fnmatch(name, pattern) or name.startswith(f"{pattern}/") for pattern in let_in)
