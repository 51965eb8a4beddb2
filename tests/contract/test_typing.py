"""The types of the public names: two type checkers accept a program that uses all of them."""

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest

import orchestrator

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("typed_program.py")

MISTAKES = [
    'log_level="debug"',
    "quiet=True",
    "timeout=None",
    "out=7",
    'client_secret="text"',
    'engine="steam"',
]
"""Arguments of Settings that a type checker must refuse."""


def mypy(path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def pyright(path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Pyright in its strict mode, as basedpyright packages it: it brings its own Node.js and needs no network."""
    project = folder / "pyrightconfig.json"
    project.write_text(json.dumps({"include": [str(path)], "typeCheckingMode": "strict"}), "utf-8")
    command = [sys.executable, "-m", "basedpyright", "-p", str(project), "--pythonpath", sys.executable]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_mypy_accepts_a_program_that_uses_every_function():
    done = mypy(PROGRAM)
    assert done.returncode == 0, done.stdout


def test_pyright_accepts_a_program_that_uses_every_function(tmp_path: Path):
    done = pyright(PROGRAM, tmp_path)
    assert done.returncode == 0, done.stdout


def test_both_type_checkers_find_settings_that_a_program_cannot_give(tmp_path: Path):
    wrong = tmp_path / "wrong.py"
    lines = [f"Settings({mistake})" for mistake in MISTAKES]
    wrong.write_text("\n".join(["from orchestrator import Settings", *lines, ""]), "utf-8")
    for done in (mypy(wrong), pyright(wrong, tmp_path)):
        found = [number for number in range(2, len(lines) + 2) if f"wrong.py:{number}:" in done.stdout]
        assert found == list(range(2, len(lines) + 2)), done.stdout


def test_the_program_uses_every_public_function():
    functions = {name for name in orchestrator.__all__ if inspect.isfunction(getattr(orchestrator, name))}
    text = PROGRAM.read_text("utf-8")
    assert {name for name in functions if f"{name}(" in text} == functions


@pytest.mark.parametrize("name", [name for name in orchestrator.__all__ if name != "__version__"])
def test_no_public_signature_has_a_type_of_a_dependency(name: str):
    ours = sys.stdlib_module_names | {"orchestrator"}
    foreign = {kind for kind in types_in(getattr(orchestrator, name)) if kind.split(".")[0] not in ours}
    assert foreign == set()


def types_in(value: Any) -> set[str]:
    """The full names of all types in the signature or the attributes of ``value``, and in the attributes of these."""
    seen: set[int] = set()
    names: set[str] = set()

    def visit(annotation: Any) -> None:
        if id(annotation) in seen:
            return
        seen.add(id(annotation))
        for part in (get_origin(annotation), *get_args(annotation)):
            visit(part)
        if isinstance(annotation, type):
            names.add(f"{annotation.__module__}.{annotation.__qualname__}")
            if annotation.__module__.startswith("orchestrator"):
                for hint in hints_of(annotation):
                    visit(hint)

    for hint in hints_of(value):
        visit(hint)
    return names


def hints_of(value: Any) -> Iterator[Any]:
    yield from (hint for name, hint in get_type_hints(value).items() if not name.startswith("__"))
    for name, member in vars(value).items() if isinstance(value, type) else ():
        function = member.fget if isinstance(member, property) else member
        if not name.startswith("_") and inspect.isfunction(function):
            yield from get_type_hints(function).values()
