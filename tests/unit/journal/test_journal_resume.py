"""The journal after the end of a process, and on the disk."""

import re
from contextlib import closing

import pytest

from orchestrator.clock import Clock
from orchestrator.errors import RunDirectoryError, StorageError
from orchestrator.journal import checksum, database
from orchestrator.journal import journal as journals
from orchestrator.journal.entries import Counts
from orchestrator.journal.reader import JournalReader
from orchestrator.model import ActionState, Outcome, Problem, Records, Status
from tests.inline_writer import inline
from tests.unit.journal_book import INFO, NOW, PROBLEM, key, row

# After the end of a process


def test_a_stop_that_may_have_left_when_the_process_died_may_have_worked(book):
    book.admit(row(2))
    book.claim()
    book.reopen()
    (claimed,) = book.wait(book.journal.claim(1, True))
    assert (claimed.possibly_stopped, book.action().stop.attempts) == (True, 2)


def test_a_guarded_key_without_an_intent_at_a_crash_is_as_new(book):
    book.admit(row(2))
    book.claim(intent=False)
    book.reopen()
    (claimed,) = book.wait(book.journal.claim(1, True))
    assert (claimed.possibly_stopped, book.action().stop.attempts) == (False, 1)


def test_an_accepted_stop_is_polled_after_a_crash_and_never_claimed(book):
    book.admit(row(2))
    book.claim()
    book.accept(1)
    assert (book.reopen(), book.claim()) == (Counts(keys=1, accepted=1, waiting=0, polling=1), [])


def test_a_stop_that_a_resumed_run_repeats_is_repeated_after_a_crash_too(book):
    """The tenant accepted it and forgot it. The action runs until another stop."""
    book.admit(row(2))
    book.claim()
    book.accept(1)
    book.journal.status_read(1, ActionState(Status.PROCESSING), retried=False)
    book.journal.completed(1, Outcome.UNCONFIRMED, PROBLEM)
    book.reopen()
    assert book.claim() == [key(2)]
    book.reopen()
    assert book.claim() == [key(2)]


def test_the_clock_of_an_ended_process_is_not_used_by_the_next(book):
    book.admit(row(2))
    book.claim()
    book.accept(1)
    book.journal.park(1, 500.0, 400.0, 9)
    book.reopen()
    (one,) = book.wait(book.journal.claim_parked(1))
    assert (one.due, one.first_polled_at, one.polls) == (0.0, None, 0)


def test_a_key_whose_response_file_was_missing_when_the_process_died_keeps_its_outcome(book):
    book.admit(row(2))
    book.claim()
    book.accept(1)
    book.journal.ended(1, Outcome.STOPPED, "https://tenant.invalid/file")
    book.reopen()
    (one,) = book.wait(book.journal.claim_parked(1))
    assert (one.outcome, one.output_url) == (Outcome.STOPPED, "https://tenant.invalid/file")


@pytest.mark.parametrize("kept", [True, False])
def test_a_response_file_that_was_counted_is_fetched_again_where_it_was_not_kept(book, kept):
    book.admit(row(2))
    book.claim()
    book.accept(1)
    book.journal.ended(1, Outcome.STOPPED, "https://tenant.invalid/file")
    book.journal.filed(1, Records(1, 1, 1, 0, 0, "response_file"), None)
    book.journal.completed(1, Outcome.STOPPED, None)
    assert book.reopen(kept=kept).polling == (not kept)


@pytest.mark.parametrize(
    ("outcome", "accepted", "counts"),
    [
        (Outcome.UNCONFIRMED, True, Counts(1, 1, 0, 1)),
        (Outcome.UNCONFIRMED, False, Counts(1, 0, 1, 0)),
        (Outcome.UNREACHABLE, False, Counts(1, 0, 1, 0)),
        (Outcome.NOT_ATTEMPTED, False, Counts(1, 0, 1, 0)),
        (Outcome.REJECTED, False, Counts(1, 0, 0, 0, not_over=1)),
        (Outcome.SKIPPED_BY_GUARD, False, Counts(1, 0, 0, 0, not_over=1)),
        (Outcome.STOPPED, True, Counts(1, 1, 0, 0)),
        (Outcome.ALREADY_STOPPED, False, Counts(1, 0, 0, 0)),
    ],
)
def test_abandoned_keys_are_retried_and_finished_keys_are_not(book, outcome, accepted, counts):
    book.admit(row(2))
    book.claim()
    if accepted:
        book.accept(1)
    else:
        book.fail(1, lost=outcome is Outcome.UNCONFIRMED)
    book.journal.completed(1, outcome, PROBLEM)
    assert book.reopen() == counts


def test_keys_refused_for_their_credentials_are_retried_and_rejected_keys_are_not(book):
    book.admit(row(2), row(3))
    book.claim()
    for seq, kind in enumerate(("unauthenticated", "not_found"), start=1):
        book.journal.completed(seq, Outcome.REJECTED, Problem(kind=kind))
    book.reopen()
    assert book.claim() == [key(2)]


def test_each_session_is_counted(book):
    book.reopen()
    book.journal.begin_session()
    assert book.report().run.resumed == 1


def test_the_run_keeps_the_values_of_its_first_process(book):
    book.reopen()
    assert JournalReader(book.connection).run() == INFO


def test_a_journal_without_a_run_is_reported():
    with closing(database.in_memory()) as connection, pytest.raises(StorageError) as raised:
        JournalReader(connection).run()
    assert str(raised.value) == "The journal holds no run: its first commit did not come through."


def test_token_calls_are_counted_with_their_session(book):
    book.journal.token_call()
    book.reopen()
    book.journal.begin_session()
    book.journal.token_call()
    assert book.report().summary.calls.token == 2


# On the disk


def test_the_disk_has_the_whole_journal(tmp_path):
    clock = Clock()
    journal = journals.create(tmp_path / "journal.db", clock)
    journal.begin(INFO)
    journal.begin_session()
    journal.close()
    with closing(database.reopen(tmp_path / "journal.db")) as connection:
        assert JournalReader(connection).run() == INFO


def test_a_disk_that_refuses_the_journal_is_reported_and_memory_is_used(tmp_path):
    path = tmp_path / "nowhere" / "journal.db"
    journal = journals.create(path, Clock())
    journal.begin(INFO)
    assert re.fullmatch(
        rf"No journal can be written at {re.escape(str(path))} \(No such file or directory\)\. "
        r"The run goes on and is kept in memory only\.",
        journal.trouble or "",
    )
    assert journal.read(JournalReader.run).result(60) == INFO
    journal.close()


def test_a_journal_in_memory_is_written_to_the_disk_at_the_end(tmp_path):
    path = tmp_path / "not yet" / "journal.db"
    journal = journals.create(path, Clock())
    journal.begin(INFO)
    path.parent.mkdir()
    journal.close()
    with closing(database.reopen(path)) as connection:
        assert JournalReader(connection).run() == INFO


def test_a_missing_journal_cannot_be_reopened(tmp_path):
    with pytest.raises(RunDirectoryError):
        journals.reopen(tmp_path / "journal.db", Clock())


def test_a_journal_continues_after_its_last_session(tmp_path):
    path = tmp_path / "journal.db"
    journal = journals.create(path, Clock())
    journal.begin(INFO)
    journal.close()
    again = journals.reopen(path, Clock(lambda: 0.0, wall=1_795_000_000.0))
    again.begin_session()
    assert again.trouble is None
    assert again.read(JournalReader.run).result(60) == INFO
    assert again.perform(lambda db: db.execute("SELECT started_at FROM session").fetchall()).result(60) == [
        (NOW,)
    ]
    again.close()
    assert checksum.holds(path)


def test_a_read_only_disk_is_reported_before_the_journal_is_opened(tmp_path, monkeypatch):
    def read_only(path: object) -> None:
        raise OSError(30, "Read-only file system")

    path = tmp_path / "journal.db"
    journals.create(path, Clock()).close()
    monkeypatch.setattr("orchestrator.journal.writer.JournalFile", read_only)
    with pytest.raises(StorageError) as raised:
        journals.reopen(path, Clock())
    assert str(raised.value) == f"The journal {path} cannot be written to: Read-only file system."


def test_a_journal_in_memory_commits_on_request():
    journal = inline(Clock())
    journal.begin(INFO)
    journal.begin_session()
    assert journal.read(JournalReader.run).result(0) == INFO
    journal.close()
