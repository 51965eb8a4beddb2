"""Journals of every form that can be read: they are reported and resumed as those of today."""

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.clock import Clock
from orchestrator.journal import database
from orchestrator.journal import journal as journals
from orchestrator.journal.recovery.integrity import schema_of
from orchestrator.journal.recovery.opening import open_for_resume
from tests.hunts.disk.journals import KEYS, SETTLED, reported
from tests.journal_files import lose_log
from tests.journals.make import unpack

FORMS = range(database.OLDEST_FORM, database.FORM + 1)
OUTCOMES = [*["stopped"] * SETTLED, *["unconfirmed"] * (KEYS - 1 - SETTLED), "not_attempted", "malformed"]


@pytest.fixture(params=FORMS, ids=lambda form: f"form {form}")
def directory(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    unpack(request.param, tmp_path)
    return tmp_path


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_a_journal_of_any_form_is_reported_whole(directory, how):
    found = reported(directory / how / "journal.db")
    assert [action["outcome"] for action in found.actions.values()] == OUTCOMES
    assert found.sentences == []


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_the_report_of_a_journal_of_any_form_modifies_nothing(directory, how):
    before = {path.name: path.read_bytes() for path in (directory / how).iterdir()}
    reported(directory / how / "journal.db")
    assert {path.name: path.read_bytes() for path in (directory / how).iterdir()} == before


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_a_journal_of_any_form_is_resumed(directory, how):
    path = directory / how / "journal.db"
    reader = open_for_resume(path.parent)
    sentences = list(reader.missing)
    reader.close()
    journal = journals.reopen(path, Clock())
    try:
        counts = asyncio.run(journal.reopen(kept=lambda _: True))[""]
    finally:
        journal.close()
    assert (counts.keys, counts.accepted, counts.waiting) == (KEYS, KEYS - 1, 1)
    assert sentences == []
    assert [action["outcome"] for action in reported(path).actions.values()] == OUTCOMES


def test_a_journal_of_any_form_without_its_log_calls_no_key_unattempted(directory):
    path = directory / "killed" / "journal.db"
    lose_log(path)
    found = reported(path)
    assert {action["outcome"] for action in found.actions.values()} == {"unconfirmed", "malformed"}
    assert "is missing" in found.sentences[0]


def test_a_resumed_journal_has_the_current_form(directory):
    path = directory / "killed" / "journal.db"
    open_for_resume(path.parent).close()
    with closing(database.read_only(path)) as connection:
        assert database.form_of(connection) == database.FORM


def test_the_sample_has_the_current_form(tmp_path):
    """A change of the schema after a release needs a new form. Before one: python -m tests.journals.make"""
    unpack(database.FORM, tmp_path)

    with (
        closing(database.read_only(tmp_path / "closed" / "journal.db")) as kept,
        closing(database.in_memory()) as made,
    ):
        assert schema_of(kept) == schema_of(made)
