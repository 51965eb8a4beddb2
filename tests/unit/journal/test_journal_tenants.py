"""The journal of a run of several tenants."""

from contextlib import closing

import msgspec
import pytest

from orchestrator.clock import Clock
from orchestrator.journal import database, entries
from orchestrator.journal.entries import Counts, RunInfo, TenantInfo
from orchestrator.journal.journal import Journal
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.writer import FallbackConnection
from orchestrator.model import Outcome, Records
from tests.inline_writer import InlineWriter
from tests.unit.journal_book import INFO, SENT, key, row, table

NORTH = TenantInfo("https://north.invalid", "entity", ("one", "two"))
SOUTH = TenantInfo("https://south.invalid")


@pytest.fixture
def book(book):
    """The journal of a run of two tenants."""
    book.connection.execute("DELETE FROM run")
    book.journal.begin(msgspec.structs.replace(INFO, tenants={"north": NORTH, "south": SOUTH}))
    return book


def test_the_tenants_of_a_run_are_kept_in_order_with_their_details(book):
    book.reopen()
    assert list(JournalReader(book.connection).run().tenants.items()) == [("north", NORTH), ("south", SOUTH)]


def test_every_property_of_a_run_is_read_back():
    info = RunInfo(
        "id", "plan", "1.2", 5.0, SENT, "https://tenant.invalid", "entity", ("one", "two"), {"headroom": 0.2}
    )
    with closing(database.in_memory()) as connection:
        Journal(InlineWriter(FallbackConnection(connection)), Clock()).begin(info)
        assert JournalReader(connection).run() == info


def test_the_same_key_is_claimed_for_each_tenant(book):
    assert book.admit(row(2, tenant="north"), row(3, 2, tenant="south"), row(4, 2, tenant="south")) == 2
    north, south = (book.journal.of(name) for name in ("north", "south"))
    assert [one.seq for one in book.wait(south.claim(9, True))] == [2]
    south.start_polling(2, 0.0, claimed=False)
    assert book.wait(north.claim_parked(9)) == []
    assert [one.seq for one in book.wait(south.claim_parked(9))] == [2]


def test_new_keys_are_counted_by_tenant(book):
    rows = [row(2, tenant="north"), row(3, tenant="south"), row(4, tenant="south")]
    _, new = book.journal.admit(book.source, rows, False).result()
    assert new == {"north": 1, "south": 2}


def test_each_tenant_has_its_own_counts_and_tokens(book):
    book.journal.of("south").tenant_state("aborted", "It is gone.")
    book.journal.of("south").token_call()
    tenants = JournalReader(book.connection).tenants()
    assert [(one.state, one.reason, one.token_calls) for one in tenants.values()] == [
        ("unused", None, 0),
        ("aborted", "It is gone.", 1),
    ]
    assert table(book, "token_calls", "session") == [(0,)]


def ends(book, state: str, reason: str | None = None) -> list[tuple[str, str | None]]:
    """The state of the tenants after this end of the session."""
    book.wait(book.journal.end_session(state, reason, 0))
    return [(one.state, one.reason) for one in JournalReader(book.connection).tenants().values()]


def test_a_killed_tenant_without_open_keys_is_finished(book):
    book.admit(row(2, tenant="north"))
    book.journal.of("north").tenant_state("running", None)
    book.journal.completed(1, Outcome.STOPPED, None)
    assert ends(book, "interrupted", "By a signal.") == [("finished", None), ("unused", None)]


def test_a_tenant_not_resumed_after_a_kill_ends_as_its_session(book):
    book.admit(row(2, tenant="north"))
    book.journal.of("north").tenant_state("running", None)
    assert ends(book, "interrupted", "By a signal.") == [("interrupted", "By a signal."), ("unused", None)]


def test_in_a_run_that_is_finished_no_tenant_is_still_interrupted(book):
    book.journal.of("north").tenant_state("interrupted", "By a signal.")
    assert ends(book, "finished") == [("finished", None), ("unused", None)]


def test_an_abandoned_tenant_stays_abandoned_if_another_is_cut(book):
    book.journal.of("north").tenant_state("aborted", "It is gone.")
    assert ends(book, "interrupted", "By a signal.") == [("aborted", "It is gone."), ("unused", None)]


def test_the_counts_of_the_tenants_are_added_up(book):
    book.admit(row(2, tenant="north"), row(3, tenant="south"), row(4, tenant="south"))
    book.wait(book.journal.of("south").claim(1, True))
    book.accept(2)
    assert JournalReader(book.connection).counts_by_tenant() == {
        "north": Counts(1, 0, 1, 0),
        "south": Counts(2, 1, 1, 1),
    }
    assert book.reopen() == Counts(keys=3, accepted=1, waiting=2, polling=1)


def test_a_response_file_is_asked_for_by_its_tenant_and_its_key(book):
    book.admit(row(2, tenant="north"), row(3, 2, tenant="south"))
    for seq in (1, 2):
        book.journal.ended(seq, Outcome.STOPPED, "https://tenant.invalid/file")
        book.journal.filed(seq, Records(1, 1, 1, 0, 0, "response_file"), None)
        book.journal.completed(seq, Outcome.STOPPED, None)
    counts = book.wait(book.journal.reopen(kept={f"north/{key(2)}"}.__contains__))
    assert {name: one.polling for name, one in counts.items()} == {"north": 0, "south": 1}
    assert [one.seq for one in book.wait(book.journal.of("south").claim_parked(9))] == [2]


def test_a_file_is_called_by_its_key_where_there_is_one_tenant():
    assert (entries.action_name("", "k"), entries.action_name("north", "k")) == ("k", "north/k")


@pytest.mark.parametrize(
    ("unprocessed", "speed", "seconds"),
    [(100, 30.0, 3.3), (0, 30.0, 0.0), (100, 0.0, None), (100, None, None), (None, 30.0, None)],
)
def test_the_time_left_of_an_action_is_reported_if_its_speed_is_known(unprocessed, speed, seconds):
    assert entries.done_in(unprocessed, speed) == seconds
