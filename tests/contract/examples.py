"""The examples of a document, which run in order in one folder, as a reader would run them.

An invisible comment directly above an example sets how it runs:

    <!-- not run: REASON -->      it cannot run here
    <!-- ends in N -->            its exit status is N, not 0
    <!-- first: COMMAND -->       a command to run before it
    <!-- in the end: COMMAND -->  a command to run after it in any case
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

LONGEST = 200.0
"""Seconds after which an example fails."""

_EXAMPLE = re.compile(
    r"^(?P<notes>(?:<!-- [^\n]+ -->\n)*)```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^```$", re.M | re.S
)
_NOTE = re.compile(r"^<!-- (not run|ends in|first|in the end):? (.+) -->$", re.M)


@dataclass(frozen=True)
class Example:
    """A fenced block. ``line`` is the number of its first line in the document."""

    line: int
    language: str
    code: str
    notes: Mapping[str, str]

    @property
    def runs(self) -> bool:
        included = self.code.startswith("--8<--")  # a separate file, with its own test
        return self.language in ("sh", "python") and not included and "not run" not in self.notes


def examples_in(text: str) -> list[Example]:
    """Return every fenced block of a Markdown text, in order."""
    return [
        Example(
            text.count("\n", 0, found.start("code")) + 1,
            found["language"],
            found["code"],
            dict(_NOTE.findall(found["notes"])),
        )
        for found in _EXAMPLE.finditer(text)
    ]


def shell(
    script: str, folder: Path, environment: Mapping[str, str], ends_in: int = 0
) -> "subprocess.CompletedProcess[str]":
    """Run ``script`` in ``folder``, and assert that its exit status is ``ends_in``."""
    done = subprocess.run(
        ["sh", "-ec", script], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=LONGEST,
    )  # fmt: skip
    assert done.returncode == ends_in, f"{script}\nended in {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def python(code: str, folder: Path, environment: Mapping[str, str]) -> None:
    """Run ``code`` as a script in ``folder``. A warning is an error."""
    script = folder / "example.py"
    script.write_text(code, "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", script], cwd=folder, env={**environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), f"{code}\n{done.stdout}\n{done.stderr}"


def run(example: Example, folder: Path, environment: Mapping[str, str]) -> None:
    """Run one example, with the commands before and after it."""
    if before := example.notes.get("first"):
        shell(before, folder, environment)
    try:
        if example.language == "python":
            python(example.code, folder, environment)
        else:
            shell(example.code, folder, environment, int(example.notes.get("ends in", 0)))
    finally:
        if after := example.notes.get("in the end"):
            shell(after, folder, environment)


def without_others(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment without variables for a tenant or for mass-stop."""
    return {
        name: value for name, value in environment.items() if not name.startswith(("ZUORA_", "MASS_STOP"))
    }
