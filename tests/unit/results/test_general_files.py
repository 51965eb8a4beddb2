"""The three tables of all records, for people and spreadsheets."""

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import StorageError
from orchestrator.results import general_files
from orchestrator.results.formula_guard import guard
from orchestrator.results.index import GENERAL
from orchestrator.results.reader import BadResponseFile
from tests.unit.results.guarded_cells import unguard
from tests.unit.results.response_zips import A, Actions, B, C, csv_text

HEADER = ["A", "Success"]
ROWS = [["x", "Y"], ["y", "N"], ["z", ""]]


@pytest.fixture
def actions(tmp_path):
    return Actions(tmp_path)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_each_record_is_in_the_file_of_its_verdict(actions):
    actions.add(A, HEADER, ROWS)
    actions.publish()
    assert {name: actions.read(f"{name}.csv")[1:] for name in GENERAL} == {
        "succeeded": [[A, "1", "x", "Y"]],
        "failed": [[A, "2", "y", "N"]],
        "unprocessed": [[A, "3", "z", ""]],
    }


def test_the_counts_of_records_are_returned(actions):
    records = actions.add(A, HEADER, ROWS)
    assert (records.total, records.succeeded, records.failed, records.unprocessed) == (3, 1, 1, 1)


@pytest.mark.parametrize("name", GENERAL)
def test_every_file_has_a_header(actions, name):
    actions.add(A, HEADER, [])
    actions.publish()
    assert actions.read(f"{name}.csv") == [["bulk_key", "row", *HEADER]]


@pytest.mark.parametrize("name", GENERAL)
def test_without_any_response_file_there_is_still_a_header(actions, name):
    actions.publish()
    assert actions.read(f"{name}.csv") == [["bulk_key", "row"]]


def test_lines_end_with_carriage_return_and_newline(actions):
    actions.add(A, HEADER, ROWS)
    actions.publish()
    path = actions.directory / "remediation" / "failed.csv"
    assert path.read_bytes() == f"bulk_key,row,A,Success\r\n{A},2,y,N\r\n".encode()


def test_columns_are_the_union_in_order_of_first_appearance(actions):
    actions.add(A, ["X", "Success"], [])
    actions.add(B, ["Success", "Y", "X", "Z"], [])
    actions.publish()
    assert actions.read("failed.csv")[0] == ["bulk_key", "row", "X", "Success", "Y", "Z"]


def test_cells_stay_under_their_column_and_missing_cells_are_blank(actions):
    actions.add(A, HEADER, ROWS)
    actions.add(B, ["Success", "B", "A"], [["N", "b", "a"]])
    actions.add(C, ["A", "Success"], [["c", "N"]])
    actions.publish()
    found = sorted(actions.read("failed.csv")[1:])
    assert found == [[A, "2", "y", "N", ""], [B, "1", "a", "N", "b"], [C, "1", "c", "N", ""]]


def test_success_is_one_column_in_any_spelling(actions):
    actions.add(A, HEADER, ROWS)
    actions.add(B, [" SUCCESS", "A"], [["N", "a"]])
    actions.publish()
    header, *rows = actions.read("failed.csv")
    assert (header, sorted(rows)) == (
        ["bulk_key", "row", "A", "Success"],
        [[A, "2", "y", "N"], [B, "1", "a", "N"]],
    )


def test_columns_that_differ_by_case_stay_apart(actions):
    actions.add(A, ["Field__c", "Success"], [])
    actions.add(B, ["field__c", "Success"], [])
    actions.publish()
    assert actions.read("failed.csv")[0][2:] == ["Field__c", "Success", "field__c"]


def test_two_columns_of_one_name_are_both_kept(actions):
    actions.add(A, ["N", "N", "Success"], [["1", "2", "N"]])
    actions.publish()
    assert actions.read("failed.csv") == [["bulk_key", "row", "N", "N", "Success"], [A, "1", "1", "2", "N"]]


def test_columns_named_like_ours_come_behind_ours(actions):
    actions.add(A, ["row", "bulk_key", "Success"], [["r", "k", "N"]])
    actions.publish()
    assert actions.read("failed.csv")[1] == [A, "1", "r", "k", "N"]


def test_a_short_record_is_filled_with_blanks(actions):
    actions.add_data(A, b"A,B,Success\r\na\r\n")
    actions.publish()
    assert actions.read("unprocessed.csv")[1:] == [[A, "1", "a", "", ""]]


def test_the_tenant_of_each_record_has_a_column(tmp_path):
    actions = Actions(tmp_path, tenants=True)
    actions.add(f"eu/{A}", HEADER, ROWS)
    actions.publish()
    assert actions.read("failed.csv") == [
        ["bulk_key", "row", "tenant", "A", "Success"],
        [A, "2", "eu", "y", "N"],
    ]


def test_a_file_bad_at_its_end_contributes_no_record(actions):
    actions.add(A, HEADER, ROWS)
    with pytest.raises(BadResponseFile):
        actions.add_data(B, csv_text(HEADER, ROWS * 10_000) + b'"unclosed')
    actions.publish()
    assert [len(actions.read(f"{name}.csv")) for name in GENERAL] == [2, 2, 2]


@pytest.mark.parametrize("name", GENERAL)
def test_only_the_owner_can_read_the_files(actions, name):
    actions.add(A, HEADER, ROWS)
    actions.publish()
    assert mode(actions.directory / "remediation" / f"{name}.csv") == 0o600


def test_only_the_owner_can_read_the_directory_afterwards(actions):
    (actions.directory / "remediation").mkdir(mode=0o755)
    actions.publish()
    assert mode(actions.directory / "remediation") == 0o700


def test_a_failing_disk_leaves_the_earlier_files_unchanged(actions, monkeypatch):
    actions.add(A, HEADER, ROWS)
    actions.publish()
    before = actions.read("failed.csv")
    later = Actions(actions.directory)
    later.add(B, HEADER, ROWS)

    def fsync(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError, match=r"cannot be written: No space left on device\.$"):
        later.publish()
    assert actions.read("failed.csv") == before


def test_a_missing_run_directory_is_a_local_failure(tmp_path):
    with pytest.raises(StorageError, match="remediation"):
        Actions(tmp_path / "none").publish()


def test_every_cell_of_a_record_is_guarded_whatever_its_first_character(actions):
    firsts = [chr(code) for code in range(1, 0x2100)] + list("＝＋－＠\ufeff\u3000")
    cells = [f"{first}{rest}" for first in firsts for rest in ("", "=1", "x", "1")]
    actions.add(A, HEADER, [[cell, "N"] for cell in cells])
    actions.publish()
    assert [record[2] for record in actions.read("failed.csv")[1:]] == [guard(cell) for cell in cells]


def test_cells_and_names_of_columns_are_guarded(actions):
    actions.add(A, ["=A", "Success"], [["@x", "N"]])
    actions.publish()
    assert actions.read("failed.csv") == [["bulk_key", "row", "'=A", "Success"], [A, "1", "'@x", "N"]]


CELLS = st.text(st.sampled_from("'=+-@\t1.x\r\n,\"A ä\udcff")) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")
)
TABLES = st.tuples(
    st.lists(st.sampled_from("ABCDE"), max_size=4),
    st.lists(st.tuples(st.sampled_from(["Y", "N", ""]), st.lists(CELLS, min_size=4, max_size=4)), max_size=5),
)


@given(st.lists(TABLES, max_size=4), st.sampled_from([1, 3, general_files.PIECE]))
def test_every_cell_of_any_tables_is_written_once(tmp_path_factory, tables, piece):
    actions = Actions(tmp_path_factory.mktemp("run"))
    expected = []
    for number, (names, rows) in enumerate(tables):
        key = f"{number:032}"
        actions.add(key, ["Success", *names], [[mark, *cells[: len(names)]] for mark, cells in rows])
        expected += [
            (key, str(row), sorted(filter(None, [mark, *cells[: len(names)]])))
            for row, (mark, cells) in enumerate(rows, 1)
        ]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(general_files, "PIECE", piece)
        actions.publish()
    found = []
    for name in GENERAL:
        header, *lines = actions.read(f"{name}.csv")
        assert {len(line) for line in lines} <= {len(header)}
        found += [(line[0], line[1], sorted(unguard(cell) for cell in line[2:] if cell)) for line in lines]
    assert sorted(found) == sorted(expected)
