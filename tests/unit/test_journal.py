"""The journal: what it is told, it tells again after any end of the process."""

import asyncio
import re
import weakref
from collections.abc import Awaitable, Coroutine
from contextlib import closing
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator.clock import Clock
from orchestrator.errors import InputError, RunDirectoryError, StorageError
from orchestrator.model import InputRow, Outcome, Problem, Records, Stage
from orchestrator.store import checksum, database, entries
from orchestrator.store import journal as journals
from orchestrator.store.entries import RunInfo, SourceInfo, Standing, TenantInfo
from orchestrator.store.journal import Journal
from orchestrator.store.report import ActionEntry, Report, read_report
from orchestrator.store.writer import InlineWriter, Ledger

R = TypeVar("R")

INFO = RunInfo("run", "run", "0", 0.0, "2026-11-23T22:50:13.000Z", "https://tenant.invalid", None, (), {})
PROBLEM = Problem("locked", 50000050, 200, "locked", "request", "process")
SENT = "2026-11-23T22:50:14.000Z"
NOW = "2026-11-18T11:06:40.000Z"
"""What the clock of a :class:`Book` says all the time."""


def key(number: int) -> str:
    return f"{number:032x}"


def row(number: int, of: int | None = None, **fields: Any) -> InputRow:
    """The row on line ``number``, which holds the key number ``of``."""
    return InputRow(number, key(number if of is None else of), **fields)


class Book:
    """A journal in memory with one source, and a loop to wait on."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.runner = runner
        self.connection = database.in_memory()
        weakref.finalize(self, self.connection.close)
        self.journal = self._opened()
        self.journal.begin(INFO)
        self.journal.begin_session()
        (self.source,) = self.journal.add_sources([("keys.csv", "keys.csv")])

    def _opened(self) -> Journal:
        return Journal(InlineWriter(Ledger(self.connection)), Clock(lambda: 0.0, wall=1_795_000_000.0))

    def wait(self, what: Awaitable[R]) -> R:
        async def waiting() -> R:
            return await what

        return self.runner.run(waiting())

    def admit(self, *rows: InputRow, ranked: bool = False) -> int:
        self.source, new = self.journal.admit(self.source, rows, ranked).result()
        return new.total()

    def arm(self, most: int = 100, *, intent: bool = True) -> list[str]:
        return [armed.bulk_key for armed in self.wait(self.journal.arm(most, intent))]

    def accept(self, seq: int, *, claimed: bool = True) -> None:
        self.journal.accepted(seq, SENT, SENT, "track", "request", 1.0, claimed)

    def fail(self, seq: int, *, lost: bool = False) -> None:
        self.journal.stop_failed(seq, SENT, "track", PROBLEM, lost=lost, throttled=False)

    def reopen(self, *, kept: bool = True) -> Standing:
        """As after kill -9: the file is all that is left, and the response files, if they were ``kept``."""
        self.connection = database.copy_to_memory(self.connection)
        weakref.finalize(self, self.connection.close)
        self.journal = self._opened()
        return self.wait(self.journal.reopen(kept=lambda _: kept))

    def report(self) -> Report:
        return read_report(self.connection)

    def action(self, seq: int = 1) -> ActionEntry:
        return self.report().actions[seq - 1]


@pytest.fixture
def book():
    with asyncio.Runner() as runner:
        yield Book(runner)


# Keys in


def test_new_keys_are_counted(book):
    assert book.admit(row(2), row(3), row(4, 2)) == 2


def test_a_duplicate_stands_under_its_first_row(book):
    book.admit(row(2), row(3), row(4, 2), row(5, 2))
    assert [action.duplicate_rows for action in book.report().actions] == [[4, 5], []]


def test_a_duplicate_in_a_later_batch_stands_under_its_first_row(book):
    book.admit(row(2))
    book.admit(row(3, 2))
    assert book.action().duplicate_rows == [3]


def test_a_malformed_row_keeps_what_it_held_and_why(book):
    book.admit(InputRow(2, "x", problem="That is no key."))
    found = book.action()
    assert (found.bulk_key, found.outcome, found.error and found.error.message) == (
        "x", Outcome.MALFORMED, "That is no key.",
    )  # fmt: skip


def test_malformed_rows_that_hold_the_same_are_no_duplicates(book):
    book.admit(InputRow(2, "x", problem="no key"), InputRow(3, "x", problem="no key"))
    assert [action.row for action in book.report().actions] == [2, 3]


def test_a_malformed_row_is_never_armed(book):
    book.admit(InputRow(2, "x", problem="no key"))
    assert book.arm() == []


def test_labels_travel_into_the_report(book):
    book.admit(row(2, labels={"owner": "Ada, “the first”"}))
    assert book.action().labels == {"owner": "Ada, “the first”"}


def test_keys_are_armed_in_the_order_of_the_input(book):
    book.admit(row(2), row(3), row(4))
    assert book.arm(2) + book.arm(2) == [key(2), key(3), key(4)]


def test_keys_are_armed_by_weight_where_that_is_wanted(book):
    book.admit(row(2, weight=1.0), row(3), row(4, weight=5.0), row(5, weight=-2.0), ranked=True)
    assert book.arm() == [key(n) for n in (4, 2, 5, 3)]


def test_a_key_is_armed_once(book):
    book.admit(row(2))
    assert (book.arm(), book.arm()) == ([key(2)], [])


def test_rows_and_how_far_the_source_was_read_are_committed_together(book):
    book.admit(row(2), row(7))
    (known,) = entries.read_sources(book.connection)
    assert (known.rows, known.last_row, known.complete) == (2, 7, False)


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


def test_what_follows_a_key_in_its_row_may_change(book):
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
    book.arm()
    assert book.action().stop.attempts == 1


def test_a_stop_that_never_left_is_not_counted(book):
    book.admit(row(2))
    book.arm()
    book.journal.disarm(1, intent=True)
    assert (book.action().stop.attempts, book.action().outcome) == (0, Outcome.NOT_ATTEMPTED)


def test_a_retry_that_never_left_is_not_counted(book):
    book.admit(row(2))
    book.arm()
    book.fail(1)
    book.wait(book.journal.intend(1, retried=True))
    book.journal.disarm(1, intent=True, retried=True)
    assert (book.report().summary.calls.stop, book.report().summary.calls.retried) == (1, 0)


def test_a_stop_that_never_left_is_armed_again(book):
    book.admit(row(2))
    book.arm()
    book.journal.disarm(1, intent=True)
    assert book.arm() == [key(2)]


def test_a_failed_stop_is_the_error_of_its_action(book):
    book.admit(row(2))
    book.arm()
    book.fail(1)
    assert book.action().error == PROBLEM


def test_an_accepted_stop_takes_back_the_error_of_an_earlier_try(book):
    book.admit(row(2))
    book.arm()
    book.fail(1)
    book.accept(1)
    assert book.action().error is None


def test_every_failed_call_is_kept_for_the_audit(book):
    book.admit(row(2))
    book.arm()
    book.fail(1)
    book.accept(1)
    book.journal.read_failed(1, "status", "track", PROBLEM, throttled=True, retried=False)
    calls = book.connection.execute("SELECT call FROM failure ORDER BY rowid").fetchall()
    assert calls == [("stop",), ("status",)]


def test_a_status_that_tells_less_than_the_last_takes_nothing_back(book):
    book.admit(row(2))
    book.journal.status_read(1, "Processing", "MPU", Records(10, 4, 4, 0, 6, "status"), retried=False)
    book.journal.status_read(1, "Stopping", None, Records(), retried=False)
    found = book.action()
    assert (found.status, found.action_type, found.records.processed) == ("Stopping", "MPU", 4)


def test_both_counts_are_kept_where_file_and_status_disagree(book):
    told, counted = (Records(10, 4, 4, 0, 6, "status"), Records(10, 5, 5, 0, 5, "response_file"))
    book.admit(row(2))
    book.journal.status_read(1, "Stopped", "MPU", told, retried=False)
    book.journal.filed(1, counted, {"status": told, "response_file": counted})
    found = book.action()
    assert (found.records, found.mismatch) == (counted, {"status": told, "response_file": counted})


@pytest.mark.parametrize("claimed", [True, False])
def test_only_keys_that_nobody_holds_are_given_to_follow(book, claimed):
    book.admit(row(2))
    book.arm()
    book.accept(1, claimed=claimed)
    assert len(book.wait(book.journal.claim_following(10))) == (not claimed)


def test_a_key_is_given_to_follow_once(book):
    book.admit(row(2))
    book.arm()
    book.accept(1, claimed=False)
    book.wait(book.journal.claim_following(10))
    assert book.wait(book.journal.claim_following(10)) == []


def test_of_the_keys_to_follow_the_longest_due_are_given_first(book):
    book.admit(*(row(n) for n in range(2, 7)))
    book.arm()
    for seq, due in enumerate([5.0, 1.0, 4.0, 2.0, 3.0], 1):
        book.accept(seq)
        book.journal.spill(seq, due)
    assert {one.seq for one in book.wait(book.journal.claim_following(2))} == {2, 4}


def test_a_key_that_is_followed_comes_back_as_it_was_let_go(book):
    book.admit(row(2))
    book.arm()
    book.fail(1, lost=True)
    book.journal.follow(1, 0.0, claimed=True)
    book.journal.status_read(1, "Stopping", "MPU", Records(10, 4, 4, 0, 6, "status"), retried=False)
    book.journal.spill(1, 7.0, 3.0, 5)
    (one,) = book.wait(book.journal.claim_following(1))
    assert msgspec.structs.asdict(one) == {
        "seq": 1, "bulk_key": key(2), "attempts": 1, "due_at": 7.0, "accepted": False, "lost": True, "outcome": None,
        "output_url": None, "error": PROBLEM, "read_from": 3.0, "polls": 5,
        "counts": Records(10, 4, 4, 0, 6, "status"),
    }  # fmt: skip


# After the end of a process


def test_a_stop_that_may_have_left_when_the_process_died_may_have_worked(book):
    book.admit(row(2))
    book.arm()
    book.reopen()
    (armed,) = book.wait(book.journal.arm(1, True))
    assert (armed.lost, armed.attempts) == (True, 2)


def test_a_guarded_key_whose_stop_was_not_intended_when_the_process_died_is_as_new(book):
    book.admit(row(2))
    book.arm(intent=False)
    book.reopen()
    (armed,) = book.wait(book.journal.arm(1, True))
    assert (armed.lost, armed.attempts) == (False, 1)


def test_an_accepted_stop_is_followed_after_the_process_died_and_never_armed(book):
    book.admit(row(2))
    book.arm()
    book.accept(1)
    assert (book.reopen(), book.arm()) == (Standing(keys=1, accepted=1, waiting=0, following=1), [])


def test_seconds_of_a_dead_process_mean_nothing_to_the_next(book):
    book.admit(row(2))
    book.arm()
    book.accept(1)
    book.journal.spill(1, 500.0, 400.0, 9)
    book.reopen()
    (one,) = book.wait(book.journal.claim_following(1))
    assert (one.due_at, one.read_from, one.polls) == (0.0, None, 0)


def test_a_key_whose_response_file_was_missing_when_the_process_died_keeps_its_outcome(book):
    book.admit(row(2))
    book.arm()
    book.accept(1)
    book.journal.ended(1, Outcome.STOPPED, "https://tenant.invalid/file")
    book.reopen()
    (one,) = book.wait(book.journal.claim_following(1))
    assert (one.outcome, one.output_url) == (Outcome.STOPPED, "https://tenant.invalid/file")


@pytest.mark.parametrize("kept", [True, False])
def test_a_response_file_that_was_counted_is_fetched_again_where_it_was_not_kept(book, kept):
    book.admit(row(2))
    book.arm()
    book.accept(1)
    book.journal.ended(1, Outcome.STOPPED, "https://tenant.invalid/file")
    book.journal.filed(1, Records(1, 1, 1, 0, 0, "response_file"), None)
    book.journal.settled(1, Outcome.STOPPED, None)
    assert book.reopen(kept=kept).following == (not kept)


@pytest.mark.parametrize(
    ("outcome", "accepted", "standing"),
    [
        (Outcome.UNCONFIRMED, True, Standing(1, 1, 0, 1)),
        (Outcome.UNCONFIRMED, False, Standing(1, 0, 1, 0)),
        (Outcome.UNREACHABLE, False, Standing(1, 0, 1, 0)),
        (Outcome.REJECTED, False, Standing(1, 0, 0, 0)),
        (Outcome.SKIPPED_BY_GUARD, False, Standing(1, 0, 0, 0)),
        (Outcome.STOPPED, True, Standing(1, 1, 0, 0)),
        (Outcome.ALREADY_STOPPED, False, Standing(1, 0, 0, 0)),
    ],
)
def test_what_was_given_up_gets_another_chance_and_what_is_over_does_not(book, outcome, accepted, standing):
    book.admit(row(2))
    book.arm()
    if accepted:
        book.accept(1)
    else:
        book.fail(1, lost=outcome is Outcome.UNCONFIRMED)
    book.journal.settled(1, outcome, PROBLEM)
    assert book.reopen() == standing


def test_what_was_refused_for_its_credentials_is_tried_again_and_what_was_for_itself_is_not(book):
    book.admit(row(2), row(3))
    book.arm()
    for seq, kind in enumerate(("unauthenticated", "not_found"), start=1):
        book.journal.settled(seq, Outcome.REJECTED, Problem(kind=kind))
    book.reopen()
    assert book.arm() == [key(2)]


def test_each_session_is_counted(book):
    book.reopen()
    book.journal.begin_session()
    assert book.report().run.resumed == 1


def test_the_run_is_as_its_first_process_wrote_it(book):
    book.reopen()
    assert entries.read_run(book.connection) == INFO


def test_a_journal_without_a_run_is_told_as_such():
    with closing(database.in_memory()) as connection, pytest.raises(StorageError) as raised:
        entries.read_run(connection)
    assert str(raised.value) == "The journal holds no run: its first commit did not come through."


def test_token_calls_are_counted_with_their_session(book):
    book.journal.token_call()
    book.reopen()
    book.journal.begin_session()
    book.journal.token_call()
    assert book.report().summary.calls.token == 2


# What the report is made of


def table(book: Book, columns: str, name: str) -> list[tuple[Any, ...]]:
    return book.connection.execute(f"SELECT {columns} FROM {name} ORDER BY rowid").fetchall()


def test_a_row_without_a_weight_is_stopped_after_the_heaviest_and_the_lightest(book):
    book.admit(row(2), row(3, weight=-1e200), row(4, weight=1e200), ranked=True)
    assert book.arm() == [key(4), key(3), key(2)]


def test_weights_count_only_where_that_is_wanted(book):
    book.admit(row(2, weight=1.0), row(3, weight=5.0))
    assert book.arm() == [key(2), key(3)]


def test_how_far_a_source_is_read_grows_from_batch_to_batch(book):
    book.admit(row(2), row(3))
    book.admit(row(9))
    assert (book.source.rows, book.source.last_row) == (3, 9)
    assert entries.read_sources(book.connection) == [book.source]


def test_a_digest_goes_on_from_the_rows_before(book):
    assert entries.chained(entries.chained("", [row(2)]), [row(3)]) == entries.chained("", [row(2), row(3)])


def test_rows_of_other_tenants_are_other_rows():
    assert entries.chained("", [row(2, tenant="north")]) != entries.chained("", [row(2, tenant="south")])


def test_a_key_with_half_a_character_in_it_has_a_digest():
    assert entries.chained("", [InputRow(2, "\udcff")]) != entries.chained("", [InputRow(2, "\udcfe")])


def test_a_source_that_was_changed_is_told_with_its_name_and_how_many_rows_it_had(book):
    book.admit(row(2), row(3))
    with pytest.raises(InputError) as raised:
        entries.same_rows(book.source, "other")
    assert str(raised.value) == (
        "keys.csv is not what it was when the run was cut: its first 2 rows have changed. Resume with the input the "
        "run began with."
    )


def test_only_the_sources_that_were_added_are_given_back(book):
    added = book.journal.add_sources([("a.csv", "/a.csv"), ("-", None)])
    assert added == [SourceInfo(2, "a.csv", "/a.csv"), SourceInfo(3, "-")]


def test_a_source_that_is_given_again_takes_the_place_of_the_one_that_is_gone(book):
    book.journal.replace_source(book.source, "again.csv", "/again.csv")
    assert entries.read_sources(book.connection) == [SourceInfo(1, "again.csv", "/again.csv")]


def test_a_malformed_row_is_over_as_soon_as_it_is_read(book):
    book.admit(InputRow(2, "x", problem="no key"))
    assert book.reopen() == Standing(keys=0, accepted=0, waiting=0, following=0)
    assert book.action().error == Problem(kind="malformed", message="no key")


def test_a_duplicate_in_another_source_is_told_with_that_sources_name(book):
    book.admit(row(2))
    (other,) = book.journal.add_sources([("other.csv", "/other.csv")])
    book.journal.admit(other, [row(7, 2)], False).result()
    assert [(one.source, one.row) for one in book.action().duplicates] == [("other.csv", 7)]


def test_an_accepted_stop_is_told_with_when_and_by_which_call(book):
    book.admit(row(2))
    book.arm()
    book.journal.accepted(1, NOW, SENT, "track", "request", 1.0, True)
    stop = book.action().stop
    assert (stop.accepted_at, stop.track_id, stop.request_id) == (NOW, "track", "request")
    assert table(book, "sent_at", "action") == [(SENT,)]


def test_a_failed_stop_is_told_with_its_call_and_when_the_first_left(book):
    book.admit(row(2))
    book.arm()
    book.fail(1)
    book.journal.stop_failed(1, NOW, "other", PROBLEM, lost=False, throttled=True)
    stop = book.action().stop
    assert (stop.track_id, stop.request_id) == ("other", "request")
    assert table(book, "sent_at, lost, throttled", "action") == [(SENT, 0, 1)]


def test_a_failed_call_is_kept_with_its_key_its_time_its_kind_and_its_problem(book):
    book.admit(row(2), row(3))
    book.arm()
    book.fail(2)
    book.journal.read_failed(1, "file", "other", PROBLEM, throttled=False, retried=False)
    problem = msgspec.json.encode(PROBLEM).decode()
    assert table(book, "seq, at, call, track_id, problem", "failure") == [
        (2, NOW, "stop", "track", problem),
        (1, NOW, "file", "other", problem),
    ]


def test_calls_are_counted_by_what_they_ask_for_and_whether_they_were_tries_again_or_refused(book):
    book.admit(row(2))
    book.arm()
    book.journal.stop_failed(1, SENT, "track", PROBLEM, lost=False, throttled=True)
    book.wait(book.journal.intend(1, retried=True))
    book.accept(1)
    for _ in range(3):
        book.journal.read_failed(1, "status", "track", PROBLEM, throttled=True, retried=False)
    book.journal.status_read(1, "Stopping", "MPU", Records(), retried=True)
    book.journal.status_read(1, "Stopped", "MPU", Records(), retried=False)
    book.journal.read_failed(1, "file", "track", PROBLEM, throttled=False, retried=False)
    book.journal.file_read(1, retried=True)
    calls = book.report().summary.calls
    assert (calls.stop, calls.status, calls.file) == (2, 5, 2)
    assert (calls.retried, calls.throttled) == (3, 4)


def test_a_reading_that_failed_takes_nothing_back_of_what_was_read(book):
    told = Records(10, 4, 3, 1, 6, "status")
    book.admit(row(2))
    book.journal.status_read(1, "Processing", "MPU", told, retried=False)
    book.journal.read_failed(1, "status", "track", PROBLEM, throttled=False, retried=False)
    book.journal.file_read(1, retried=False)
    assert (book.action().records, book.action().status) == (told, "Processing")


def test_a_response_files_counts_are_each_told_as_they_are(book):
    counted = Records(21, 15, 10, 5, 6, "response_file")
    book.admit(row(2))
    book.journal.filed(1, counted, None)
    assert (book.action().records, book.action().mismatch) == (counted, msgspec.UNSET)


def test_what_is_settled_is_told_with_its_error_its_speed_and_its_time(book):
    book.admit(row(2), row(3))
    book.journal.settled(1, Outcome.WOULD_STOP, None, speed=2.5)
    book.journal.settled(2, Outcome.REJECTED, PROBLEM)
    problem = msgspec.json.encode(PROBLEM).decode()
    assert table(book, "outcome, speed, error, settled_at", "action") == [
        ("would_stop", 2.5, None, NOW),
        ("rejected", None, problem, NOW),
    ]


@pytest.mark.parametrize("claimed", [True, False])
def test_what_is_to_be_followed_is_given_out_only_when_nobody_holds_it(book, claimed):
    book.admit(row(2))
    book.arm()
    book.journal.follow(1, 4.0, claimed)
    assert [one.due_at for one in book.wait(book.journal.claim_following(10))] == [4.0] * (not claimed)


def test_an_accepted_stop_that_nobody_holds_comes_back_when_it_is_due(book):
    book.admit(row(2))
    book.arm()
    book.journal.accepted(1, SENT, SENT, "track", "request", 6.0, False)
    (one,) = book.wait(book.journal.claim_following(10))
    assert (one.due_at, one.accepted, one.lost, one.outcome, one.error) == (6.0, True, False, None, None)


def test_a_key_that_was_let_go_unread_comes_back_unread(book):
    book.admit(row(2))
    book.arm()
    book.accept(1)
    book.journal.spill(1, 5.0)
    (one,) = book.wait(book.journal.claim_following(10))
    assert (one.due_at, one.read_from, one.polls) == (5.0, None, 0)


def test_a_key_without_counts_is_followed_without_any(book):
    book.admit(row(2))
    book.journal.follow(1, 0.0, claimed=False)
    (one,) = book.wait(book.journal.claim_following(10))
    assert one.counts == Records()


def test_a_stop_that_was_not_intended_is_not_taken_back(book):
    book.admit(row(2))
    book.arm()
    book.journal.disarm(1, intent=False)
    assert table(book, "attempts, retried", "action") == [(1, 0)]


def test_the_end_of_a_session_is_told_with_its_reason_and_exit_status(book):
    book.wait(book.journal.end_session("aborted", "Too many failures.", 4))
    run = book.report().run
    assert (run.state, run.reason, run.exit_status, run.ended_at) == ("aborted", "Too many failures.", 4, NOW)


def test_a_session_begins_when_it_does(book):
    assert table(book, "started_at", "session") == [(NOW,)]


def test_pace_is_kept_as_it_stood(book):
    book.journal.paced(36, 12, 4.5, 3, 100)
    book.journal.of("north").paced(1, 0, None, 0, 2)
    assert table(book, "at, tenant, slots, in_flight, others, throttled, waiting", "pace") == [
        (NOW, "", 36, 12, 4.5, 3, 100),
        (NOW, "north", 1, 0, None, 0, 2),
    ]


# Several tenants


NORTH = TenantInfo("https://north.invalid", "entity", ("one", "two"))
SOUTH = TenantInfo("https://south.invalid")


@pytest.fixture
def fleet(book):
    """The journal of a run of two tenants."""
    book.connection.execute("DELETE FROM run")
    book.journal.begin(msgspec.structs.replace(INFO, tenants={"north": NORTH, "south": SOUTH}))
    return book


def test_the_tenants_of_a_run_are_kept_in_order_with_all_that_is_known_of_them(fleet):
    fleet.reopen()
    assert list(entries.read_run(fleet.connection).tenants.items()) == [("north", NORTH), ("south", SOUTH)]


def test_all_that_a_run_is_comes_back():
    info = RunInfo(
        "id", "plan", "1.2", 5.0, SENT, "https://tenant.invalid", "entity", ("one", "two"), {"headroom": 0.2}
    )
    with closing(database.in_memory()) as connection:
        Journal(InlineWriter(Ledger(connection)), Clock()).begin(info)
        assert entries.read_run(connection) == info


def test_the_same_key_is_one_of_each_tenant_and_armed_for_its_own(fleet):
    assert fleet.admit(row(2, tenant="north"), row(3, 2, tenant="south"), row(4, 2, tenant="south")) == 2
    north, south = (fleet.journal.of(name) for name in ("north", "south"))
    assert [one.seq for one in fleet.wait(south.arm(9, True))] == [2]
    south.follow(2, 0.0, claimed=False)
    assert fleet.wait(north.claim_following(9)) == []
    assert [one.seq for one in fleet.wait(south.claim_following(9))] == [2]


def test_new_keys_are_counted_by_tenant(fleet):
    rows = [row(2, tenant="north"), row(3, tenant="south"), row(4, tenant="south")]
    _, new = fleet.journal.admit(fleet.source, rows, False).result()
    assert new == {"north": 1, "south": 2}


def test_each_tenant_tells_how_its_part_stands_and_counts_its_own_tokens(fleet):
    fleet.journal.of("south").tenant_state("aborted", "It is gone.")
    fleet.journal.of("south").token_call()
    told = entries.read_tenants(fleet.connection)
    assert [(one.state, one.reason, one.token_calls) for one in told.values()] == [
        ("unused", None, 0),
        ("aborted", "It is gone.", 1),
    ]
    assert table(fleet, "token_calls", "session") == [(0,)]


def test_where_the_tenants_stand_is_added_up(fleet):
    fleet.admit(row(2, tenant="north"), row(3, tenant="south"), row(4, tenant="south"))
    fleet.wait(fleet.journal.of("south").arm(1, True))
    fleet.accept(2)
    assert entries.standings(fleet.connection) == {
        "north": Standing(1, 0, 1, 0),
        "south": Standing(2, 1, 1, 1),
    }
    assert fleet.reopen() == Standing(keys=3, accepted=1, waiting=2, following=1)


def test_a_response_file_is_asked_for_by_its_tenant_and_its_key(fleet):
    fleet.admit(row(2, tenant="north"), row(3, 2, tenant="south"))
    for seq in (1, 2):
        fleet.journal.ended(seq, Outcome.STOPPED, "https://tenant.invalid/file")
        fleet.journal.filed(seq, Records(1, 1, 1, 0, 0, "response_file"), None)
        fleet.journal.settled(seq, Outcome.STOPPED, None)
    standing = fleet.wait(fleet.journal.reopen(kept={f"north/{key(2)}"}.__contains__))
    assert standing.following == 1
    assert [one.seq for one in fleet.wait(fleet.journal.of("south").claim_following(9))] == [2]


def test_a_file_is_called_by_its_key_where_there_is_one_tenant():
    assert (entries.action_name("", "k"), entries.action_name("north", "k")) == ("k", "north/k")


@pytest.mark.parametrize(
    ("unprocessed", "speed", "seconds"),
    [(100, 30.0, 3.3), (0, 30.0, 0.0), (100, 0.0, None), (100, None, None), (None, 30.0, None)],
)
def test_how_long_an_action_would_go_on_is_told_where_its_speed_is_known(unprocessed, speed, seconds):
    assert entries.done_in(unprocessed, speed) == seconds


# On the disk


def test_what_is_on_the_disk_is_the_whole_journal(tmp_path):
    clock = Clock()
    journal = journals.create(tmp_path / "journal.db", clock)
    journal.begin(INFO)
    journal.begin_session()
    journal.close()
    with closing(database.reopen(tmp_path / "journal.db")) as connection:
        assert entries.read_run(connection) == INFO


def test_a_disk_that_takes_no_journal_is_told_and_the_run_is_kept_in_memory(tmp_path):
    path = tmp_path / "nowhere" / "journal.db"
    journal = journals.create(path, Clock())
    journal.begin(INFO)
    assert re.fullmatch(
        rf"No journal can be written at {re.escape(str(path))} \(.*No such file or directory.*\)\. "
        r"The run goes on and is kept in memory only\.",
        journal.trouble or "",
    )
    assert journal.perform(entries.read_run).result(20) == INFO
    journal.close()


def test_a_journal_that_is_not_there_cannot_be_reopened(tmp_path):
    with pytest.raises(RunDirectoryError):
        journals.reopen(tmp_path / "journal.db", Clock())


def test_a_journal_goes_on_where_its_last_session_ended(tmp_path):
    path = tmp_path / "journal.db"
    journal = journals.create(path, Clock())
    journal.begin(INFO)
    journal.close()
    again = journals.reopen(path, Clock(lambda: 0.0, wall=1_795_000_000.0))
    again.begin_session()
    assert again.trouble is None
    assert again.perform(entries.read_run).result(20) == INFO
    assert again.perform(lambda db: db.execute("SELECT started_at FROM session").fetchall()).result(20) == [
        (NOW,)
    ]
    again.close()
    assert checksum.holds(path)


def test_a_journal_on_a_disk_that_may_only_be_read_is_told_before_it_is_opened(tmp_path, monkeypatch):
    def read_only(path: object) -> None:
        raise OSError(30, "Read-only file system")

    path = tmp_path / "journal.db"
    journals.create(path, Clock()).close()
    monkeypatch.setattr(checksum, "remove_sum", read_only)
    with pytest.raises(StorageError) as raised:
        journals.reopen(path, Clock())
    assert str(raised.value) == f"The journal {path} cannot be written to: Read-only file system."


def test_a_journal_in_memory_commits_as_it_is_told():
    journal = journals.inline(Clock())
    journal.begin(INFO)
    journal.begin_session()
    assert journal.perform(entries.read_run).result(0) == INFO
    journal.close()


# Anything in any order


class Model:
    """What a key is, as its teller knows it."""

    def __init__(self) -> None:
        self.stage = Stage.WAITING
        self.attempts = 0
        self.accepted = False
        self.lost = False
        self.outcome: Outcome | None = None

    @property
    def left(self) -> bool:
        """Whether a stop may have left."""
        return self.attempts > 0

    @property
    def may_be_told_as(self) -> set[Outcome]:
        if self.outcome is not None:
            return {self.outcome}
        if self.accepted or self.lost or (self.left and self.stage is Stage.ARMED):
            return {Outcome.UNCONFIRMED}
        if self.left:
            refused = {Outcome.REJECTED} if self.stage is Stage.FOLLOWING else set()
            return {Outcome.UNCONFIRMED, Outcome.UNREACHABLE} | refused
        return {Outcome.NOT_ATTEMPTED}


TAKEN = st.sampled_from([Outcome.STOPPED, Outcome.COMPLETED_BEFORE_STOP, Outcome.UNCONFIRMED])
NOT_TAKEN = st.sampled_from([Outcome.ALREADY_COMPLETED, Outcome.REJECTED, Outcome.UNREACHABLE])


class AnyOrder(RuleBasedStateMachine):
    """Admits, arms, accepts, fails, follows, settles and dies, in any order; and asks what is known, after each."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.book = Book(self.runner)
        self.model: dict[str, Model] = {}
        self.rows: list[int] = []
        self.held: set[str] = set()

    def teardown(self) -> None:
        self.book.connection.close()
        self.runner.close()

    def seq(self, bulk_key: str) -> int:
        return list(self.model).index(bulk_key) + 1

    def run(self, what: Coroutine[Any, Any, R]) -> R:
        return self.runner.run(what)

    @rule(numbers=st.lists(st.integers(0, 12), min_size=1, max_size=4))
    def admit(self, numbers: list[int]) -> None:
        rows = [row(len(self.rows) + n, number) for n, number in enumerate(numbers, 2)]
        self.rows += [one.number for one in rows]
        new = {key(number): Model() for number in numbers if key(number) not in self.model}
        assert self.book.admit(*rows) == len(new)
        self.model |= new

    @rule(most=st.integers(1, 3))
    def arm(self, most: int) -> None:
        armed = self.run(self.book.journal.arm(most, True))
        waiting = [name for name, known in self.model.items() if known.stage is Stage.WAITING]
        assert [one.bulk_key for one in armed] == waiting[:most]
        for one in armed:
            known = self.model[one.bulk_key]
            known.stage = Stage.ARMED
            known.attempts += 1
            assert (one.attempts, one.lost) == (known.attempts, known.lost)
            self.held.add(one.bulk_key)

    def armed_key(self, data: st.DataObject) -> str | None:
        names = sorted(name for name in self.held if self.model[name].stage is Stage.ARMED)
        return data.draw(st.sampled_from(names)) if names else None

    def followed_key(self, data: st.DataObject) -> str | None:
        names = sorted(name for name in self.held if self.model[name].stage is Stage.FOLLOWING)
        return data.draw(st.sampled_from(names)) if names else None

    @precondition(lambda self: self.held)
    @rule(data=st.data(), claimed=st.booleans())
    def accept(self, data: st.DataObject, claimed: bool) -> None:
        if name := self.armed_key(data):
            self.book.accept(self.seq(name), claimed=claimed)
            self.model[name].accepted, self.model[name].stage = True, Stage.FOLLOWING
            self.held -= set() if claimed else {name}

    @precondition(lambda self: self.held)
    @rule(data=st.data(), lost=st.booleans(), again=st.booleans())
    def fail(self, data: st.DataObject, lost: bool, again: bool) -> None:
        if name := self.armed_key(data):
            self.book.fail(self.seq(name), lost=lost)
            self.model[name].lost |= lost
            if again:
                self.run(self.book.journal.intend(self.seq(name), retried=True))
                self.model[name].attempts += 1
            else:
                self.book.journal.follow(self.seq(name), 0.0, claimed=True)
                self.model[name].stage = Stage.FOLLOWING

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def disarm(self, data: st.DataObject) -> None:
        if name := self.armed_key(data):
            self.book.journal.disarm(self.seq(name), intent=True)
            self.model[name].attempts -= 1
            self.model[name].stage = Stage.WAITING
            self.held.remove(name)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def spill(self, data: st.DataObject) -> None:
        if name := self.followed_key(data):
            self.book.journal.spill(self.seq(name), 1.0)
            self.held.remove(name)

    @rule(most=st.integers(1, 5))
    def claim(self, most: int) -> None:
        claimed = {one.bulk_key for one in self.run(self.book.journal.claim_following(most))}
        free = {n for n, known in self.model.items() if known.stage is Stage.FOLLOWING and n not in self.held}
        assert claimed <= free
        assert len(claimed) == min(most, len(free))
        self.held |= claimed

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        if name := self.followed_key(data):
            known = self.model[name]
            known.outcome = data.draw(TAKEN if known.accepted or known.lost else NOT_TAKEN)
            known.stage = Stage.OVER
            needs_a_person = known.outcome in (Outcome.UNCONFIRMED, Outcome.REJECTED, Outcome.UNREACHABLE)
            self.book.journal.settled(self.seq(name), known.outcome, PROBLEM if needs_a_person else None)
            self.held.remove(name)

    @rule()
    def die_and_reopen(self) -> None:
        standing = self.book.reopen()
        self.held.clear()
        for known in self.model.values():
            if known.stage is Stage.ARMED and known.left:
                known.lost = True
            given_up = known.outcome in (Outcome.UNCONFIRMED, Outcome.UNREACHABLE)
            if given_up or known.stage in (Stage.ARMED, Stage.FOLLOWING):
                known.outcome = None
                known.stage = Stage.FOLLOWING if known.accepted else Stage.WAITING
        stages = [known.stage for known in self.model.values()]
        assert standing == Standing(
            keys=len(self.model),
            accepted=sum(known.accepted for known in self.model.values()),
            waiting=stages.count(Stage.WAITING),
            following=stages.count(Stage.FOLLOWING),
        )

    @invariant()
    def the_report_tells_every_row_once_and_every_key_by_how_far_it_came(self) -> None:
        report = self.book.report()
        assert (
            sorted(n for action in report.actions for n in (action.row, *action.duplicate_rows)) == self.rows
        )
        for action in report.actions:
            known = self.model[action.bulk_key]
            assert action.stop.attempts == known.attempts
            assert action.outcome in known.may_be_told_as
        told = [action.outcome for action in report.actions]
        assert report.summary.outcomes == {outcome: told.count(outcome) for outcome in set(told)}
        assert report.summary.calls.stop == sum(action.stop.attempts for action in report.actions)


test_any_order = AnyOrder.TestCase
test_any_order.settings = hypothesis_settings(stateful_step_count=30)
