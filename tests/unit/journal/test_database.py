"""Statements by name and by position, and the mark of a journal that its run left behind."""

import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orchestrator.journal import database

ROW = {
    "tenant": "", "source": 1, "row": 2, "bulk_key": "k", "malformed": 0, "labels": None, "rank": 0.0, "stage": 0,
    "outcome": None, "error": None, "position": 1,
}  # fmt: skip
COUNTS = {"total": 10, "processed": 9, "succeeded": 7, "failed": 2, "unprocessed": 1}
CHANGES: dict[str, dict[str, Any]] = {
    "accepted": {
        "claimed": 1, "due_at": 1.5, "request_id": "r", "track_id": "t", "sent_at": "s", "at": "a", "seq": 1,
    },
    "read": COUNTS | {
        "throttled": 1, "retried": 1, "file_calls": 0, "status_calls": 1, "action_type": "MPU", "provenance": None,
        "status": "Stopping",
        "seq": 1,
    },
    "completed": COUNTS | {
        "seq": 1, "retried": 0, "status_calls": 1, "action_type": None, "provenance": "{}",
        "status": "Stopped", "at": "e", "error": None,
        "speed": 2.5, "outcome": "stopped",
    },
}  # fmt: skip
"""Statements of the hot path, with values in another order than the statement's own."""


def _by_name(connection: sqlite3.Connection, name: str, values: dict[str, Any]) -> None:
    connection.execute(database.sql(name), values)


def _by_position(connection: sqlite3.Connection, name: str, values: dict[str, Any]) -> None:
    statement, in_order = database.by_position(name)
    connection.execute(statement, in_order(values))


def _after(change: Callable[[sqlite3.Connection, str, dict[str, Any]], None], name: str) -> Any:
    with closing(database.in_memory()) as connection:
        connection.execute("INSERT INTO source (name) VALUES ('keys.csv')")
        change(connection, "admit_action", ROW)
        change(connection, name, CHANGES[name])
        return connection.execute("SELECT * FROM action").fetchall()


@pytest.mark.parametrize("name", CHANGES)
def test_a_statement_does_by_position_what_it_does_by_name(name: str) -> None:
    assert _after(_by_position, name) == _after(_by_name, name)


def test_a_statement_with_one_value_takes_it_by_position() -> None:
    with closing(database.in_memory()) as connection:
        _by_position(connection, "begin_session", {"at": "2026-11-25T10:00:00.000Z"})
        assert connection.execute("SELECT started_at FROM session").fetchall() == [
            ("2026-11-25T10:00:00.000Z",)
        ]


def test_a_statement_without_values_takes_none_by_position() -> None:
    with closing(database.in_memory()) as connection:
        _by_position(connection, "begin_session", {"at": "2026-11-25T10:00:00.000Z"})
        _by_position(connection, "token_call", {})
        assert connection.execute("SELECT token_calls FROM session").fetchall() == [(1,)]


def test_an_abandoned_journal_is_recognised_by_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.touch(mode=0o600)
    assert not database.was_left(path)
    database.mark_left(path)
    assert database.was_left(path)
    database.unmark(path)
    assert not database.was_left(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_read_only_archived_journal_is_not_abandoned(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.touch(mode=0o600)
    path.chmod(0o444)
    assert not database.was_left(path)
