"""A tenant's rows in another journal and back."""

import weakref

import pytest

from orchestrator.clock import Clock
from orchestrator.errors import StorageError
from orchestrator.journal import database, shards
from orchestrator.journal.entries import RunInfo, TenantInfo
from orchestrator.journal.journal import Journal
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.writer import FallbackConnection
from orchestrator.model import InputRow, Outcome, Problem
from orchestrator.report import Report, read_report
from tests.inline_writer import InlineWriter

AT = "2026-11-23T22:50:14.000Z"
PROBLEM = Problem(kind="timeout", message="No answer.")
INFO = RunInfo(
    "run", "run", "0", 0.0, AT, "", None, (), {},
    {name: TenantInfo(f"https://{name}.invalid") for name in ("north", "south")},
)  # fmt: skip


def key(number: int) -> str:
    return f"{number:032x}"


class Book:
    """A journal in memory."""

    def __init__(self) -> None:
        self.connection = database.in_memory()
        weakref.finalize(self, self.connection.close)
        clock = Clock(lambda: 0.0, wall=1_795_000_000.0)
        self.journal = Journal(InlineWriter(FallbackConnection(self.connection)), clock)
        self.journal.begin(INFO)
        self.journal.begin_session()

    def stop(self, seq: int, tenant: str) -> None:
        """As a stop that was tried twice and accepted, of an action that then ended."""
        journal = self.journal.of(tenant)
        journal.stop_failed(seq, AT, "track", PROBLEM, lost=True, throttled=False)
        journal.accepted(seq, AT, AT, "track", "request", 1.0, claimed=True)
        journal.completed(seq, Outcome.STOPPED, None)

    @property
    def report(self) -> Report:
        return read_report(JournalReader(self.connection))

    @property
    def outcomes(self) -> list[str]:
        return [action.outcome.value for action in self.report.actions]


@pytest.fixture
def run() -> Book:
    """Two keys of north, one of south; a key that was not sent is reported as ``not_attempted``."""
    book = Book()
    (source,) = book.journal.add_sources([("keys.csv", "keys.csv")])
    rows = [
        InputRow(number, key(number), labels={"owner": "Ada"}, tenant=name)
        for number, name in ((2, "north"), (3, "south"), (4, "north"))
    ]
    book.journal.admit(source, rows, False).result()
    return book


def shard_of(rows: shards.Rows) -> Book:
    book = Book()
    shards.put(book.journal, rows).result()
    return book


def take(run: Book, tenant: str, *, sending: bool = True) -> shards.Rows:
    return shards.hand_over(run.journal, tenant, sending=sending).result()


def merge(run: Book, shard: Book, name: str = "1/north") -> list[tuple[int, Outcome]]:
    return shards.merge(run.journal, shards.read(shard.journal).result(), name).result()


def test_a_shard_has_the_open_rows_of_its_tenant_and_no_others(run):
    run.journal.completed(1, Outcome.REJECTED, PROBLEM)
    shard = shard_of(take(run, "north"))
    assert shard.connection.execute("SELECT seq, tenant FROM action").fetchall() == [(3, "north")]


def test_keys_in_a_shard_may_have_been_stopped(run):
    take(run, "north")
    assert run.outcomes == ["unconfirmed", "not_attempted", "unconfirmed"]


def test_keys_of_a_plan_in_a_shard_were_not_sent(run):
    take(run, "north", sending=False)
    assert run.outcomes == ["not_attempted"] * 3


def test_untouched_rows_of_a_shard_are_unchanged(run):
    before = run.connection.execute("SELECT * FROM action").fetchall()
    take(run, "north")
    shards.return_untouched(run.journal, "north", "1/north").result()
    assert run.connection.execute("SELECT * FROM action").fetchall() == before


def test_merged_rows_stay_although_their_folder_was_removed_in_part(run):
    shard = shard_of(take(run, "north"))
    shard.stop(3, "north")
    shard.connection.execute("UPDATE action SET stage = 1, attempts = 1 WHERE seq = 1")  # a stop under way
    merge(run, shard)
    shards.return_untouched(run.journal, "north", "1/north").result()
    assert run.outcomes == ["unconfirmed", "not_attempted", "stopped"]


def test_the_results_of_a_shard_are_in_the_report_in_input_order(run):
    shard = shard_of(take(run, "north"))
    shard.stop(3, "north")
    merge(run, shard)
    assert run.outcomes == ["not_attempted", "not_attempted", "stopped"]
    assert [action.row for action in run.report.actions] == [2, 3, 4]
    assert run.report.actions[2].labels == {"owner": "Ada"}


def test_a_merge_returns_the_finished_keys(run):
    shard = shard_of(take(run, "north"))
    shard.stop(3, "north")
    assert merge(run, shard) == [(3, Outcome.STOPPED)]


def test_a_shards_calls_and_failures_are_counted_once_however_often_it_is_merged(run):
    shard = shard_of(take(run, "north"))
    shard.stop(3, "north")
    shard.journal.of("north").token_call()
    for _ in range(2):
        merge(run, shard)
    assert run.report.summary.calls.token == 1
    assert run.connection.execute("SELECT COUNT(*) FROM failure").fetchone() == (1,)


def test_a_later_session_has_another_shard_for_the_same_tenant(run):
    first = shard_of(take(run, "north"))
    first.journal.of("north").token_call()
    merge(run, first)
    second = shard_of(take(run, "north"))
    second.journal.of("north").token_call()
    merge(run, second, "2/north")
    assert run.report.summary.calls.token == 2


def test_the_state_of_a_tenant_comes_with_its_shard(run):
    shard = shard_of(take(run, "north"))
    shard.journal.of("north").tenant_state("aborted", "It went away.")
    merge(run, shard)
    assert isinstance(run.report.run.tenants, dict)
    assert run.report.run.tenants["north"].reason == "It went away."


def test_rows_of_another_form_are_refused_and_the_journal_continues(run):
    book = shard_of(take(run, "north"))
    shard = shards.read(book.journal).result()
    stage = shard["action"].columns.index("stage")
    shard["action"].values[0][stage] = None
    with pytest.raises(StorageError, match="1/north is damaged"):
        shards.merge(run.journal, shard, "1/north").result()
    assert run.journal.trouble is None
    assert run.outcomes == ["unconfirmed", "not_attempted", "unconfirmed"]


def test_every_table_of_a_journal_is_merged_or_belongs_to_the_run(run):
    tables = {
        name for (name,) in run.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    }
    assert tables - shards.read(run.journal).result().keys() == {
        "mark",
        "run",
        "merged",
        "source",
        "duplicate",
        "verification",
        "finding",
    }
