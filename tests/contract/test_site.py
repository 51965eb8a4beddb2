"""The site is built without the network and read without it, and its reference says what the code says."""

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest

import orchestrator
from docs import generate
from orchestrator.cli import COMMANDS, group
from orchestrator.report import json_schema
from orchestrator.settings import SETTINGS
from tests.contract.examples import ROOT
from tests.contract.test_docs import PAGES


class Loaded(HTMLParser):
    """The addresses that a browser loads to show a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        if tag in ("script", "img", "iframe", "source", "video") and "src" in held:
            self.addresses.append(held["src"])
        if tag == "link" and held.get("rel") not in ("canonical", "prev", "next"):
            self.addresses.append(held["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as ``make docs`` builds it, with every warning as an error."""
    folder = tmp_path_factory.mktemp("site")
    proxies = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder],
        cwd=ROOT, env={**os.environ, **proxies, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def test_the_site_is_built_strictly_and_loads_nothing_from_elsewhere(site: Path):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    missing = [
        f"{page.relative_to(site)} loads {address}"
        for page in pages
        if page.name != "404.html"  # served from anywhere, so its addresses begin at the root
        for address in Loaded(page).addresses
        if not (page.parent / address.partition("#")[0]).is_file()
    ]
    assert missing == []


def test_the_site_holds_the_pages_that_are_made_from_the_code(site: Path):
    commands = (site / "reference" / "commands.html").read_text("utf-8")
    assert [name for name in COMMANDS if f'id="{name}"' not in commands] == []
    assert "<!-- generated" not in commands


def test_every_marker_of_a_page_is_filled_in():
    for page, text in PAGES.items():
        assert "<!-- generated" not in generate.filled(text), page


def test_the_reference_has_every_command_and_every_option_of_it():
    for part in generate.commands().split("\n## "):
        name = part.partition("{ #")[2].partition(" }")[0]
        command = group.get_command(click.Context(group), name)
        assert command is not None
        options = {one.opts[0] for one in command.params if isinstance(one, click.Option)}
        assert {option for option in options if f"| `{option}" not in part} == set()


def test_the_reference_of_commands_names_each_once():
    assert generate.commands().count("\n## `mass-stop ") + 1 == len(COMMANDS)


def test_the_reference_has_every_setting_with_its_environment_name():
    table = generate.settings()
    assert [
        one.name for one in SETTINGS.values() if f"| `{one.option}` | `{one.variable}` |" not in table
    ] == []


def test_the_reference_of_the_report_has_every_part_of_its_schema():
    values = {"Outcome"}  # explained on a page of its own
    parts = {name for name in json_schema()["$defs"] if name not in values}
    shown = {found[2] for found in generate.MARKER.finditer(PAGES["reference/report.md"])}
    assert parts - shown == set()


def test_the_reference_of_python_has_every_public_name():
    shown = {found[2] for found in generate.MARKER.finditer(PAGES["reference/python.md"])}
    assert set(orchestrator.__all__) - shown == {"__version__"}


def test_a_signature_is_shown_as_it_is_written_and_never_with_a_value(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ZUORA_CLIENT_SECRET", "made-up-and-secret")
    shown = generate.python("resolve")
    assert "os.environ" in shown
    assert "made-up" not in shown


def test_the_reference_of_outcomes_explains_every_outcome_and_no_other():
    explained = {
        line.split("`")[1] for line in PAGES["reference/outcomes.md"].splitlines() if line.startswith("## `")
    }
    assert explained == set(orchestrator.Outcome)


def test_a_link_that_leaves_the_site_becomes_its_words():
    text = "see [the README](../../README.md#options) and [pages](pacing.md)"
    shown = generate._links_within(text, "explanation/journal.md")
    assert shown == "see the README and [pages](pacing.md)"
