"""The connection continues in memory when its disk fails, and returns to the disk. And the file behind it."""

import shutil
import sqlite3
import stat
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.atomic import sync_directory
from orchestrator.errors import RunDirectoryError, StorageError
from orchestrator.journal import database
from orchestrator.journal.recovery.opening import open_for_report
from orchestrator.journal.writer import FallbackConnection
from tests.unit.fallback_connections import BIG, add, no_room_for_more, sessions


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def full(path):
    """A fallback with something in it, on a disk without room for more."""
    fallback = FallbackConnection(database.create(path), home=path)
    fallback.commit([("begin_session", {"at": "before"})])
    no_room_for_more(fallback.connection)
    yield fallback
    fallback.connection.close()


def test_a_full_disk_is_reported(full):
    full.commit([("begin_session", {"at": BIG})])
    assert "full" in full.trouble


def test_writes_during_the_disk_failure_are_kept(full):
    full.commit([("begin_session", {"at": "small"}), ("begin_session", {"at": BIG})])
    assert sessions(full.connection) == ["before", "small", BIG]


def test_writes_after_the_disk_failure_are_kept(full):
    full.commit([("begin_session", {"at": BIG})])
    full.commit([("begin_session", {"at": BIG + "later"})])
    assert sessions(full.connection) == ["before", BIG, BIG + "later"]


def test_work_started_before_the_disk_failure_is_done_once(full):
    future: Future[object] = Future()
    full.commit([(add("work"), future), ("begin_session", {"at": BIG})])
    assert sessions(full.connection).count("work") == 1


def test_a_journal_in_memory_is_copied_back_when_the_disk_has_room(full, path):
    full.commit([("begin_session", {"at": BIG})])
    database.copy_to_file(full.connection, path)
    with closing(database.reopen(path)) as again:
        assert sessions(again) == ["before", BIG]


def test_a_disk_failure_is_reported_as_a_sentence(full):
    full.commit([("begin_session", {"at": BIG})])
    assert full.trouble == (
        "The journal can no longer be written (database or disk is full). The run goes on and is kept in memory only."
    )


def test_a_failure_of_both_disk_and_memory_is_reported(path):
    fallback = FallbackConnection(database.create(path))
    with pytest.raises(StorageError, match=r"^The journal cannot be kept, not even in memory: NOT NULL"):
        fallback.commit([("begin_session", {"at": None})])
    fallback.close()


STEPS = ("a sync before the log goes", "the log", "the index", "a sync before the rename")


@pytest.mark.parametrize("step", range(len(STEPS)), ids=STEPS)
def test_copying_a_journal_back_can_be_cut_at_any_step(full, path, monkeypatch, step):
    """Both the old journal's log and the new journal are needed, and only one of them can be there: see database.py."""
    taken = iter(range(len(STEPS)))

    class Cut(Exception):
        pass

    def cut(doing):
        def wrapped(*values, **named):
            if next(taken, None) == step:
                raise Cut
            return doing(*values, **named)

        return wrapped

    full.commit([("begin_session", {"at": BIG})])
    monkeypatch.setattr(database, "sync_directory", cut(sync_directory))
    real = Path.unlink
    monkeypatch.setattr(
        Path, "unlink", lambda file, **how: (cut(real) if "journal.db-" in file.name else real)(file, **how)
    )
    with pytest.raises(Cut):
        database.copy_to_file(full.connection, path)
    monkeypatch.undo()
    database.finish_replacing(path)
    with closing(database.reopen(path)) as again:
        assert sessions(again) == ["before", BIG]


def test_closing_copies_a_journal_back_to_its_disk(full, path):
    full.commit([("begin_session", {"at": BIG})])
    full.close()
    with closing(database.reopen(path)) as again:
        assert sessions(again) == ["before", BIG]


def test_opening_a_journal_that_was_copied_back_changes_nothing(full, path):
    """Its digest holds it to every byte."""
    full.commit([("begin_session", {"at": BIG})])
    full.close()
    before = path.read_bytes()
    database.reopen(path).close()
    assert path.read_bytes() == before


def test_only_the_owner_can_read_a_journal_that_was_copied_back(full, path):
    full.commit([("begin_session", {"at": BIG})])
    full.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_journal_that_cannot_be_copied_back_leaves_the_disk_unchanged(full, path):
    full.commit([("begin_session", {"at": BIG})])
    path.with_suffix(".fresh").mkdir()
    with pytest.raises(OSError, match="fresh"):
        database.copy_to_file(full.connection, path)
    with closing(database.reopen(path)) as again:
        assert sessions(again) == ["before"]


def test_a_journal_without_room_at_the_end_leaves_the_disk_unchanged(full, path, monkeypatch):
    def no_room(connection, path):
        raise sqlite3.OperationalError("database or disk is full")

    full.commit([("begin_session", {"at": BIG})])
    monkeypatch.setattr(database, "copy_to_file", no_room)
    full.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        sessions(full.connection)
    with closing(database.reopen(path)) as again:
        assert sessions(again) == ["before"]


# The file


def test_a_journal_is_made_for_its_owner_only(path):
    database.create(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_journal_is_not_made_over_another(path):
    database.create(path).close()
    with pytest.raises(FileExistsError):
        database.create(path)


def test_a_commit_is_synced_before_a_call_leaves(path):
    """FULL (2) with a write-ahead log: SQLite syncs it at every commit."""
    with closing(database.create(path)) as connection:
        found = [
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        ]
    assert found == ["wal", 2]


def test_a_journal_of_a_later_version_is_refused(path):
    with closing(database.create(path)) as connection:
        connection.execute(f"PRAGMA user_version = {database.FORM + 1}")
    with pytest.raises(RunDirectoryError, match=f"form {database.FORM + 1}"):
        database.reopen(path)


def test_a_directory_without_a_journal_contains_no_run(path):
    with pytest.raises(RunDirectoryError, match="holds no run"):
        database.reopen(path)


def test_a_file_that_is_no_database_cannot_be_read_as_a_journal(path):
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StorageError, match="cannot be read"):
        database.reopen(path)


def test_an_empty_file_is_no_journal(path):
    path.touch()
    with pytest.raises(StorageError, match="is empty or is no journal"):
        database.reopen(path)


def test_a_symbolic_link_is_not_taken_for_a_journal(path, tmp_path):
    database.create(tmp_path / "other.db").close()
    path.symlink_to(tmp_path / "other.db")
    with pytest.raises(RunDirectoryError):
        database.reopen(path)


RUN = {
    "id": "run", "command": "run", "version": "0", "process_started_at": 0.0, "started_at": "2026-11-23T22:50:13.000Z",
    "base_url": "https://tenant.invalid", "entity_id": None, "org_ids": "[]", "settings": "{}",
}  # fmt: skip


# Files that another program removes or replaces during a run


@pytest.fixture
def fallback(path):
    fallback = FallbackConnection(database.create(path), home=path)
    fallback.commit([("begin_session", {"at": "before"})])
    yield fallback
    fallback.close()


@pytest.mark.parametrize("names", [["journal.db"], ["journal.db-wal"], ["journal.db", "journal.db-wal"]])
def test_removed_files_are_written_again_at_the_next_commit(fallback, path, names):
    for name in names:
        path.with_name(name).unlink()
    fallback.commit([("begin_session", {"at": "after"})])
    fallback.commit([("begin_session", {"at": "later"})])
    shutil.copytree(path.parent, path.parent / "killed")
    with closing(database.reopen(path.parent / "killed" / "journal.db")) as again:
        assert sessions(again) == ["before", "after", "later"]


@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal"])
def test_removed_files_are_reported(fallback, path, name):
    path.with_name(name).unlink()
    fallback.commit([("begin_session", {"at": "after"})])
    assert fallback.trouble.startswith(f"{name} in {path.parent} was removed or replaced by another program")


def test_a_file_that_replaced_the_journal_is_kept_under_another_name(fallback, path):
    path.unlink()
    path.write_bytes(b"another")
    fallback.commit([("begin_session", {"at": "after"})])
    assert path.with_name("journal.replaced").read_bytes() == b"another"
    with closing(database.reopen(path)) as again:
        assert sessions(again) == ["before", "after"]


def test_a_journal_removed_after_the_last_commit_is_written_again_at_the_end(fallback, path):
    path.unlink()
    fallback.close()
    with closing(database.reopen(path)) as again:
        assert sessions(again) == ["before"]


def test_the_report_says_that_the_files_were_removed_until_the_run_is_resumed(fallback, path):
    path.unlink()
    fallback.commit([("begin_run", RUN), ("begin_session", {"at": "after"})])
    fallback.close()
    connection = open_for_report(path.parent)
    sentences = list(connection.missing)
    connection.close()
    assert sentences == [fallback.trouble]


def test_a_journal_whose_directory_is_gone_continues_in_memory(fallback, path):
    shutil.rmtree(path.parent)
    fallback.commit([("begin_session", {"at": "after"})])
    assert "kept in memory only" in fallback.trouble
    assert sessions(fallback.connection) == ["before", "after"]


def test_a_shared_journal_loses_nothing_while_its_directory_is_missing(tmp_path):
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    fallback = FallbackConnection(database.create(home / "journal.db", shared=True), home=home / "journal.db")
    fallback.commit([("begin_session", {"at": "before"})])
    home.rename(away)
    fallback.commit([("begin_session", {"at": "meanwhile"})])
    away.rename(home)
    fallback.commit([("begin_session", {"at": "after"})])
    fallback.close()
    assert fallback.trouble is None
    with closing(database.reopen(home / "journal.db")) as again:
        assert sessions(again) == ["before", "meanwhile", "after"]
