"""The data for the last screen: bounded, grouped, and in the order of a run by the plan."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from orchestrator.clock import Clock
from orchestrator.journal import database
from orchestrator.journal.digest import (
    NAMED,
    REASONS,
    PlanTotals,
)
from orchestrator.journal.entries import RunInfo
from orchestrator.journal.journal import Journal
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.writer import FallbackConnection
from orchestrator.model import ActionState, InputRow, Outcome, Problem, Records, Status
from orchestrator.report import read_actions
from tests.inline_writer import InlineWriter


def key(number: int) -> str:
    return f"{number:032x}"


class Book:
    """A journal in memory of a run with ``keys`` keys."""

    def __init__(self, connection: sqlite3.Connection, keys: int, command: str = "plan") -> None:
        self.connection = connection
        self.journal = Journal(InlineWriter(FallbackConnection(connection)), Clock(lambda: 0.0, wall=0.0))
        self.journal.begin(RunInfo("run-1", command, "0", 0.0, "", "https://tenant.invalid", None, (), {}))
        (source,) = self.journal.add_sources([("keys.csv", None)])
        self.journal.admit(source, [InputRow(n + 1, key(n)) for n in range(1, keys + 1)], False).result()

    def refuse(self, seq: int, outcome: Outcome = Outcome.REJECTED, code: int | None = 53900010) -> None:
        self.journal.completed(seq, outcome, Problem("no_permission", code, 200, f"You may not, {key(seq)}."))

    def see(
        self,
        seq: int,
        status: Status,
        left: int | None,
        speed: float | None,
        outcome: Outcome = Outcome.WOULD_STOP,
    ) -> None:
        records = Records(1_000, None if left is None else 1_000 - left, None, None, left, "status")
        self.journal.status_read(seq, ActionState(status, "MPU", records=records), retried=False)
        self.journal.completed(seq, outcome, None, speed)


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(database.in_memory()) as connection:
        yield connection


def test_keys_with_one_reason_are_grouped_and_the_first_is_named(connection):
    book = Book(connection, 10)
    for seq in range(2, 10):
        book.refuse(seq)
    for seq in (1, 10):
        book.journal.completed(seq, Outcome.STOPPED, None)
    (reason,) = JournalReader(connection).reasons()
    assert (reason.outcome, reason.keys, reason.code) == (Outcome.REJECTED, 8, 53900010)
    assert reason.message.startswith("You may not")
    assert [(one.bulk_key, one.source, one.row) for one in reason.named] == [
        (key(number), "keys.csv", number + 1) for number in range(2, 2 + NAMED)
    ]
    assert [one.message for one in reason.named] == [
        f"You may not, {key(number)}." for number in range(2, 2 + NAMED)
    ]


def test_the_most_frequent_reason_comes_first_and_the_rest_is_cut(connection):
    book = Book(connection, 40)
    for seq in range(1, 41):
        book.refuse(seq, code=None if seq > 20 else 53900010 + 100 * seq)
    reasons = JournalReader(connection).reasons()
    assert len(reasons) == REASONS
    assert (reasons[0].keys, reasons[0].code) == (20, None)


def test_a_key_that_was_never_sent_needs_a_person_without_a_reason(connection):
    Book(connection, 2, "run")
    (reason,) = JournalReader(connection).reasons()
    assert (reason.outcome, reason.keys, reason.message) == (Outcome.NOT_ATTEMPTED, 2, "")


def test_a_key_that_would_be_stopped_needs_no_person(connection):
    Book(connection, 1).see(1, Status.PENDING, None, None)
    assert JournalReader(connection).reasons() == []


def test_a_plan_sums_up_the_states_of_its_actions(connection):
    book = Book(connection, 5)
    book.see(1, Status.PROCESSING, 600, 5.0)
    book.see(2, Status.PROCESSING, 30, 10.0)
    book.see(3, Status.PROCESSING, 70, 0.0)
    book.see(4, Status.PENDING, None, None)
    book.see(5, Status.COMPLETED, 0, None, Outcome.ALREADY_COMPLETED)
    totals = JournalReader(connection).plan_totals()[""]
    assert (totals.processing, totals.pending, totals.stopping, totals.actions) == (3, 1, 0, 4)
    assert (totals.unprocessed, totals.still, totals.done_in) == (700, 1, 120.0)
    assert totals.within_a_minute == 300 + 30


def test_a_plan_without_actions_has_nothing_to_sum_up(connection):
    Book(connection, 1).refuse(1)
    assert JournalReader(connection).plan_totals() == {}


def test_plans_of_several_tenants_end_with_the_slowest():
    north = PlanTotals(processing=1, pending=1, unprocessed=10, done_in=20.0)
    south = PlanTotals(processing=2, stopping=1, unprocessed=5)
    both = PlanTotals(processing=3, pending=1, stopping=1, unprocessed=15, done_in=20.0)
    assert north + south == south + north == both


def test_the_first_of_a_plan_are_the_fastest(connection):
    book = Book(connection, 4)
    for seq, speed in ((1, None), (2, 1.0), (3, 8.0), (4, 0.0)):
        book.see(seq, Status.PROCESSING if speed is not None else Status.PENDING, 80, speed)
    assert [one.bulk_key for one in JournalReader(connection).plan_first(3)] == [key(3), key(2), key(4)]


@pytest.mark.parametrize(
    ("left", "speed", "seconds"), [(80, 8.0, 10.0), (80, 0.0, None), (None, None, None), (0, 8.0, 0.0)]
)
def test_a_planned_action_shows_when_it_would_complete_by_itself(connection, left, speed, seconds):
    Book(connection, 1).see(1, Status.PROCESSING, left, speed)
    (first,) = JournalReader(connection).plan_first(1)
    (action,) = read_actions(JournalReader(connection))
    assert first.done_in == seconds
    assert action.plan
    assert (action.plan.records_per_second, action.plan.remaining) == (speed, left)
    assert action.plan.done_in_seconds == seconds
