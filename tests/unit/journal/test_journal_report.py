"""The journal as the source of the report."""

import msgspec
import pytest

from orchestrator.errors import InputError
from orchestrator.journal import entries
from orchestrator.journal.entries import Counts, SourceInfo
from orchestrator.journal.reader import JournalReader
from orchestrator.model import ActionState, InputRow, Outcome, Problem, Provenance, Reading, Records, Status
from tests.unit.journal_book import NOW, PROBLEM, SENT, key, row, table


def test_a_row_without_a_weight_is_stopped_after_the_heaviest_and_the_lightest(book):
    book.admit(row(2), row(3, weight=-1e200), row(4, weight=1e200), ranked=True)
    assert book.claim() == [key(4), key(3), key(2)]


def test_weights_count_only_if_requested(book):
    book.admit(row(2, weight=1.0), row(3, weight=5.0))
    assert book.claim() == [key(2), key(3)]


def test_how_far_a_source_is_read_grows_from_batch_to_batch(book):
    book.admit(row(2), row(3))
    book.admit(row(9))
    assert book.source.rows == 3
    assert JournalReader(book.connection).sources() == [book.source]


def test_a_digest_continues_from_the_rows_before(book):
    assert entries.chained(entries.chained("", [row(2)]), [row(3)]) == entries.chained("", [row(2), row(3)])


def test_rows_of_other_tenants_have_other_digests():
    assert entries.chained("", [row(2, tenant="north")]) != entries.chained("", [row(2, tenant="south")])


def test_a_digest_equals_that_of_earlier_journals():
    """With another, no run that was cut before an update could be resumed after it."""
    rows = [InputRow(2, key(2)), InputRow(4, "\udcff"), InputRow(5, key(5), tenant="north")]
    assert entries.chained("", rows) == "fe096d1f6bb393f4"


def test_a_key_with_half_a_character_has_a_digest():
    assert entries.chained("", [InputRow(2, "\udcff")]) != entries.chained("", [InputRow(2, "\udcfe")])


def test_a_changed_source_is_named_with_its_number_of_rows(book):
    book.admit(row(2), row(3))
    with pytest.raises(InputError) as raised:
        entries.same_rows(book.source, "other")
    assert str(raised.value) == (
        "keys.csv is not what it was when the run was cut: its first 2 rows have changed. Resume with the input the "
        "run began with."
    )


def test_only_added_sources_are_returned(book):
    added = book.journal.add_sources([("a.csv", "/a.csv"), ("-", None)])
    assert added == [SourceInfo(2, "a.csv", "/a.csv"), SourceInfo(3, "-")]


def test_a_source_given_again_replaces_the_missing_one(book):
    book.journal.replace_source(book.source, "again.csv", "/again.csv")
    assert JournalReader(book.connection).sources() == [SourceInfo(1, "again.csv", "/again.csv")]


def test_a_malformed_row_is_complete_once_it_is_read(book):
    book.admit(InputRow(2, "x", problem="no key"))
    assert book.reopen() == Counts(keys=0, accepted=0, waiting=0, polling=0)
    assert book.action().error == Problem(kind="malformed", message="no key")


def test_a_duplicate_in_another_source_names_that_source(book):
    book.admit(row(2))
    (other,) = book.journal.add_sources([("other.csv", "/other.csv")])
    book.journal.admit(other, [row(7, 2)], False).result()
    assert [(one.source, one.row) for one in book.action().duplicates] == [("other.csv", 7)]


def test_an_accepted_stop_is_reported_with_time_and_call(book):
    book.admit(row(2))
    book.claim()
    book.journal.accepted(1, NOW, SENT, "track", "request", 1.0, True)
    stop = book.action().stop
    assert (stop.accepted_at, stop.track_id, stop.request_id) == (NOW, "track", "request")
    assert table(book, "sent_at", "action") == [(SENT,)]


def test_a_failed_stop_is_reported_with_its_call_and_first_time(book):
    book.admit(row(2))
    book.claim()
    book.fail(1)
    book.journal.stop_failed(1, NOW, "other", PROBLEM, lost=False, throttled=True)
    stop = book.action().stop
    assert (stop.track_id, stop.request_id) == ("other", "request")
    assert table(book, "sent_at, lost, throttled", "action") == [(SENT, 0, 1)]


def test_a_failed_call_is_kept_with_key_time_kind_and_problem(book):
    book.admit(row(2), row(3))
    book.claim()
    book.fail(2)
    book.journal.read_failed(1, "file", "other", PROBLEM, throttled=False, retried=False)
    problem = msgspec.json.encode(PROBLEM).decode()
    assert table(book, "seq, at, call, track_id, problem", "failure") == [
        (2, NOW, "stop", "track", problem),
        (1, NOW, "file", "other", problem),
    ]


def test_calls_are_counted_by_kind_retries_and_refusals(book):
    book.admit(row(2))
    book.claim()
    book.journal.stop_failed(1, SENT, "track", PROBLEM, lost=False, throttled=True)
    book.wait(book.journal.record_intent(1, retried=True))
    book.accept(1)
    for _ in range(3):
        book.journal.read_failed(1, "status", "track", PROBLEM, throttled=True, retried=False)
    book.journal.status_read(1, ActionState(Status.STOPPING, "MPU"), retried=True)
    book.journal.status_read(1, ActionState(Status.STOPPED, "MPU"), retried=False)
    book.journal.read_failed(1, "file", "track", PROBLEM, throttled=False, retried=False)
    book.journal.file_read(1, retried=True)
    calls = book.report().summary.calls
    assert (calls.stop, calls.status, calls.file) == (2, 5, 2)
    assert (calls.retried, calls.throttled) == (3, 4)


def test_a_failed_poll_keeps_the_earlier_status(book):
    records = Records(10, 4, 3, 1, 6, "status")
    book.admit(row(2))
    book.journal.status_read(1, ActionState(Status.PROCESSING, "MPU", records=records), retried=False)
    book.journal.read_failed(1, "status", "track", PROBLEM, throttled=False, retried=False)
    book.journal.file_read(1, retried=False)
    assert (book.action().records, book.action().status) == (records, "Processing")


def test_each_count_of_a_response_file_is_reported(book):
    counted = Records(21, 15, 10, 5, 6, "response_file")
    book.admit(row(2))
    book.journal.filed(1, counted, None)
    assert (book.action().records, book.action().mismatch) == (counted, None)


def test_a_completed_key_is_reported_with_error_speed_and_time(book):
    book.admit(row(2), row(3))
    book.journal.completed(1, Outcome.WOULD_STOP, None, speed=2.5)
    book.journal.completed(2, Outcome.REJECTED, PROBLEM)
    problem = msgspec.json.encode(PROBLEM).decode()
    assert table(book, "outcome, speed, error, settled_at", "action") == [
        ("would_stop", 2.5, None, NOW),
        ("rejected", None, problem, NOW),
    ]


def test_a_final_poll_is_reported_as_an_earlier_poll_is(book):
    records = Records(10, 4, 3, 1, 6, "status")
    book.admit(row(2), row(3))
    book.journal.status_read(1, ActionState(Status.STOPPED, "MassPriceUpdate", records=records), retried=True)
    book.journal.completed(1, Outcome.STOPPED, None)
    state = ActionState(Status.STOPPED, "MassPriceUpdate", records=records)
    book.journal.completed(2, Outcome.STOPPED, None, reading=Reading(state, retried=True))
    columns = "status, action_type, total, processed, succeeded, failed, unprocessed, counts_from"
    assert table(book, f"{columns}, status_calls, retried", "action") == [
        ("Stopped", "MassPriceUpdate", 10, 4, 3, 1, 6, "status", 1, 1),
        ("Stopped", "MassPriceUpdate", 10, 4, 3, 1, 6, "status", 1, 1),
    ]


def test_an_end_without_a_poll_keeps_the_status_and_counts_no_call(book):
    records = Records(10, 4, 3, 1, 6, "status")
    book.admit(row(2))
    book.journal.status_read(
        1, ActionState(Status.STOPPING, "MassPriceUpdate", records=records), retried=False
    )
    book.journal.completed(1, Outcome.UNCONFIRMED, PROBLEM)
    action, calls = book.action(), book.report().summary.calls
    assert (action.status, action.records, calls.status, calls.retried) == ("Stopping", records, 1, 0)


@pytest.mark.parametrize("claimed", [True, False])
def test_a_key_is_returned_for_polling_only_if_it_is_unclaimed(book, claimed):
    book.admit(row(2))
    book.claim()
    book.journal.start_polling(1, 4.0, claimed)
    assert [one.due for one in book.wait(book.journal.claim_parked(10))] == [4.0] * (not claimed)


def test_an_unclaimed_accepted_stop_returns_when_it_is_due(book):
    book.admit(row(2))
    book.claim()
    book.journal.accepted(1, SENT, SENT, "track", "request", 6.0, False)
    (one,) = book.wait(book.journal.claim_parked(10))
    assert (one.due, one.accepted, one.possibly_stopped, one.outcome, one.problem) == (
        6.0,
        True,
        False,
        None,
        None,
    )


def test_a_key_released_unread_returns_unread(book):
    book.admit(row(2))
    book.claim()
    book.accept(1)
    book.journal.park(1, 5.0)
    (one,) = book.wait(book.journal.claim_parked(10))
    assert (one.due, one.first_polled_at, one.polls) == (5.0, None, 0)


def test_a_key_without_counts_is_polled_without_counts(book):
    book.admit(row(2))
    book.journal.start_polling(1, 0.0, claimed=False)
    (one,) = book.wait(book.journal.claim_parked(10))
    assert one.counts == Records()


def test_a_stop_without_an_intent_is_not_withdrawn(book):
    book.admit(row(2))
    book.claim()
    book.journal.release(1, intent=False)
    assert table(book, "attempts, retried", "action") == [(1, 0)]


def test_the_end_of_a_session_has_its_reason_and_exit_status(book):
    book.wait(book.journal.end_session("aborted", "Too many failures.", 4))
    run = book.report().run
    assert (run.state, run.reason, run.exit_status, run.ended_at) == ("aborted", "Too many failures.", 4, NOW)


def test_a_session_has_the_time_of_its_start(book):
    assert table(book, "started_at", "session") == [(NOW,)]


def test_pace_rows_are_kept_unchanged(book):
    book.journal.paced(36, 12, 4.5, 3, 100)
    book.journal.of("north").paced(1, 0, None, 0, 2)
    assert table(book, "at, tenant, slots, in_flight, others, throttled, waiting", "pace") == [
        (NOW, "", 36, 12, 4.5, 3, 100),
        (NOW, "north", 1, 0, None, 0, 2),
    ]


def test_the_report_says_who_uploaded_an_action_and_when_it_ran(book):
    book.admit(row(2))
    book.accept(1)
    early = Provenance("jane@example.com", "2026-11-23 10:00:00", "2026-11-23 10:00:05")
    book.journal.status_read(1, ActionState(Status.STOPPING, "MPU", early), retried=False)
    late = msgspec.structs.replace(early, ended_on="2026-11-23 10:05:00")
    state = ActionState(Status.STOPPED, "MPU", late)
    book.journal.completed(1, Outcome.STOPPED, None, reading=Reading(state, retried=False))
    (action,) = book.report().actions
    assert (action.uploaded_by, action.uploaded_on, action.started_on, action.ended_on) == (
        "jane@example.com", "2026-11-23 10:00:00", "2026-11-23 10:00:05", "2026-11-23 10:05:00",
    )  # fmt: skip
