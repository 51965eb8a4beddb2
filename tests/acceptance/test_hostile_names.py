"""Names of files with characters that a terminal obeys: no message, log, report or page shows them raw."""

import re
from pathlib import Path

import pytest

from tests.acceptance.support import PROCESSING, Ended, MassStop, Tenant

NAME = "a\x1b[2Jb\nmass-stop: all over\x9b31m\u202ec\u200b.csv"
RAW = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


def assert_shown_safely(ended: Ended) -> None:
    assert not RAW.search(ended.err), ended
    assert not any(line.startswith("mass-stop: all over") for line in ended.err.splitlines()), ended


COMMANDS: dict[str, tuple[str, ...]] = {
    "missing source": ("plan", NAME),
    "missing configuration": ("--config", NAME),
    "missing run": ("report", NAME),
    "missing run to resume": ("resume", NAME),
    "missing plan": ("run", "--yes", "--plan", NAME),
    "unknown option": ("run", f"--{NAME}"),
    "unknown command": (NAME,),
    "missing secret": ("check", "--client-secret-file", NAME),
    "missing tenants": ("run", "--yes", "--tenants", NAME, "keys.txt"),
    "bad number": ("run", "--concurrency", NAME),
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_a_message_shows_a_hostile_name_on_one_line(mass_stop: MassStop, words: tuple[str, ...]) -> None:
    ended = mass_stop(*words)
    assert ended.status == 2
    assert len(ended.sentences) == 1
    assert_shown_safely(ended)


@pytest.mark.parametrize("form", ["auto", "json"])
def test_a_run_shows_hostile_names_of_source_and_directory_safely(
    mass_stop: MassStop, tenant: Tenant, form: str
) -> None:
    keys = mass_stop.keys(tenant.keys[:2], NAME)
    ended = mass_stop.run(tenant, keys, "--log-format", form, "--log-level", "debug", out=f"run-{NAME}")
    assert ended.status == 0, ended
    assert_shown_safely(ended)
    for name in ("report.json", "report.html", "run.log"):
        assert not RAW.search((ended.directory / name).read_text()), name
    for form in ("csv", "markdown"):
        shown = mass_stop("report", ended.directory, "--format", form, "--report", "-")
        assert not RAW.search(shown.out.decode().replace("\r\n", "\n")), form
    assert ended.report["run"]["sources"][0]["name"] == str(keys)


def test_a_source_that_cannot_be_used_is_named_safely(mass_stop: MassStop, tenant: Tenant) -> None:
    path = Path(mass_stop.home / NAME)
    path.write_text("no key here\n")
    ended = mass_stop.run(tenant, path)
    assert ended.status == 2
    assert_shown_safely(ended)


@pytest.fixture
def tenant(make_tenant) -> Tenant:
    found: Tenant = make_tenant(**PROCESSING, actions=4)
    return found
