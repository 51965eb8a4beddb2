"""The site's pages do what they say: each is followed from top to bottom, in a folder of its own, as a reader would."""

import re
from pathlib import Path

import pytest

from orchestrator.cli import COMMANDS
from tests.contract.examples import ROOT, examples_in, run
from tests.contract.test_docs_options import options_of

DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text("utf-8") for path in sorted(DOCS.rglob("*.md"))}
FOLLOWED = [page for page, text in PAGES.items() if any(example.runs for example in examples_in(text))]
LANGUAGES = {"sh", "python", "text", "json", "sql", "toml", "yaml", "dockerfile"}
"""``sh`` and ``python`` are run; the others show files, or what a command prints."""


@pytest.mark.timeout(240)  # a page is up to ten commands
@pytest.mark.parametrize("page", FOLLOWED)
def test_every_example_of_a_page_works_in_order(page: str, folder: Path, environment: dict[str, str]):
    for example in examples_in(PAGES[page]):
        if example.runs:
            try:
                run(example, folder, environment)
            except AssertionError as error:
                raise AssertionError(f"docs/{page}, line {example.line}: {error}") from None


def test_most_pages_have_examples_that_are_run():
    assert len(FOLLOWED) > 12


@pytest.mark.parametrize("page", PAGES)
def test_every_fence_of_a_page_is_seen_by_these_tests(page: str):
    assert PAGES[page].count("```") == 2 * len(examples_in(PAGES[page]))


@pytest.mark.parametrize("page", PAGES)
def test_a_block_says_in_which_language_it_is(page: str):
    assert {example.language for example in examples_in(PAGES[page])} <= LANGUAGES


FOREIGN = {"--preserve-status", "--stop-timeout", "--env-file", "--rm", "--volume"}
"""Options of other programs that the prose names."""


@pytest.mark.parametrize("page", PAGES)
def test_an_option_that_a_page_names_is_one_of_the_commands(page: str):
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
