"""The prose check of ``make check``: it reports file, line and rule."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.examples import ROOT

LONG = "This sentence has too many words " + "and more " * 10 + "in it."


def check(path: Path, text: str) -> list[str]:
    path.write_text(text, "utf-8")
    command: list[str | Path] = [sys.executable, ROOT / ".ci" / "prose", path]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()


@pytest.mark.parametrize(
    ("name", "text", "line", "rule"),
    [
        ("page.md", "# Title\n\nThe report tells all.\n", 3, '"tells"'),
        ("page.md", f"- first\n- {LONG}\n", 2, "28 words, at most 25"),
        ("page.md", "| a | b |\n| --- | --- |\n| fine | run it anew |\n", 3, '"anew"'),
        ("page.html", "<p>Fine.</p>\n<p>Nobody knows.</p>\n", 2, '"Nobody"'),
        ("page.md", "# Title\n\nWhat is sent is counted.\n", 3, "starts with What"),
        ("code.py", 'def f():\n    raise ValueError("Mend the key, then go on.")\n', 2, '"Mend"'),
        ("code.py", "x = f\"uploaded by {who or 'nobody that is known'}\"\n", 1, '"nobody"'),
        ("test_code.py", "\ndef test_the_report_tells_all(): ...\n", 2, '"tells"'),
        ("test_code.py", f"\ndef test_{'a' * 81}(): ...\n", 2, "81 characters, at most 80"),
        ("test_code.py", '\ndef test_it():\n    assert x, "the rows are told twice"\n', 3, '"told"'),
        ("code.py", "def f(\n    told): ...\n", 2, '"told"'),
        ("code.py", "def f():\n    rows_told = 1\n", 2, '"told"'),
        ("code.py", "def f(self):\n    self._nobody = 1\n", 2, '"nobody"'),
        ("code.py", "async def tell_all(): ...\n", 1, '"tell"'),
        ("code.py", "class JournalMuster: ...\n", 1, '"Muster"'),
        ("code.py", "import a\nimport b as spoilt\n", 2, '"spoilt"'),
        ("code.py", "try: ...\nexcept OSError as whoever: ...\n", 2, '"whoever"'),
        ("Makefile", "all:\n\t@echo 'checks it anew'\n", 2, '"anew"'),
        ("settings.toml", '# A name.\nname = "x"  # nobody reads it\n', 2, '"nobody"'),
        ("job.yaml", "- name: Go on with the run\n", 1, '"Go on with"'),
    ],
)
def test_a_sentence_or_name_that_breaks_a_rule_is_reported(
    tmp_path: Path, name: str, text: str, line: int, rule: str
):
    (found,) = check(tmp_path / name, text)
    assert found.startswith(f"{tmp_path / name}:{line}: {rule}")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("page.md", f"```text\n{LONG}\n```\n\n<!-- {LONG} -->\n"),
        ("page.md", "Use `mass-stop tell` here.\n"),
        ("code.py", 'NAME = "anew"\n'),
        ("code.py", "untold = mended_by(file.tell())\n"),
        ("code.py", "class File:\n    def tell(self): ...\n"),
        ("page.md", "## What it costs\n\nWhat is next?\n"),
        ("test_code.py", 'def test_it():\n    assert read("it tells us all of that") == 1\n'),
        ("settings.toml", '# An example.\n# tell = "told"\n'),
    ],
)
def test_code_is_not_checked(tmp_path: Path, name: str, text: str):
    assert check(tmp_path / name, text) == []


def test_comments_and_docstrings_are_checked(tmp_path: Path):
    found = check(tmp_path / "code.py", '"""It tells."""\n\nx = 1\n# Whoever reads this knows.\n')
    assert [line.split(":")[1] for line in found] == ["1", "4"]
