"""The journal returns the keys and calls that were recorded."""

import pytest

from orchestrator.action import Action, Attempts, Step
from orchestrator.errors import InputError
from orchestrator.journal import entries
from orchestrator.journal.reader import JournalReader
from orchestrator.model import ActionState, InputRow, Outcome, Records, Status
from tests.unit.journal_book import PROBLEM, key, row

# Keys in


def test_new_keys_are_counted(book):
    assert book.admit(row(2), row(3), row(4, 2)) == 2


def test_a_duplicate_is_listed_under_its_first_row(book):
    book.admit(row(2), row(3), row(4, 2), row(5, 2))
    assert [action.duplicate_rows for action in book.report().actions] == [[4, 5], []]


def test_a_duplicate_in_a_later_batch_is_listed_under_its_first_row(book):
    book.admit(row(2))
    book.admit(row(3, 2))
    assert book.action().duplicate_rows == [3]


def test_a_malformed_row_keeps_its_text_and_its_problem(book):
    book.admit(InputRow(2, "x", problem="That is no key."))
    found = book.action()
    assert (found.bulk_key, found.outcome, found.error and found.error.message) == (
        "x", Outcome.MALFORMED, "That is no key.",
    )  # fmt: skip


def test_malformed_rows_with_equal_text_are_no_duplicates(book):
    book.admit(InputRow(2, "x", problem="no key"), InputRow(3, "x", problem="no key"))
    assert [action.row for action in book.report().actions] == [2, 3]


def test_a_malformed_row_is_never_claimed(book):
    book.admit(InputRow(2, "x", problem="no key"))
    assert book.claim() == []


def test_labels_are_in_the_report(book):
    book.admit(row(2, labels={"owner": "Ada, “the first”"}))
    assert book.action().labels == {"owner": "Ada, “the first”"}


def test_keys_are_claimed_in_input_order(book):
    book.admit(row(2), row(3), row(4))
    assert book.claim(2) + book.claim(2) == [key(2), key(3), key(4)]


def test_keys_are_claimed_by_weight_if_requested(book):
    book.admit(row(2, weight=1.0), row(3), row(4, weight=5.0), row(5, weight=-2.0), ranked=True)
    assert book.claim() == [key(n) for n in (4, 2, 5, 3)]


def test_a_key_is_claimed_once(book):
    book.admit(row(2))
    assert (book.claim(), book.claim()) == ([key(2)], [])


def test_rows_and_how_far_the_source_was_read_are_committed_together(book):
    book.admit(row(2), row(7))
    (known,) = JournalReader(book.connection).sources()
    assert (known.rows, known.complete) == (2, False)
    assert book.connection.execute("SELECT last_row FROM source").fetchall() == [(7,)]


def test_rows_read_again_are_recognised(book):
    rows = [row(2), row(3), InputRow(5, "x", problem="no key")]
    book.admit(*rows)
    entries.same_rows(book.source, entries.chained("", rows))


@pytest.mark.parametrize(
    "changed",
    [[row(2), row(4, 3)], [row(2), row(3, 9)], [row(3), row(2)], [row(2)], [row(2), row(3), row(4)], []],
    ids=["line", "key", "order", "fewer", "more", "none"],
)
def test_a_source_that_was_changed_is_refused(book, changed):
    book.admit(row(2), row(3))
    with pytest.raises(InputError, match="not what it was"):
        entries.same_rows(book.source, entries.chained("", changed))


def test_text_after_a_key_in_its_row_may_change(book):
    book.admit(row(2, labels={"owner": "Ada"}))
    entries.same_rows(book.source, entries.chained("", [row(2, labels={"owner": "Bob"})]))


def test_several_sources_keep_their_names_and_their_order(book):
    book.journal.add_sources([("a.csv", "/a.csv"), ("-", None)])
    assert [source.name for source in book.report().run.sources] == ["keys.csv", "a.csv", "-"]


def test_a_source_that_was_read_to_its_end_has_its_digest(book):
    book.journal.source_complete(book.source, "abc")
    assert book.report().run.sources[0].sha256 == "abc"


# Calls


def test_the_intent_of_a_stop_is_counted_before_it_leaves(book):
    book.admit(row(2))
    book.claim()
    assert book.action().stop.attempts == 1


def test_a_stop_that_never_left_is_not_counted(book):
    book.admit(row(2))
    book.claim()
    book.journal.release(1, intent=True)
    assert (book.action().stop.attempts, book.action().outcome) == (0, Outcome.NOT_ATTEMPTED)


def test_a_retry_that_never_left_is_not_counted(book):
    book.admit(row(2))
    book.claim()
    book.fail(1)
    book.wait(book.journal.record_intent(1, retried=True))
    book.journal.release(1, intent=True, retried=True)
    assert (book.report().summary.calls.stop, book.report().summary.calls.retried) == (1, 0)


def test_a_stop_that_never_left_is_claimed_again(book):
    book.admit(row(2))
    book.claim()
    book.journal.release(1, intent=True)
    assert book.claim() == [key(2)]


def test_a_failed_stop_is_the_error_of_its_action(book):
    book.admit(row(2))
    book.claim()
    book.fail(1)
    assert book.action().error == PROBLEM


def test_an_accepted_stop_clears_the_error_of_an_earlier_attempt(book):
    book.admit(row(2))
    book.claim()
    book.fail(1)
    book.accept(1)
    assert book.action().error is None


def test_every_failed_call_is_kept_for_the_audit(book):
    book.admit(row(2))
    book.claim()
    book.fail(1)
    book.accept(1)
    book.journal.read_failed(1, "status", "track", PROBLEM, throttled=True, retried=False)
    calls = book.connection.execute("SELECT call FROM failure ORDER BY rowid").fetchall()
    assert calls == [("stop",), ("status",)]


def test_a_status_with_less_data_keeps_the_earlier_data(book):
    book.admit(row(2))
    book.journal.status_read(
        1, ActionState(Status.PROCESSING, "MPU", records=Records(10, 4, 4, 0, 6, "status")), retried=False
    )
    book.journal.status_read(1, ActionState(Status.STOPPING, None), retried=False)
    found = book.action()
    assert (found.status, found.action_type, found.records.processed) == ("Stopping", "MPU", 4)


def test_both_counts_are_kept_where_file_and_status_disagree(book):
    polled, counted = (Records(10, 4, 4, 0, 6, "status"), Records(10, 5, 5, 0, 5, "response_file"))
    book.admit(row(2))
    book.journal.status_read(1, ActionState(Status.STOPPED, "MPU", records=polled), retried=False)
    book.journal.filed(1, counted, {"status": polled, "response_file": counted})
    found = book.action()
    assert (found.records, found.mismatch) == (counted, {"status": polled, "response_file": counted})


@pytest.mark.parametrize("claimed", [True, False])
def test_only_unclaimed_keys_are_returned_for_polling(book, claimed):
    book.admit(row(2))
    book.claim()
    book.accept(1, claimed=claimed)
    assert len(book.wait(book.journal.claim_parked(10))) == (not claimed)


def test_a_key_is_returned_for_polling_once(book):
    book.admit(row(2))
    book.claim()
    book.accept(1, claimed=False)
    book.wait(book.journal.claim_parked(10))
    assert book.wait(book.journal.claim_parked(10)) == []


def test_the_longest_due_keys_are_returned_for_polling_first(book):
    book.admit(*(row(n) for n in range(2, 7)))
    book.claim()
    for seq, due in enumerate([5.0, 1.0, 4.0, 2.0, 3.0], 1):
        book.accept(seq)
        book.journal.park(seq, due)
    assert {one.seq for one in book.wait(book.journal.claim_parked(2))} == {2, 4}


def test_a_parked_key_returns_unchanged(book):
    book.admit(row(2))
    book.claim()
    book.fail(1, lost=True)
    book.journal.start_polling(1, 0.0, claimed=True)
    book.journal.status_read(
        1, ActionState(Status.STOPPING, "MPU", records=Records(10, 4, 4, 0, 6, "status")), retried=False
    )
    book.journal.park(1, 7.0, 3.0, 5)
    (one,) = book.wait(book.journal.claim_parked(1))
    assert one == Action(
        1, key(2), Step.POLL, possibly_stopped=True, stops=Attempts(made=1, counted=1), due=7.0, problem=PROBLEM,
        action_type="MPU", counts=Records(10, 4, 4, 0, 6, "status"), first_polled_at=3.0, polls=5,
    )  # fmt: skip
