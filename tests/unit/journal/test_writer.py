"""The journal's writer: commits in groups, in order, and each waiting caller gets the result."""

import sqlite3
import threading
from concurrent.futures import CancelledError, Future
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue

import pytest

from orchestrator.errors import StorageError
from orchestrator.journal import checksum, database
from orchestrator.journal import writer as writers
from orchestrator.journal.writer import FallbackConnection, ThreadWriter
from tests.inline_writer import InlineWriter
from tests.unit.fallback_connections import BIG, add, no_room_for_more, sessions

PATIENCE = 60.0
"""Seconds after which a wait for the other thread is a failure."""


class Watched(FallbackConnection):
    """Counts its commits, signals each, and can be blocked in the first."""

    def __init__(self, connection: sqlite3.Connection, **options: object) -> None:
        super().__init__(connection, **options)  # type: ignore[arg-type]
        self.groups: list[int] = []
        self.committed = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.entered = threading.Event()

    def commit(self, group):
        self.entered.set()
        assert self.may_go_on.wait(PATIENCE)
        result = super().commit(group)
        self.groups.append(len(group))
        self.committed.set()
        return result


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def connection(path):
    return Watched(database.create(path))


@pytest.fixture
def writer(connection):
    writer = ThreadWriter(connection)
    yield writer
    connection.may_go_on.set()
    writer.close()


# In the thread


def test_work_is_on_the_disk_when_its_result_is_returned(writer, path):
    writer.perform(add("a")).result(PATIENCE)
    with closing(sqlite3.connect(path)) as other:
        assert sessions(other) == ["a"]


def test_work_returns_its_result(writer):
    assert writer.perform(lambda db: db.execute("SELECT 42").fetchone()[0]).result(PATIENCE) == 42


def test_earlier_notes_are_committed_with_the_work(writer, path):
    writer.note("begin_session", at="a")
    writer.note("begin_session", at="b")
    writer.perform(lambda db: None).result(PATIENCE)
    with closing(sqlite3.connect(path)) as other:
        assert sessions(other) == ["a", "b"]


def test_a_batched_read_waits_for_the_next_commit(writer, connection, monkeypatch):
    monkeypatch.setattr(writers, "LINGER", PATIENCE)
    writer.perform(lambda db: None).result(PATIENCE)
    writer.note("begin_session", at="a")
    read = writer.perform(sessions, batched=True)
    writer.perform(lambda db: None).result(PATIENCE)
    assert (read.result(0), connection.groups) == (["a"], [1, 3])


def test_a_batched_read_alone_is_answered(writer):
    assert writer.perform(sessions, batched=True).result(PATIENCE) == []


def test_without_a_thread_there_is_no_writer(path, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(StorageError, match="no more threads"):
        ThreadWriter(Watched(database.create(path)))


def test_notes_and_work_are_done_in_order(writer):
    for n in range(50):
        writer.note("begin_session", at=f"{n} noted")
        writer.perform(add(f"{n} performed"))
    said = [f"{n} {how}" for n in range(50) for how in ("noted", "performed")]
    assert writer.perform(sessions).result(PATIENCE) == said


def test_a_note_without_a_waiting_caller_is_committed(writer, connection):
    writer.note("begin_session", at="a")
    assert connection.committed.wait(PATIENCE)


def test_notes_during_a_commit_are_committed_as_one_group(writer, connection):
    connection.may_go_on.clear()
    writer.perform(add("first"))
    assert connection.entered.wait(PATIENCE)
    waiting = [writer.perform(add(str(n))) for n in range(30)]
    connection.may_go_on.set()
    for future in waiting:
        future.result(PATIENCE)
    assert connection.groups == [1, 30]


def test_no_note_is_lost_when_the_writer_is_closed(path):
    writer = ThreadWriter(FallbackConnection(database.create(path)))
    writer.note("begin_session", at="a")
    writer.close()
    with closing(sqlite3.connect(path)) as other:
        assert sessions(other) == ["a"]


def test_a_closed_writer_refuses_work_instead_of_leaving_it_waiting(path):
    writer = ThreadWriter(FallbackConnection(database.create(path)))
    writer.close()
    with pytest.raises(StorageError) as raised:
        writer.perform(lambda db: None)
    assert str(raised.value) == "The journal is closed: the run has ended."


def test_awaited_work_is_committed_at_once_however_long_notes_linger(path, monkeypatch):
    monkeypatch.setattr(writers, "LINGER", 100 * PATIENCE)
    writer = ThreadWriter(FallbackConnection(database.create(path)))
    writer.note("begin_session", at="a")
    assert writer.perform(sessions).result(PATIENCE) == ["a"]
    writer.note("begin_session", at="b")
    writer.close()
    with closing(sqlite3.connect(path)) as other:
        assert sessions(other) == ["a", "b"]


def test_notes_linger_until_a_caller_waits_and_linger_again_later(path, monkeypatch):
    did: SimpleQueue[str] = SimpleQueue()

    class Linger(float):
        def __radd__(self, now):
            did.put("lingers")
            return now + float(self)

    class RecordingConnection(FallbackConnection):
        def commit(self, group):
            did.put("commits")
            return super().commit(group)

    monkeypatch.setattr(writers, "LINGER", Linger(100 * PATIENCE))
    writer = ThreadWriter(RecordingConnection(database.create(path)))
    writer.note("begin_session", at="a")
    assert did.get(timeout=PATIENCE) == "lingers"
    writer.perform(lambda db: None).result(PATIENCE)
    assert did.get(timeout=PATIENCE) == "commits"
    writer.note("begin_session", at="b")
    assert did.get(timeout=PATIENCE) == "lingers"
    writer.close()


def test_a_journal_left_behind_keeps_no_process_alive(writer):
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "journal"] == [True]


def test_a_writer_without_a_failure_reports_none(writer):
    assert writer.trouble is None


def test_a_closed_journal_has_its_digest(path):
    ThreadWriter(FallbackConnection(database.create(path), home=path)).close()
    assert checksum.holds(path)


def test_an_error_in_the_work_is_raised_to_the_caller(writer):
    def work(db):
        raise ValueError("the caller's own")

    with pytest.raises(ValueError, match="the caller's own"):
        writer.perform(work).result(PATIENCE)


def test_an_error_in_the_work_rolls_back_its_writes(writer):
    def work(db):
        add("half")(db)
        raise ValueError

    writer.perform(work).exception(PATIENCE)
    assert writer.perform(sessions).result(PATIENCE) == []


def test_an_error_in_one_work_keeps_the_others_of_its_group(writer, connection):
    def work(db):
        raise ValueError

    connection.may_go_on.clear()
    writer.note("begin_session", at="noted")
    writer.perform(work)
    writer.perform(add("performed"))
    connection.may_go_on.set()
    assert writer.perform(sessions).result(PATIENCE) == ["noted", "performed"]


def test_work_of_a_cancelled_caller_is_done(writer, connection):
    connection.may_go_on.clear()
    writer.perform(lambda db: None)
    assert connection.entered.wait(PATIENCE)
    given_up: Future[int] = writer.perform(add("a"))
    given_up.cancel()
    connection.may_go_on.set()
    assert writer.perform(sessions).result(PATIENCE) == ["a"]


def test_an_invalid_note_raises_an_error_for_the_waiting_caller(path):
    writer = ThreadWriter(FallbackConnection(database.create(path)))
    writer.note("begin_session", at=2**100)
    with pytest.raises(StorageError, match=r"^The journal failed \(OverflowError: .+\)\.$"):
        writer.perform(lambda db: None).result(PATIENCE)
    with pytest.raises(StorageError, match="OverflowError"):
        writer.close()


def test_an_unknown_statement_raises_an_error_for_the_caller_and_at_the_end(path):
    writer = ThreadWriter(FallbackConnection(database.create(path)))
    writer.note(None, at="a")  # type: ignore[arg-type]  # the mistake there must be no silence about
    with pytest.raises(StorageError, match=r"^The journal failed \(KeyError: None\)\.$"):
        writer.perform(lambda db: None).result(PATIENCE)
    with pytest.raises(StorageError, match="KeyError"):
        writer.close()


def test_a_waiting_caller_gets_the_error_of_a_failed_handover(path):
    connection = Watched(database.create(path))
    connection.may_go_on.clear()
    writer = ThreadWriter(connection)
    writer.perform(lambda db: "its own").set_result("another's")
    waiting = writer.perform(lambda db: None)
    connection.may_go_on.set()
    with pytest.raises(StorageError, match=r"^The journal failed \(RuntimeError: "):
        waiting.result(PATIENCE)
    with pytest.raises(StorageError, match="RuntimeError"):
        writer.close()


def test_work_that_would_end_the_thread_ends_the_journal_loudly(path):
    def work(db):
        raise SystemExit

    writer = ThreadWriter(FallbackConnection(database.create(path)))
    with pytest.raises(StorageError, match="SystemExit"):
        writer.perform(work).result(PATIENCE)
    with pytest.raises(StorageError, match="SystemExit"):
        writer.close()


# On a disk that takes no more


def test_a_writer_continues_in_memory(path):
    fallback = FallbackConnection(database.create(path), home=path)
    no_room_for_more(fallback.connection)
    writer = ThreadWriter(fallback)
    writer.note("begin_session", at=BIG)
    assert (writer.perform(sessions).result(PATIENCE), writer.trouble is None) == ([BIG], False)
    writer.close()


@pytest.fixture
def broken():
    """A writer whose memory gave out after its disk."""
    fallback = Watched(database.in_memory(), trouble="The disk is gone.")
    no_room_for_more(fallback.connection)
    writer = ThreadWriter(fallback)
    yield writer
    fallback.may_go_on.set()
    with pytest.raises(StorageError):
        writer.close()


def test_a_waiting_caller_gets_the_error_of_a_full_memory(broken):
    broken.note("begin_session", at=BIG)
    with pytest.raises(StorageError):
        broken.perform(lambda db: None).result(PATIENCE)


def test_a_new_caller_gets_the_error_of_a_full_memory(broken):
    broken.perform(add(BIG)).exception(PATIENCE)
    with pytest.raises(StorageError):
        broken.perform(lambda db: None)


def test_a_failure_of_disk_and_memory_is_reported_with_both_causes(broken):
    with pytest.raises(StorageError) as raised:
        broken.perform(add(BIG)).result(PATIENCE)
    full = "database or disk is full"
    assert str(raised.value) == f"The journal can be neither written nor read: {full}; {full}."


def test_a_cancelled_caller_does_not_hide_the_error_from_the_others(broken):
    connection = broken._connection
    connection.may_go_on.clear()
    given_up = broken.perform(add(BIG))
    assert connection.entered.wait(PATIENCE)
    other = broken.perform(lambda db: None)
    given_up.cancel()
    connection.may_go_on.set()
    assert isinstance(other.exception(PATIENCE), StorageError)
    with pytest.raises(CancelledError):
        given_up.result(PATIENCE)


# In the caller's own thread


def test_an_inline_writer_has_committed_when_it_returns():
    connection = database.in_memory()
    writer = InlineWriter(FallbackConnection(connection))
    writer.note("begin_session", at="a")
    assert (sessions(connection), connection.in_transaction) == (["a"], False)
    writer.close()


def test_an_inline_writer_raises_an_error_in_the_work_to_the_caller():
    def work(db):
        raise ValueError

    writer = InlineWriter(FallbackConnection(database.in_memory()))
    assert isinstance(writer.perform(work).exception(0), ValueError)
    writer.close()
