"""The site's pages do what they say: each is followed from top to bottom, in a folder of its own, as a reader would."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import report as reports
from orchestrator.cli import COMMANDS
from tests.contract.examples import ROOT, examples_in, run, shell
from tests.contract.test_docs_options import options_of

DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text("utf-8") for path in sorted(DOCS.rglob("*.md"))}
FOLLOWED = [page for page, text in PAGES.items() if any(example.runs for example in examples_in(text))]
LANGUAGES = {"sh", "python", "text", "json", "sql", "toml", "yaml", "dockerfile"}
"""``sh`` and ``python`` are run; the others show files, or what a command prints."""


@pytest.mark.parametrize("page", FOLLOWED)
def test_every_example_of_a_page_works_in_order(page: str, folder: Path, environment: dict[str, str]):
    for example in examples_in(PAGES[page]):
        if example.runs:
            try:
                run(example, folder, environment)
            except AssertionError as error:
                raise AssertionError(f"docs/{page}, line {example.line}: {error}") from None


def test_most_pages_have_examples_that_run():
    assert len(FOLLOWED) > 12


@pytest.mark.parametrize("page", PAGES)
def test_these_tests_find_every_fence_of_a_page(page: str):
    assert PAGES[page].count("```") == 2 * len(examples_in(PAGES[page]))


@pytest.mark.parametrize("page", PAGES)
def test_every_block_names_its_language(page: str):
    assert {example.language for example in examples_in(PAGES[page])} <= LANGUAGES


FOREIGN = {"--preserve-status", "--stop-timeout", "--env-file", "--rm", "--volume", "--nthreads"}
"""Options of other programs that the prose names."""


@pytest.mark.parametrize("page", PAGES)
def test_every_option_on_a_page_exists(page: str):
    known = {option for command in COMMANDS for option in options_of(command)} | {"--version", "--help"}
    prose = re.findall(r"`(?:mass-stop[^`]* )?(--[a-z-]+)(?![a-z…-])[^`]*`", PAGES[page])
    commands = [line for example in examples_in(PAGES[page]) for line in example.code.splitlines()]
    called = [
        option
        for line in commands
        for call in re.findall(
            r"\bmass-stop (?:run|plan|resume|report|check|drill|simulate)\b([^|;&#]*)", line
        )
        for option in re.findall(r"(?<=\s)--[a-z-]+", call)
    ]
    assert {*prose, *called} - known - FOREIGN == set()


def test_the_example_of_a_report_uses_the_names_of_its_schema():
    (block,) = [
        example.code for example in examples_in(PAGES["reference/report.md"]) if example.language == "json"
    ]
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


def test_the_closing_summary_has_the_lines_that_the_page_shows(folder: Path, environment: dict[str, str]):
    done = shell("mass-stop drill --actions 30", folder, environment)
    (shown,) = [
        example.code for example in examples_in(PAGES["reference/screen.md"]) if "All over" in example.code
    ]

    def titles(text: str) -> list[str]:
        return re.findall(r"^  ([a-z][a-z ]*?)  +\S", text, re.M)

    assert titles(done.stderr) == titles(shown)
