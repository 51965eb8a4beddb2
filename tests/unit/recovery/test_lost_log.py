"""A journal whose latest commits are lost: its report, and the claims that it drops."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.clock import Clock
from orchestrator.errors import StorageError
from orchestrator.journal import database, mark
from orchestrator.journal import journal as journals
from orchestrator.journal.database import NotBegun
from orchestrator.journal.recovery.opening import open_for_report, open_for_resume, open_undamaged
from tests.hunts.disk.journals import INFO, KEYS, make, reported
from tests.journal_files import change_as_killed, lose_log, remove_digest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed journal."""
    return make(tmp_path, killed=False)


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A journal as kill -9 leaves it: rows in the file, everything else in the log."""
    return make(tmp_path, killed=True)


@pytest.fixture
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A killed journal of another run."""
    return make(tmp_path_factory.mktemp("other"), killed=True)


def outcomes(path: Path) -> set[str]:
    return {action["outcome"] for action in reported(path).actions.values()}


def put_log_of(other: Path, path: Path) -> None:
    """Puts the log of ``other`` beside ``path``, as a wrong backup would."""
    lose_log(path)
    shutil.copyfile(mark.log_of(other), mark.log_of(path))


def test_a_copy_without_the_log_calls_no_key_unattempted(killed):
    lose_log(killed)
    assert outcomes(killed) == {"unconfirmed", "malformed"}


def test_a_copy_without_the_log_says_that_the_log_is_missing(killed):
    lose_log(killed)
    assert "ends before its run did: its log journal.db-wal is missing" in reported(killed).sentences[0]


def test_a_log_without_a_commit_counts_as_missing(killed):
    log = mark.log_of(killed)
    log.write_bytes(log.read_bytes()[:3000])
    assert outcomes(killed) == {"unconfirmed", "malformed"}


def test_an_empty_log_counts_as_missing(killed):
    lose_log(killed)
    mark.log_of(killed).touch()
    assert outcomes(killed) == {"unconfirmed", "malformed"}


def test_the_report_does_not_change_a_journal_without_its_log(killed):
    lose_log(killed)
    before = killed.read_bytes(), killed.stat()
    reported(killed)
    assert (killed.read_bytes(), killed.stat()[:6], killed.stat().st_mtime_ns) == (
        before[0], before[1][:6], before[1].st_mtime_ns,
    )  # fmt: skip
    assert sorted(path.name for path in killed.parent.iterdir()) == ["journal.db"]


def test_the_report_does_not_change_a_killed_journal_and_its_log(killed):
    before = {path.name: path.read_bytes() for path in killed.parent.iterdir()}
    reported(killed)
    assert {path.name: path.read_bytes() for path in killed.parent.iterdir()} == before


def test_a_resumed_journal_still_reports_its_loss(killed):
    lose_log(killed)
    reader = open_for_resume(killed.parent)
    sentences = list(reader.missing)
    reader.close()
    assert "is missing" in sentences[0]
    assert reported(killed).sentences == []
    assert outcomes(killed) == {"unconfirmed", "malformed"}


def test_keys_read_after_the_loss_may_have_been_stopped_too(killed):
    """The lost commits may have held their rows and their stops."""
    change_as_killed(drop_log(killed), "UPDATE source SET complete = 0")
    lose_log(drop_log(killed))
    open_for_resume(killed.parent).close()
    with closing(database.read_only(killed)) as connection:
        assert connection.execute("SELECT doubted FROM source").fetchall() == [(1,)]


def drop_log(path: Path) -> Path:
    """Lets SQLite move the log into the file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def test_a_plan_that_lost_its_log_sent_nothing(killed):
    drop_log(killed)
    change_as_killed(killed, f"UPDATE action SET stage = 0 WHERE seq = {KEYS}")
    with closing(sqlite3.connect(killed)) as connection:
        connection.execute("UPDATE run SET command = 'plan'")
        connection.commit()
    lose_log(killed)
    assert "not_attempted" in outcomes(killed)


def test_a_plan_that_lost_its_log_is_not_used(killed):
    lose_log(killed)
    with pytest.raises(StorageError, match="is missing"):
        open_undamaged(killed.parent)


def test_an_open_journal_without_rows_and_log_reports_no_result(tmp_path):
    path = tmp_path / "journal.db"
    database.create(path).close()
    remove_digest(path)
    for opened in (open_for_report, open_for_resume):
        with pytest.raises(StorageError, match="It is not known whether anything was sent") as raised:
            opened(tmp_path)
        assert not isinstance(raised.value, NotBegun)


def test_a_run_killed_before_its_first_commit_sent_nothing(tmp_path):
    path = tmp_path / "journal.db"
    connection = database.create(path)
    shutil.copytree(tmp_path, tmp_path / "killed")
    connection.close()
    for opened in (open_for_report, open_for_resume):
        with pytest.raises(NotBegun, match="nothing was sent"):
            opened(tmp_path / "killed")


def test_a_run_killed_right_after_its_first_commit_keeps_it(tmp_path, monkeypatch):
    """The digest is still there, and the log adds to the file."""
    path = tmp_path / "journal.db"
    monkeypatch.setattr("orchestrator.journal.file.JournalFile.begin", lambda _: False)
    journal = journals.create(path, Clock())
    journal.begin(INFO)
    journal.begin_session()
    journal.add_sources([("keys.csv", None)])
    shutil.copytree(tmp_path, tmp_path / "killed")
    journal.close()
    reader = open_for_resume(tmp_path / "killed")
    sentences = list(reader.missing)
    with reader:
        assert [source.name for source in reader.sources()] == ["keys.csv"]
    assert sentences == []


# A log that does not belong to the journal


def test_the_log_of_another_journal_is_not_applied(killed, other):
    truth = reported(killed)
    put_log_of(other, killed)
    found = reported(killed)
    assert "belongs to another journal" in found.sentences[0]
    assert {action["bulk_key"] for action in found.actions.values()} == {
        action["bulk_key"] for action in truth.actions.values()
    }
    assert outcomes(killed) == {"unconfirmed", "malformed"}


def test_the_log_of_another_journal_beside_a_closed_one_is_ignored_and_named(path, other):
    truth = reported(path)
    put_log_of(other, path)
    found = reported(path)
    assert found.actions == truth.actions
    assert "journal.db-wal belongs to another journal" in found.sentences[0]


@pytest.mark.parametrize("closed", [True, False])
def test_nothing_is_resumed_while_the_log_of_another_journal_is_there(tmp_path, other, closed):
    path = make(tmp_path, killed=not closed)
    put_log_of(other, path)
    before = path.read_bytes(), mark.log_of(path).read_bytes()
    with pytest.raises(StorageError, match="move it away"):
        open_for_resume(path.parent)
    assert (path.read_bytes(), mark.log_of(path).read_bytes()) == before


def test_a_log_older_than_the_journal_is_not_applied(killed):
    """As when the file was restored from a later copy than the log."""
    old = mark.log_of(killed).read_bytes()
    drop_log(killed)
    for _ in range(3):
        change_as_killed(drop_log(killed), "UPDATE session SET token_calls = token_calls + 1")
    drop_log(killed)
    mark.log_of(killed).write_bytes(old)
    assert "belongs to another journal or to another time" in reported(killed).sentences[0]


def test_a_log_that_starts_after_the_end_of_the_journal_is_not_applied(killed):
    """As when the file was copied before a checkpoint and the log after it."""
    early = killed.read_bytes()
    for _ in range(2):
        change_as_killed(drop_log(killed), "UPDATE session SET token_calls = token_calls + 1")
    killed.write_bytes(early)
    assert "belongs to another journal or to another time" in reported(killed).sentences[0]
    assert outcomes(killed) == {"unconfirmed", "malformed"}


def test_the_log_of_a_database_with_other_pages_is_not_applied(killed, tmp_path):
    strange = tmp_path / "strange.db"
    with closing(sqlite3.connect(strange)) as connection:
        connection.execute("PRAGMA page_size = 1024")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
        put_log_of(strange, killed)
    assert "belongs to another journal" in reported(killed).sentences[0]


def test_a_journal_and_its_log_copied_together_lose_nothing(killed, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (killed, mark.log_of(killed)):
        shutil.copyfile(path, copy / path.name)
    assert reported(copy / "journal.db") == reported(killed)
    assert reported(killed).sentences == []
