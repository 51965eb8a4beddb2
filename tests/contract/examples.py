"""The examples of a document: found, and run in order in one folder, as a reader would run them.

A comment directly above an example says how it is run; a reader does not see it:

    <!-- not run: REASON -->      it cannot be run here
    <!-- ends in N -->            its exit status is N, not 0
    <!-- first: COMMAND -->       a command to run before
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
"""Seconds after which an example has failed."""

_EXAMPLE = re.compile(
    r"^(?P<notes>(?:<!-- [^\n]+ -->\n)*)```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^```$", re.M | re.S
)
_NOTE = re.compile(r"^<!-- (not run|ends in|first|in the end):? (.+) -->$", re.M)


@dataclass(frozen=True)
class Example:
    """A fenced block; ``line`` is that of its first line in the document."""

    line: int
    language: str
    code: str
    notes: Mapping[str, str]

    @property
    def runs(self) -> bool:
        included = self.code.startswith("--8<--")  # a file of its own, with a test of its own
        return self.language in ("sh", "python") and not included and "not run" not in self.notes


def examples_in(text: str) -> list[Example]:
    """Every fenced block of a Markdown text, in order."""
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
    """Runs ``script`` in ``folder``, and compares its exit status with ``ends_in``."""
    done = subprocess.run(
        ["sh", "-ec", script], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=LONGEST,
    )  # fmt: skip
    assert done.returncode == ends_in, f"{script}\nended in {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def python(code: str, folder: Path, environment: Mapping[str, str]) -> None:
    """Runs ``code`` as a script in ``folder``; a warning is an error."""
    script = folder / "example.py"
    script.write_text(code, "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", script], cwd=folder, env={**environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), f"{code}\n{done.stdout}\n{done.stderr}"


def run(example: Example, folder: Path, environment: Mapping[str, str]) -> None:
    """Runs one example and the command before it."""
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
    """The environment without variables for a tenant or for mass-stop."""
    return {
        name: value for name, value in environment.items() if not name.startswith(("ZUORA_", "MASS_STOP"))
    }
