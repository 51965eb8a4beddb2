"""The journal with any events in any order, cut at any moment."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orchestrator.journal.entries import Counts
from orchestrator.model import Outcome, Stage
from tests.unit.journal_book import PROBLEM, Book, key, row

R = TypeVar("R")


class Model:
    """The state of a key in the model of the test."""

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
    def possible_outcomes(self) -> set[Outcome]:
        if self.outcome is not None:
            return {self.outcome}
        if self.accepted or self.lost or (self.left and self.stage is Stage.CLAIMED):
            return {Outcome.UNCONFIRMED}
        if self.left:
            refused = {Outcome.REJECTED} if self.stage is Stage.POLLING else set()
            return {Outcome.UNCONFIRMED, Outcome.UNREACHABLE} | refused
        return {Outcome.NOT_ATTEMPTED}


TAKEN = st.sampled_from([Outcome.STOPPED, Outcome.COMPLETED_BEFORE_STOP, Outcome.UNCONFIRMED])
NOT_TAKEN = st.sampled_from([Outcome.ALREADY_COMPLETED, Outcome.REJECTED, Outcome.UNREACHABLE])


class AnyOrder(RuleBasedStateMachine):
    """Admits, claims, accepts, fails, polls, completes and crashes, in any order; checks the journal after each."""

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
    def claim(self, most: int) -> None:
        claimed = self.run(self.book.journal.claim(most, True))
        waiting = [name for name, known in self.model.items() if known.stage is Stage.WAITING]
        assert [one.bulk_key for one in claimed] == waiting[:most]
        for one in claimed:
            known = self.model[one.bulk_key]
            known.stage = Stage.CLAIMED
            known.attempts += 1
            assert (one.intent, one.possibly_stopped) == (True, known.lost)
            assert self.book.action(one.seq).stop.attempts == known.attempts
            self.held.add(one.bulk_key)

    def claimed_key(self, data: st.DataObject) -> str | None:
        names = sorted(name for name in self.held if self.model[name].stage is Stage.CLAIMED)
        return data.draw(st.sampled_from(names)) if names else None

    def polled_key(self, data: st.DataObject) -> str | None:
        names = sorted(name for name in self.held if self.model[name].stage is Stage.POLLING)
        return data.draw(st.sampled_from(names)) if names else None

    @precondition(lambda self: self.held)
    @rule(data=st.data(), claimed=st.booleans())
    def accept(self, data: st.DataObject, claimed: bool) -> None:
        if name := self.claimed_key(data):
            self.book.accept(self.seq(name), claimed=claimed)
            self.model[name].accepted, self.model[name].stage = True, Stage.POLLING
            self.held -= set() if claimed else {name}

    @precondition(lambda self: self.held)
    @rule(data=st.data(), lost=st.booleans(), again=st.booleans())
    def fail(self, data: st.DataObject, lost: bool, again: bool) -> None:
        if name := self.claimed_key(data):
            self.book.fail(self.seq(name), lost=lost)
            self.model[name].lost |= lost
            if again:
                self.run(self.book.journal.record_intent(self.seq(name), retried=True))
                self.model[name].attempts += 1
            else:
                self.book.journal.start_polling(self.seq(name), 0.0, claimed=True)
                self.model[name].stage = Stage.POLLING

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if name := self.claimed_key(data):
            self.book.journal.release(self.seq(name), intent=True)
            self.model[name].attempts -= 1
            self.model[name].stage = Stage.WAITING
            self.held.remove(name)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def park(self, data: st.DataObject) -> None:
        if name := self.polled_key(data):
            self.book.journal.park(self.seq(name), 1.0)
            self.held.remove(name)

    @rule(most=st.integers(1, 5))
    def claim_parked(self, most: int) -> None:
        claimed = {one.bulk_key for one in self.run(self.book.journal.claim_parked(most))}
        free = {n for n, known in self.model.items() if known.stage is Stage.POLLING and n not in self.held}
        assert claimed <= free
        assert len(claimed) == min(most, len(free))
        self.held |= claimed

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        if name := self.polled_key(data):
            known = self.model[name]
            known.outcome = data.draw(TAKEN if known.accepted or known.lost else NOT_TAKEN)
            known.stage = Stage.OVER
            needs_a_person = known.outcome in (Outcome.UNCONFIRMED, Outcome.REJECTED, Outcome.UNREACHABLE)
            self.book.journal.completed(self.seq(name), known.outcome, PROBLEM if needs_a_person else None)
            self.held.remove(name)

    @rule()
    def die_and_reopen(self) -> None:
        counts = self.book.reopen()
        self.held.clear()
        for known in self.model.values():
            if known.stage is Stage.CLAIMED and known.left:
                known.lost = True
            given_up = known.outcome in (Outcome.UNCONFIRMED, Outcome.UNREACHABLE)
            if given_up or known.stage in (Stage.CLAIMED, Stage.POLLING):
                known.outcome = None
                known.stage = Stage.POLLING if known.accepted else Stage.WAITING
        stages = [known.stage for known in self.model.values()]
        assert counts == Counts(
            keys=len(self.model),
            accepted=sum(known.accepted for known in self.model.values()),
            waiting=stages.count(Stage.WAITING),
            polling=stages.count(Stage.POLLING),
        )

    @invariant()
    def the_report_has_every_row_once_with_a_possible_outcome(self) -> None:
        report = self.book.report()
        assert (
            sorted(n for action in report.actions for n in (action.row, *action.duplicate_rows)) == self.rows
        )
        for action in report.actions:
            known = self.model[action.bulk_key]
            assert action.stop.attempts == known.attempts
            assert action.outcome in known.possible_outcomes
        outcomes = [action.outcome for action in report.actions]
        assert report.summary.outcomes == {outcome: outcomes.count(outcome) for outcome in set(outcomes)}
        assert report.summary.calls.stop == sum(action.stop.attempts for action in report.actions)


test_any_order = AnyOrder.TestCase
test_any_order.settings = hypothesis_settings(stateful_step_count=30)
