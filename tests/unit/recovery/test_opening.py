"""A journal with damage: its report says so, and it is not resumed."""

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from orchestrator.clock import Clock
from orchestrator.errors import RunDirectoryError, StorageError
from orchestrator.journal import checksum, database
from orchestrator.journal import journal as journals
from orchestrator.journal.database import sql
from orchestrator.journal.recovery.opening import open_for_report, open_for_resume
from orchestrator.journal.writer import FallbackConnection
from orchestrator.report import read_report
from tests.hunts.disk.journals import KEYS, SETTLED, make, reported
from tests.journal_files import change_as_killed, remove_digest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal that was closed in good order."""
    return make(tmp_path, killed=False)


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A journal as kill -9 leaves it: a part in the file, a part in the log."""
    return make(tmp_path, killed=True)


def change(path: Path, statement: str) -> None:
    """Changes the journal without the product, as if its process was killed then."""
    change_as_killed(path, statement)


def change_statement(path: Path, name: str, was: str, now: str) -> None:
    """Changes how a table, an index or a view is made, and nothing that it holds."""
    change_as_killed(
        path, "UPDATE sqlite_schema SET sql = replace(sql, ?, ?) WHERE name = ?", (was, now, name)
    )


def outcomes(path: Path) -> dict[int, str]:
    return {row: action["outcome"] for row, action in reported(path).actions.items()}


def test_a_complete_journal_has_no_damage(path):
    reader = open_for_report(path.parent)
    sentences = list(reader.missing)
    reader.close()
    assert sentences == []


def test_opening_a_journal_does_not_change_it(path):
    before = path.read_bytes()
    reported(path)
    assert path.read_bytes() == before


def test_a_session_removes_the_digest_after_its_first_commit(path):
    """Until then the file alone holds everything, and no stop was sent."""
    journal = journals.reopen(path, Clock())
    assert checksum.holds(path)
    journal.begin_session()
    journal.perform(lambda _: None).result()
    assert checksum.holds(path) is None
    journal.close()
    assert checksum.holds(path)


def test_an_open_journal_without_its_log_has_lost_it(path):
    remove_digest(path)
    assert "its log journal.db-wal is missing" in reported(path).sentences[0]


def test_a_completed_row_that_was_changed_is_unconfirmed(path):
    change(path, "UPDATE action SET succeeded = 37 WHERE seq = 2")
    assert outcomes(path) | {3: "unconfirmed"} == outcomes(path)
    assert list(outcomes(path).values()).count("stopped") == SETTLED - 1


def test_the_row_that_was_changed_is_named(path):
    change(path, "UPDATE action SET accepted_at = '2026-11-24T00:00:00.000Z' WHERE seq = 2")
    assert "rows cannot be trusted (row 3, " in " ".join(reported(path).sentences)


def test_a_row_that_was_made_stopped_is_not_reported_as_stopped(path):
    change(path, f"UPDATE action SET outcome = 'stopped', settled_at = '2026' WHERE seq = {KEYS}")
    assert outcomes(path)[KEYS + 1] == "unconfirmed"


def test_a_complete_journal_of_a_killed_process_is_resumed(killed):
    reader = open_for_resume(killed.parent)
    sentences = list(reader.missing)
    reader.close()
    assert sentences == []


def test_a_damaged_index_of_the_log_does_not_claim_missing_frames(killed):
    index = killed.with_name("journal.db-shm")
    header = bytearray(index.read_bytes())
    header[16:20] = b"\xff" * 4  # the number of frames, in the first of two copies
    index.write_bytes(header)
    reader = open_for_resume(killed.parent)
    sentences = list(reader.missing)
    reader.close()
    assert sentences == []


def test_a_queue_without_the_waiting_rows_is_not_resumed(path):
    """Else a key might never be sent, or one that a guard had let off."""
    change_statement(path, "action_waiting", "stage = 0", "stage = 9")
    change(path, f"UPDATE action SET stage = 1 WHERE seq = {KEYS}")
    change_statement(path, "action_waiting", "stage = 9", "stage = 0")
    with pytest.raises(StorageError, match="wrong # of entries in index action_waiting"):
        open_for_resume(path.parent)


@pytest.mark.parametrize(
    ("was", "now"), [("outcome", "outcomf"), ("'unconfirmed'", "'unconfirmee'"), ("stage <> 2", "stage <> 3")]
)
def test_changed_tables_of_a_journal_are_reported(path, was, now):
    """The view from which rows are reported is in the journal too."""
    change_statement(path, "reported_action", was, now)
    found = reported(path)
    assert "its tables are not what they were made" in found.sentences[0]
    assert len(found.actions) == KEYS + 1


def test_other_letters_in_status_or_labels_are_no_damage(path):
    change(path, "UPDATE action SET status = 'Größe', labels = '{\"Team\":\"Zoë\"}' WHERE seq = 12")
    assert reported(path).sentences == []


def test_a_changed_key_is_reported(path):
    change(path, f"UPDATE action SET bulk_key = '{'f' * 32}' WHERE seq = {KEYS}")
    assert "A row or a key of keys.csv was changed" in " ".join(reported(path).sentences)


def test_a_missing_row_is_reported(path):
    change(path, f"DELETE FROM action WHERE seq = {KEYS}")
    assert "1 of the 14 rows of keys.csv are lost" in " ".join(reported(path).sentences)


def test_a_changed_unused_byte_is_reported(path):
    data = bytearray(path.read_bytes())
    place = data.index(bytes(200)) + 100
    data[place] ^= 1
    path.write_bytes(data)
    assert "its digest does not match" in reported(path).sentences[0]


def test_a_damaged_journal_is_not_resumed(path):
    change(path, "UPDATE action SET succeeded = 37 WHERE seq = 2")
    with pytest.raises(StorageError, match=r"mass-stop report .* shows what can be read"):
        open_for_resume(path.parent)


def test_a_damaged_journal_is_not_modified(path):
    change(path, "UPDATE action SET succeeded = 37 WHERE seq = 2")
    before = path.read_bytes()
    reported(path)
    assert path.read_bytes() == before


def test_an_unreadable_journal_is_reported_as_damaged(path):
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(StorageError, match="nothing can be read from it"):
        open_for_report(path.parent)


def test_a_directory_without_a_journal_contains_no_run(tmp_path):
    with pytest.raises(RunDirectoryError, match="holds no run"):
        open_for_report(tmp_path)


@pytest.mark.parametrize("name", ["report.json", "report.json/run", "missing", "a" * 300])
def test_a_path_that_is_no_directory_contains_no_run(tmp_path, name):
    (tmp_path / "report.json").touch()
    with pytest.raises(RunDirectoryError, match=r"^\S+ (is a file|holds no run)"):
        open_for_report(tmp_path / name)


def test_an_empty_file_beside_a_log_is_not_modified(killed):
    """SQLite would delete the log."""
    killed.write_bytes(b"")
    log = killed.with_name("journal.db-wal")
    before = log.read_bytes()
    with pytest.raises(StorageError, match="damaged"):
        open_for_report(killed.parent)
    assert log.read_bytes() == before


# A journal that ends before its run did


@pytest.fixture
def shortened(killed: Path) -> Path:
    """The log lost its end, with what was committed last."""
    log = killed.with_name("journal.db-wal")
    log.write_bytes(log.read_bytes()[:-1])
    return killed


def test_a_truncated_log_is_reported(shortened):
    assert "ends before its run did" in reported(shortened).sentences[0]


def test_unsent_keys_of_a_shortened_journal_are_unconfirmed(shortened):
    """Otherwise stopped actions would be reported as not_attempted."""
    assert "not_attempted" not in outcomes(shortened).values()


def test_the_finding_is_the_same_when_the_journal_is_opened_again(shortened):
    reported(shortened)
    assert "not_attempted" not in outcomes(shortened).values()


def test_a_shortened_journal_is_resumed(shortened):
    reader = open_for_resume(shortened.parent)
    sentences = list(reader.missing)
    reader.close()
    assert len(sentences) == 1


def test_a_killed_process_leaves_a_complete_journal(killed):
    assert reported(killed).sentences == []


@pytest.fixture
def left(path: Path) -> Path:
    """The disk was full. The run continued in memory, and its end never reached the disk."""
    fallback = FallbackConnection(database.reopen(path), home=path)
    pages = fallback.connection.execute("PRAGMA page_count").fetchone()[0]
    fallback.connection.execute(f"PRAGMA max_page_count = {pages}")
    fallback.commit([("begin_session", {"at": "x" * 100_000})])
    fallback.connection.close()
    return path


def test_a_run_marks_its_abandoned_journal_on_a_full_disk(left):
    assert stat.S_IMODE(left.stat().st_mode) == 0o600 | stat.S_ISVTX


def test_unsent_keys_of_an_abandoned_journal_are_unconfirmed(left):
    assert "not_attempted" not in outcomes(left).values()


def test_a_resume_removes_the_mark_of_an_abandoned_journal(left):
    reader = open_for_resume(left.parent)
    reader.close()
    assert stat.S_IMODE(left.stat().st_mode) == 0o600
    assert "not_attempted" not in outcomes(left).values()


@pytest.fixture(params=["left", "shortened"])
def on_a_full_disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal that ends before its run did, on a disk that takes nothing."""
    path: Path = request.getfixturevalue(request.param)
    reopen = database.reopen

    def full(path: Path, *, shared: bool = False) -> sqlite3.Connection:
        connection = reopen(path, shared=shared)
        connection.execute("PRAGMA query_only = ON")
        return connection

    monkeypatch.setattr(database, "reopen", full)
    return path


def test_nothing_is_resumed_on_a_full_disk_before_there_is_room(on_a_full_disk):
    with pytest.raises(StorageError, match="Make room on the disk"):
        open_for_resume(on_a_full_disk.parent)


def test_results_from_a_full_disk_are_known_once_there_is_room(on_a_full_disk, monkeypatch):
    with pytest.raises(StorageError):
        open_for_resume(on_a_full_disk.parent)
    monkeypatch.undo()
    reader = open_for_resume(on_a_full_disk.parent)
    sentences = list(reader.missing)
    reader.close()
    assert "ends before its run did" in sentences[0]
    assert "not_attempted" not in outcomes(on_a_full_disk).values()


def test_unsent_keys_of_an_abandoned_damaged_journal_are_unconfirmed(left):
    change(left, "UPDATE action SET succeeded = 37 WHERE seq = 2")
    assert "is damaged" in reported(left).sentences[0]
    assert "not_attempted" not in outcomes(left).values()


def test_an_abandoned_damaged_journal_is_not_called_empty(left):
    left.write_bytes(b"\xff" * 16 + left.read_bytes()[16:])
    assert "is damaged" in reported(left).sentences[0]
    assert len(outcomes(left)) >= KEYS


def test_a_journal_that_cannot_be_created_leaves_no_file(tmp_path, monkeypatch):
    """Otherwise the report would say that the run was cut before it began, and that nothing was sent."""

    def no_room(connection):
        connection.close()
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as full:
        full.setattr(database, "_with_schema", no_room)
        with pytest.raises(sqlite3.OperationalError):
            database.create(tmp_path / "journal.db")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_does_not_say_that_nothing_was_sent(tmp_path):
    path = tmp_path / "journal.db"
    path.touch()
    for opened in (open_for_report, open_for_resume):
        with pytest.raises(StorageError, match="It is not known whether anything was sent"):
            opened(tmp_path)


def test_a_closed_journal_without_rows_belongs_to_a_run_that_never_began(tmp_path):
    database.create(tmp_path / "journal.db").close()
    with pytest.raises(StorageError, match="before it began"):
        open_for_report(tmp_path)


def test_a_checksum_covers_every_field_of_a_completed_action():
    """A column that is new is either in the seal or named here, where one reads why it need not be."""
    with closing(database.in_memory()) as connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(action)")}
    sealed = sql("broken_seals").partition("seal(")[2].partition("LIMIT")[0]
    uncovered = {name for name in columns if f"{name}," not in sealed.replace(")", ",").replace(" ", "")}
    assert uncovered == {
        "held_by_group",  # at most the unprocessed records, which are sealed
        "seq", "rank", "stage", "seal",  # the place in the queue, and the seal itself
        "position",  # the digest of the source covers the order of its rows
        "malformed",  # only for the index, which SQLite checks; it follows from the outcome
        "claimed", "due_at", "read_from", "polls", "output_url", "sent_at",  # of the session at work
        "action_type", "provenance", "track_id", "counts_from", "mismatch", "speed",  # beside the evidence
        "status_calls", "file_calls", "retried", "throttled", "hedged",  # counts of calls
    }  # fmt: skip


def test_the_report_of_a_damaged_journal_adds_up(path):
    change(path, "UPDATE action SET succeeded = 37 WHERE seq = 2")
    reader = open_for_report(path.parent)
    report = read_report(reader)
    reader.close()
    assert sum(report.summary.outcomes.values()) == len(report.actions)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE run SET started_at = '2026-11\r23T22:50:13.000Z'",
        "UPDATE run SET org_ids = '[\"a\"'",
        "UPDATE session SET state = 'finishee'",
        "UPDATE action SET sent_at = '2026-11-23T22:50:1$.000Z'",
        "UPDATE action SET labels = '{' WHERE seq = 12",
        "UPDATE action SET outcome = 'stoppee' WHERE seq = 1",
        "UPDATE action SET outcome = 'stoppee' WHERE seq = 12",
        "UPDATE action SET error = '{}' WHERE seq = 12",
        "UPDATE action SET mismatch = '{\"file\":1}' WHERE seq = 12",
        "UPDATE action SET track_id = CAST(X'FF' AS TEXT) WHERE seq = 1",
        "UPDATE action SET total = 1.5 WHERE seq = 12",
        "UPDATE action SET source = 9 WHERE seq = 12",
        "DELETE FROM session",
        "DELETE FROM source",
        "DELETE FROM run",
    ],
)
def test_invalid_values_are_reported_as_damage_without_a_traceback(path, statement):
    change(path, statement)
    found = reported(path)
    assert "is damaged" in found.sentences[0]
    assert set(found.actions) >= set(range(2, KEYS + 2))


@pytest.mark.parametrize("change_of", ["succeeded = 1 << 62 WHERE seq > 10", "retried = 'x' WHERE seq = 12"])
def test_counts_that_cannot_be_added_are_reported(path, change_of):
    change(path, f"UPDATE action SET {change_of}")
    assert "is damaged" in reported(path).sentences[0]
