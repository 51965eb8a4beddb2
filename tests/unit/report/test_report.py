"""The report: from the journal alone, after its schema, in input order, in memory that does not grow."""

import csv
import io
import json
import sqlite3
import tracemalloc
from collections.abc import Iterator
from contextlib import closing, contextmanager

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.clock import Clock
from orchestrator.errors import StorageError
from orchestrator.journal import database
from orchestrator.journal.entries import RunInfo
from orchestrator.journal.journal import Journal
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.writer import FallbackConnection
from orchestrator.model import ActionState, InputRow, Outcome, Problem, Records, Status
from orchestrator.report import Report, json_schema, read_actions, read_report, write_csv, write_json
from orchestrator.report.writing import PIECE
from tests.inline_writer import InlineWriter
from tests.made_runs import made_run

VALIDATOR = jsonschema.Draft202012Validator(json_schema())
WALL = 1_795_000_000.0


def key(number: int) -> str:
    return f"{number:032x}"


class Clockwork:
    """A clock that the test moves, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Journalled:
    """A journal in memory, the database under it, and its clock."""

    def __init__(self, connection: sqlite3.Connection, command: str) -> None:
        self.connection = connection
        self.seconds = Clockwork()
        self.clock = Clock(self.seconds, wall=WALL)
        self.journal = Journal(InlineWriter(FallbackConnection(connection)), self.clock)
        started = self.clock.stamp()
        info = RunInfo(
            "run-1", command, "0.1", WALL - 1, started, "https://tenant.invalid", "entity", ("org",), {}
        )
        self.journal.begin(info)
        self.journal.begin_session()
        self.sources = self.journal.add_sources([("keys.csv", "keys.csv"), ("more.csv", "more.csv")])

    def admit(self, *rows: InputRow, source: int = 0) -> None:
        self.sources[source], _ = self.journal.admit(self.sources[source], rows, False).result()

    def accept(self, seq: int) -> None:
        at = self.clock.stamp()
        self.journal.accepted(seq, at, at, f"track-{seq}", "request", 0.0, True)

    def report(self) -> Report:
        return read_report(JournalReader(self.connection))

    def written(self) -> dict[str, object]:
        buffer = io.BytesIO()
        write_json(JournalReader(self.connection), buffer.write)
        written: dict[str, object] = json.loads(buffer.getvalue())
        return written

    def table(self) -> list[dict[str, str]]:
        buffer = io.BytesIO()
        write_csv(JournalReader(self.connection), buffer.write)
        return list(csv.DictReader(io.StringIO(buffer.getvalue().decode(), newline="")))


@contextmanager
def opened(command: str = "run") -> Iterator[Journalled]:
    with closing(database.in_memory()) as connection:
        yield Journalled(connection, command)


@pytest.fixture
def book():
    with opened() as book:
        yield book


# Its form

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
COUNTS = st.none() | st.integers(0, 10**12)
RECORDS = st.builds(Records, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, st.just("status"))
PROBLEMS = st.builds(Problem, TEXT, COUNTS, COUNTS, TEXT, st.none() | TEXT, st.none() | TEXT)
ROW = st.tuples(st.integers(0, 6), st.dictionaries(TEXT, TEXT, max_size=2), st.booleans())
SETTLED = st.sampled_from(sorted(set(Outcome) - {Outcome.MALFORMED, Outcome.NOT_ATTEMPTED}))
STEPS = st.sampled_from(["arm", "accept", "fail", "read", "file", "settle"])


def admit_rows(book: Journalled, rows: list[tuple[int, dict[str, str], bool]], source: int) -> None:
    lines = enumerate(rows, 2)
    book.admit(
        *(
            InputRow(
                line, key(number) if usable else f"bad {number}", labels, None, None if usable else "no key"
            )
            for line, (number, labels, usable) in lines
        ),
        source=source,
    )


@given(
    st.data(),
    st.sampled_from(["run", "plan"]),
    st.lists(ROW, min_size=1, max_size=8),
    st.lists(ROW, min_size=1, max_size=8),
)
def test_the_report_of_any_journal_is_valid_by_its_schema(data, command, first, second):
    with opened(command) as book:
        admit_rows(book, first, 0)
        admit_rows(book, second, 1)
        keys = book.connection.execute("SELECT seq FROM action WHERE outcome IS NULL").fetchall()
        for (seq,) in keys:
            for step in data.draw(st.lists(STEPS, max_size=5)):
                said = data.draw(PROBLEMS)
                records = data.draw(RECORDS)
                match step:
                    case "arm":
                        book.connection.execute(
                            "UPDATE action SET stage = 1, attempts = attempts + 1 WHERE seq = ?", (seq,)
                        )
                    case "accept":
                        book.accept(seq)
                    case "fail":
                        book.journal.stop_failed(
                            seq,
                            book.clock.stamp(),
                            "track",
                            said,
                            lost=data.draw(st.booleans()),
                            throttled=True,
                        )
                    case "read":
                        book.journal.status_read(
                            seq,
                            ActionState(
                                data.draw(st.sampled_from(Status)),
                                data.draw(st.none() | TEXT),
                                records=records,
                            ),
                            retried=True,
                        )
                    case "file":
                        book.journal.filed(
                            seq, records, data.draw(st.sampled_from([None, {"status": records}]))
                        )
                    case _:
                        book.journal.completed(
                            seq,
                            data.draw(SETTLED),
                            data.draw(st.none() | PROBLEMS),
                            data.draw(st.none() | st.floats(0, 1e6)),
                        )
        if data.draw(st.booleans()):
            book.journal._writer.note(
                "end_session", at=book.clock.stamp(), state="finished", reason=None, exit_status=0
            )
        VALIDATOR.validate(book.written())


def test_the_schema_is_valid():
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_the_schema_refuses_a_wrong_report(book):
    book.admit(InputRow(2, key(1)))
    report = book.written()
    report["actions"][0]["outcome"] = "perhaps"
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate(report)


def test_a_written_report_is_read_back_unchanged(book):
    book.admit(InputRow(2, key(1), {"owner": "Ada"}), InputRow(3, "bad", problem="no key"))
    assert msgspec.convert(book.written(), Report) == book.report()


def test_the_report_has_the_fields_of_the_contract(book):
    book.admit(InputRow(2, key(1)))
    report = book.written()
    assert (list(report), list(report["actions"][0])) == (
        ["schema", "run", "summary", "actions"],
        [
            "bulk_key",
            "source",
            "row",
            "duplicate_rows",
            "labels",
            "outcome",
            "status",
            "action_type",
            "uploaded_by",
            "uploaded_on",
            "started_on",
            "ended_on",
            "stop",
            "records",
            "error",
        ],
    )


def test_a_report_without_actions_is_whole(book):
    assert book.written()["actions"] == []


def test_a_journal_without_a_run_has_no_report():
    with closing(database.in_memory()) as connection, pytest.raises(StorageError):
        read_report(JournalReader(connection))


# What it says


def test_actions_are_in_input_order_whatever_ended_first(book):
    book.admit(*(InputRow(n + 1, key(n)) for n in (5, 3, 9, 1)))
    for seq in (4, 2, 1, 3):
        book.journal.completed(seq, Outcome.STOPPED, None)
    assert [action.bulk_key for action in book.report().actions] == [key(n) for n in (5, 3, 9, 1)]


def test_a_source_comes_after_the_one_before_it(book):
    book.admit(InputRow(2, key(1)))
    book.admit(InputRow(2, key(2)), source=1)
    assert [(action.source, action.row) for action in book.report().actions] == [
        ("keys.csv", 2),
        ("more.csv", 2),
    ]


def test_duplicates_are_listed_under_the_first(book):
    book.admit(InputRow(2, key(1)), InputRow(3, key(2)), InputRow(9, key(1)))
    assert [action.duplicate_rows for action in book.report().actions] == [[9], []]


def test_a_duplicate_in_another_source_names_it(book):
    book.admit(InputRow(2, key(1)), InputRow(3, key(1)))
    book.admit(InputRow(7, key(1)), source=1)
    (action,) = book.written()["actions"]
    assert action["duplicates"] == [{"source": "keys.csv", "row": 3}, {"source": "more.csv", "row": 7}]


def test_duplicates_in_the_source_itself_need_no_naming(book):
    book.admit(InputRow(2, key(1)), InputRow(3, key(1)))
    assert "duplicates" not in book.written()["actions"][0]


def test_the_summary_counts_keys_duplicates_and_malformed_rows(book):
    book.admit(
        InputRow(2, key(1)), InputRow(3, key(1)), InputRow(4, "x", problem="no key"), InputRow(5, key(2))
    )
    summary = book.report().summary
    assert (summary.keys, summary.duplicates, summary.malformed) == (2, 1, 1)


def test_records_are_summed_where_they_are_known(book):
    book.admit(InputRow(2, key(1)), InputRow(3, key(2)), InputRow(4, key(3)))
    book.journal.status_read(
        1, ActionState(Status.STOPPED, "MPU", records=Records(10, 4, 3, 1, 6, "status")), retried=False
    )
    book.journal.filed(2, Records(5, 4, 4, 0, 1, "response_file", held_by_group=1), None)
    assert msgspec.structs.astuple(book.report().summary.records) == (15, 8, 7, 1, 7, 1)


def test_a_shards_counts_are_completed_once_their_groups_are_read(book):
    book.admit(InputRow(2, key(1)))
    counted = Records(5, 4, 3, 1, 1, "response_file")
    book.journal.filed(1, counted, None)
    assert book.report().summary.records.held_by_group is None
    book.journal.groups_read(key(1), msgspec.structs.replace(counted, held_by_group=1))
    assert msgspec.structs.astuple(book.report().summary.records) == (5, 4, 3, 1, 1, 1)


def test_a_sum_of_which_no_action_has_the_count_is_null(book):
    book.admit(InputRow(2, key(1)), InputRow(3, key(2)))
    assert set(book.written()["summary"]["records"].values()) == {None}
    book.journal.status_read(
        1, ActionState(Status.STOPPED, "MPU", records=Records(10, 4, source="status")), retried=False
    )
    assert msgspec.structs.astuple(book.report().summary.records) == (10, 4, None, None, None, None)


def test_a_tenant_whose_counts_are_not_known_has_null_and_another_its_sums():
    with made_run(tenants=("north", "south")) as run:
        run.add(None, tenant="north")
        run.add(Outcome.STOPPED, tenant="south")
        records = {
            name: summary.records.total
            for name, summary in (read_report(JournalReader(run.connection)).summary.by_tenant or {}).items()
        }
    assert records == {"north": None, "south": 20}


def test_a_run_without_a_key_has_no_records(book):
    assert set(book.written()["summary"]["records"].values()) == {0}


def test_seconds_count_from_the_start_of_the_process(book):
    """The process is a second older than the run."""
    book.admit(InputRow(2, key(1)), InputRow(3, key(2)))
    for seq in (1, 2):
        book.seconds.now += 2
        book.accept(seq)
    book.seconds.now += 3
    book.journal.completed(1, Outcome.STOPPED, None)
    assert msgspec.structs.astuple(book.report().summary.timing) == (3.0, 5.0, 8.0)


def test_a_run_that_is_at_work_is_running(book):
    run = book.report().run
    assert (run.state, run.ended_at, run.duration_seconds, run.exit_status) == ("running", None, None, None)


def test_a_run_that_ended_has_its_state_and_duration(book):
    book.seconds.now = 12.5
    book.journal._writer.note(
        "end_session", at=book.clock.stamp(), state="aborted", reason="why", exit_status=4
    )
    run = book.report().run
    assert (run.state, run.reason, run.duration_seconds, run.exit_status) == ("aborted", "why", 13.5, 4)


def test_a_lost_answer_is_reported_only_if_the_stop_worked(book):
    book.admit(InputRow(2, key(1)), InputRow(3, key(2)))
    for seq, outcome in ((1, Outcome.STOPPED), (2, Outcome.UNCONFIRMED)):
        book.journal.stop_failed(seq, book.clock.stamp(), "t", Problem("timeout"), lost=True, throttled=False)
        book.journal.completed(seq, outcome, None)
    assert [action["stop"].get("answer") for action in book.written()["actions"]] == ["lost", None]


def test_only_a_plan_reports_speed(book):
    book.admit(InputRow(2, key(1)))
    book.journal.completed(1, Outcome.STOPPED, None, 3.0)
    assert "plan" not in book.written()["actions"][0]


# As a table


def test_the_table_has_a_line_for_each_action(book):
    book.admit(InputRow(2, key(1)), InputRow(3, "x", problem="no key"), InputRow(4, key(1)))
    assert [(line["bulk_key"], line["outcome"]) for line in book.table()] == [
        (key(1), "not_attempted"), ("x", "malformed"),
    ]  # fmt: skip


def test_the_table_lists_duplicates_and_labels(book):
    book.admit(InputRow(2, key(1), {"owner": "Ada"}), InputRow(4, key(1)), InputRow(5, key(1)))
    (line,) = book.table()
    assert (line["duplicate_rows"], json.loads(line["labels"])) == ("4 5", {"owner": "Ada"})


def test_the_table_names_the_source_of_a_duplicate_in_another(book):
    book.admit(InputRow(2, key(1)), InputRow(3, key(1)))
    book.admit(InputRow(7, key(1)), source=1)
    assert book.table()[0]["duplicate_rows"] == "keys.csv:3, more.csv:7"


def test_a_message_of_the_tenant_cannot_control_a_terminal(book):
    book.admit(InputRow(2, key(1)))
    book.journal.completed(1, Outcome.REJECTED, Problem("unknown", message="no\x1b[2J\nmore"))
    assert book.table()[0]["error_message"] == r"no\x1b[2J\nmore"


@pytest.mark.parametrize("hidden", ["\x9b2J", "\x7f", "\u202e", "\u200b"])
@pytest.mark.parametrize("place", ["message", "label", "source", "key"])
def test_hidden_characters_of_any_origin_are_escaped_in_table_and_json(hidden, place):
    with closing(database.in_memory()) as connection:
        book = Journalled(connection, "run")
        text = f"é{hidden}b"
        (source,) = book.journal.add_sources([(text, None)])
        problem = text if place == "message" else "no key"
        row = InputRow(2, text if place == "key" else key(1), {"name": text}, problem=problem)
        book.journal.admit(source, [row], False).result()
        for write in (write_csv, write_json):
            written = io.BytesIO()
            write(JournalReader(connection), written.write)
            assert hidden not in written.getvalue().decode()
        assert read_report(JournalReader(book.connection)).actions[0].labels == {"name": text}


@pytest.mark.parametrize("start", list("=+-@\t\r＝＋－＠"))
def test_no_cell_of_the_table_is_a_formula(book, start):
    book.admit(InputRow(2, f"{start}HYPERLINK()", problem="no key"))
    assert not book.table()[0]["bulk_key"].startswith(start)


def test_quotes_commas_and_line_breaks_stay_in_their_cell(book):
    written = 'one, "two"\nthree'
    book.admit(InputRow(2, written, problem="no key"))
    assert book.table()[0]["bulk_key"] == written


# Its cost


def test_a_long_report_takes_no_more_memory_than_a_short_one(book):
    def peak() -> int:
        tracemalloc.start()
        write_json(JournalReader(book.connection), lambda data: None)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    book.admit(*(InputRow(n, key(n)) for n in range(2, 502)))
    peak()
    short = peak()
    book.admit(*(InputRow(n, key(n)) for n in range(502, 4_502)))
    assert peak() < 1.3 * short + 20_000


def test_a_report_is_written_in_pieces_that_do_not_grow_with_the_run(book):
    book.admit(*(InputRow(n, key(n)) for n in range(2, 1_502)))
    pieces: list[bytes] = []
    write_json(JournalReader(book.connection), pieces.append)
    assert max(map(len, pieces)) < PIECE + 2_000 < sum(map(len, pieces)) / 4


def test_actions_can_be_read_one_at_a_time(book):
    book.admit(*(InputRow(n, key(n)) for n in range(2, 502)))
    assert next(read_actions(JournalReader(book.connection))).bulk_key == key(2)


@pytest.mark.parametrize(
    ("addresses", "host"),
    [
        (["https://rest.zuora.com/v1/files/1"], "rest.zuora.com"),
        (["/v1/files/1", "https://user@OLD.zuora.com:8443/rest/v1/files/2"], "old.zuora.com:8443"),
        (["https://tenant.invalid/v1/files/1", "HTTPS://TENANT.invalid/v1/files/2"], None),
        (["/v1/files/1", "https://[broken/v1/files/2"], None),
        ([], None),
    ],
)
def test_the_report_names_another_host_of_response_files_once(book, addresses, host):
    for seq, address in enumerate(addresses, 1):
        book.admit(InputRow(seq + 1, key(seq)))
        book.journal.ended(seq, Outcome.STOPPED, address)
    report = book.report()
    assert report.run.tenant is not None
    assert report.run.tenant.file_host == host
