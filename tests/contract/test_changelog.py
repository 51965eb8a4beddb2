"""The changelog has one form, so that a person finds a version and a script a change."""

import re

import pytest

from orchestrator import __version__
from tests.contract.examples import ROOT

TEXT = (ROOT / "CHANGELOG.md").read_text("utf-8")
KINDS = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def complaints(text: str) -> list[str]:
    """The lines that break the form; empty if none does."""
    found, version, kind = [], "", ""
    for line in text.splitlines()[1:]:
        if line.startswith("## "):
            version, kind = line, ""
            if not re.fullmatch(r"## \d+\.\d+\.\d+ \((unreleased|\d{4}-\d\d-\d\d)\)", line):
                found.append(f"no version with its date: {line}")
        elif line.startswith("### "):
            kind = line.removeprefix("### ")
            if kind not in KINDS:
                found.append(f"no kind of change: {line}")
        elif line.startswith("- ") and not (version and kind):
            found.append(f"under no kind of change: {line}")
    entries = re.findall(r"^- (.+(?:\n  .+)*)", text, re.M)
    found += [f"no sentence: {entry}" for entry in entries if not entry.rstrip().endswith(".")]
    return found


def test_the_changelog_has_the_documented_form():
    assert complaints(TEXT) == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("## Next", "no version with its date: ## Next"),
        ("### Improved", "no kind of change: ### Improved"),
        ("- one without a point", "no sentence: one without a point"),
    ],
)
def test_a_line_in_another_form_is_found(line: str, complaint: str):
    assert complaint in complaints(f"{TEXT}{line}\n")


def test_an_entry_directly_under_a_version_is_found():
    assert complaints("# What changed\n\n## 1.0.0 (2026-11-24)\n\n- Faster.\n") == [
        "under no kind of change: - Faster."
    ]


def test_the_newest_version_is_the_version_of_the_code():
    newest = re.findall(r"^## (\S+)", TEXT, re.M)[0]
    assert newest == __version__
