"""The records of many response files, sorted by what became of them."""

import csv
import os
import stat
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import MassStopError, StorageError
from orchestrator.results.remediation import VERDICTS, guard, unguard, write_remediation

A, B, C = "a" * 32, "b" * 32, "c" * 32


@dataclass
class Table:
    """Rows as the reader of response files gives them; with ``problem``, bad after the last of them."""

    header: list[str]
    rows: list[tuple[int, str, list[str]]] = field(default_factory=list)
    problem: Exception | None = None

    def __iter__(self) -> Iterator[tuple[int, str, list[str]]]:
        yield from self.rows
        if self.problem:
            raise self.problem

    def __call__(self) -> AbstractContextManager["Table"]:
        return nullcontext(self)


def read(directory: Path, verdict: str) -> list[list[str]]:
    path = directory / "remediation" / f"{verdict}.csv"
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.reader(file, strict=True))


def records(directory: Path) -> dict[str, list[list[str]]]:
    return {verdict: read(directory, verdict)[1:] for verdict in VERDICTS}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def bad(sentence: str) -> Callable[[], AbstractContextManager[Table]]:
    def opener() -> AbstractContextManager[Table]:
        raise MassStopError(sentence)

    return opener


ONE = Table(
    ["A", "Success"], [(1, "succeeded", ["x", "Y"]), (2, "failed", ["y", "N"]), (3, "unprocessed", ["z", ""])]
)


def test_each_record_is_in_the_file_of_its_verdict(tmp_path):
    write_remediation(tmp_path, [(A, ONE)])
    assert records(tmp_path) == {
        "succeeded": [[A, "1", "x", "Y"]],
        "failed": [[A, "2", "y", "N"]],
        "unprocessed": [[A, "3", "z", ""]],
    }


def test_the_counts_of_records_are_returned(tmp_path):
    counts, _ = write_remediation(tmp_path, [(A, ONE), (B, ONE)])
    assert counts == {"succeeded": 2, "failed": 2, "unprocessed": 2}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_file_has_a_header_even_if_nothing_else(tmp_path, verdict):
    write_remediation(tmp_path, [(A, Table(["A", "Success"]))])
    assert read(tmp_path, verdict) == [["bulk_key", "row", "A", "Success"]]


@pytest.mark.parametrize("verdict", VERDICTS)
def test_without_any_response_file_there_is_still_a_header(tmp_path, verdict):
    write_remediation(tmp_path, [])
    assert read(tmp_path, verdict) == [["bulk_key", "row"]]


def test_lines_end_as_the_standard_says(tmp_path):
    write_remediation(tmp_path, [(A, ONE)])
    path = tmp_path / "remediation" / "failed.csv"
    assert path.read_bytes() == f"bulk_key,row,A,Success\r\n{A},2,y,N\r\n".encode()


def test_columns_are_the_union_in_order_of_first_appearance(tmp_path):
    write_remediation(tmp_path, [(A, Table(["X", "Success"])), (B, Table(["Success", "Y", "X", "Z"]))])
    assert read(tmp_path, "failed")[0] == ["bulk_key", "row", "X", "Success", "Y", "Z"]


def test_a_cell_stays_under_its_column_and_missing_ones_are_blank(tmp_path):
    other = Table(["Success", "B", "A"], [(1, "failed", ["N", "b", "a"])])
    write_remediation(tmp_path, [(A, ONE), (B, other)])
    assert records(tmp_path)["failed"] == [[A, "2", "y", "N", ""], [B, "1", "a", "N", "b"]]


def test_success_is_one_column_however_it_is_written(tmp_path):
    write_remediation(tmp_path, [(A, ONE), (B, Table([" SUCCESS", "A"], [(1, "failed", ["N", "a"])]))])
    assert read(tmp_path, "failed") == [
        ["bulk_key", "row", "A", "Success"],
        [A, "2", "y", "N"],
        [B, "1", "a", "N"],
    ]


def test_columns_that_differ_by_case_stay_apart(tmp_path):
    write_remediation(tmp_path, [(A, Table(["Field__c", "Success"])), (B, Table(["field__c", "Success"]))])
    assert read(tmp_path, "failed")[0][2:] == ["Field__c", "Success", "field__c"]


def test_two_columns_of_one_name_are_both_kept(tmp_path):
    write_remediation(tmp_path, [(A, Table(["N", "N", "Success"], [(1, "failed", ["1", "2", "N"])]))])
    assert read(tmp_path, "failed") == [["bulk_key", "row", "N", "N", "Success"], [A, "1", "1", "2", "N"]]


def test_columns_named_like_ours_stand_behind_ours(tmp_path):
    write_remediation(
        tmp_path, [(A, Table(["row", "bulk_key", "Success"], [(1, "failed", ["r", "k", "N"])]))]
    )
    assert read(tmp_path, "failed")[1] == [A, "1", "r", "k", "N"]


def test_a_short_record_is_filled_with_blanks(tmp_path):
    write_remediation(tmp_path, [(A, Table(["A", "B", "Success"], [(1, "unprocessed", ["a"])]))])
    assert records(tmp_path)["unprocessed"] == [[A, "1", "a", "", ""]]


def test_the_files_may_come_from_an_iterator(tmp_path):
    write_remediation(tmp_path, iter([(A, ONE)]))
    assert records(tmp_path)["failed"] == [[A, "2", "y", "N"]]


def test_a_file_that_cannot_be_opened_is_returned_with_its_sentence(tmp_path):
    _, left_out = write_remediation(tmp_path, [(A, ONE), (B, bad("Not a zip.")), (C, ONE)])
    assert left_out == [(B, "Not a zip.")]


def test_a_file_bad_at_its_end_is_returned_with_its_sentence(tmp_path):
    _, left_out = write_remediation(tmp_path, [(A, Table(ONE.header, ONE.rows, MassStopError("CRC.")))])
    assert left_out == [(A, "CRC.")]


def test_files_left_out_are_returned_in_order(tmp_path):
    late = Table(ONE.header, ONE.rows, MassStopError("Late."))
    _, left_out = write_remediation(tmp_path, [(A, late), (B, bad("Early."))])
    assert left_out == [(A, "Late."), (B, "Early.")]


@pytest.mark.parametrize("n", [1, 5000])
def test_a_file_bad_at_its_end_leaves_no_record_behind(tmp_path, n):
    half = Table(ONE.header, ONE.rows * n, MassStopError("CRC."))
    write_remediation(tmp_path, [(A, ONE), (B, half), (C, ONE)])
    assert [[row[0] for row in rows] for rows in records(tmp_path).values()] == [[A, C]] * 3


def test_a_file_left_out_is_not_counted(tmp_path):
    counts, _ = write_remediation(
        tmp_path, [(A, ONE), (B, Table(ONE.header, ONE.rows, MassStopError("CRC.")))]
    )
    assert counts == dict.fromkeys(VERDICTS, 1)


def test_a_file_whose_columns_change_between_the_passes_is_left_out(tmp_path):
    tables = iter([ONE, Table(["Other", "Success"], [(1, "failed", ["o", "N"])])])
    counts, left_out = write_remediation(tmp_path, [(A, lambda: nullcontext(next(tables)))])
    assert ([key for key, _ in left_out], counts["failed"]) == ([A], 0)


@pytest.mark.parametrize("verdict", VERDICTS)
def test_the_files_are_their_owners_only(tmp_path, verdict):
    write_remediation(tmp_path, [(A, ONE)])
    assert mode(tmp_path / "remediation" / f"{verdict}.csv") == 0o600


def test_the_directory_is_its_owners_only_even_if_it_was_not(tmp_path):
    (tmp_path / "remediation").mkdir(mode=0o755)
    write_remediation(tmp_path, [(A, ONE)])
    assert mode(tmp_path / "remediation") == 0o700


def test_an_unexpected_error_leaves_all_three_files_as_they_were(tmp_path):
    write_remediation(tmp_path, [(A, ONE)])
    before = records(tmp_path)
    with pytest.raises(ZeroDivisionError):
        write_remediation(tmp_path, [(B, Table(ONE.header, ONE.rows, ZeroDivisionError()))])
    assert records(tmp_path) == before


def test_a_disk_that_fails_leaves_all_three_files_as_they_were(tmp_path, monkeypatch):
    write_remediation(tmp_path, [(A, ONE)])
    before, calls = records(tmp_path), []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) == 4:  # the run directory, two of the files, the third
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError, match=r"cannot be written: No space left on device\.$"):
        write_remediation(tmp_path, [(B, ONE)])
    assert records(tmp_path) == before


def test_a_run_directory_that_is_missing_is_the_machines_failure(tmp_path):
    with pytest.raises(StorageError, match="remediation"):
        write_remediation(tmp_path / "none", [])


@pytest.mark.parametrize(
    "cell", ["=1+1", "+x", "-x", "@SUM(A1)", "\tx", "\rx", "=", "-", "+-3", "-1+cmd|' /C calc'!A0",
     "＝1+1", "＋1", "－1", "＠SUM(A1)",
     " =1", "  -x", "\t=1", " \t@x", "\n=1", "\xa0=1", "\u3000＝1", "\u200b=1", "\ufeff+x", "\x00=1", "\x9f=1"]
)  # fmt: skip
def test_a_cell_that_a_spreadsheet_would_run_gets_an_apostrophe(cell):
    assert guard(cell) == f"'{cell}"


@pytest.mark.parametrize(
    "cell",
    [
        "-12.50",
        "+3",
        "-.5",
        "12",
        "",
        "plain",
        "'Y'",
        "it's",
        "2026-03-28",
        "a=b",
        "a ＝ b",
        " x",
        " -12.50 ",
        "ü",
        "→",
    ],
)
def test_a_harmless_cell_stays_as_it_is(cell):
    assert guard(cell) == cell


@pytest.mark.parametrize("number", ["-٣", "-1e5", "-1\n", "- 1", "--1"])
def test_only_plain_numbers_are_let_through(number):
    assert guard(number) == f"'{number}"


@given(st.text(st.sampled_from("'=+-@＝\t\r1.x\n \u200b")) | st.text())
def test_the_guard_can_be_undone(cell):
    assert unguard(guard(cell)) == cell


def test_every_cell_of_a_record_is_guarded_whatever_its_first_character(tmp_path):
    firsts = [chr(code) for code in range(0x2100)] + list("＝＋－＠\ufeff\u3000")
    cells = [f"{first}{rest}" for first in firsts for rest in ("", "=1", "x", "1")]
    write_remediation(
        tmp_path, [(A, Table(["A", "Success"], [(1, "failed", [cell, "N"]) for cell in cells]))]
    )
    assert [record[2] for record in records(tmp_path)["failed"]] == [guard(cell) for cell in cells]


@given(st.text(st.sampled_from("'=+-@\t\r1.x\n")))
def test_no_guarded_cell_is_a_formula(cell):
    assert guard(cell)[:1] not in tuple("=+-@\t\r") or guard(cell).lstrip("+-").replace(".", "", 1).isdigit()


def test_cells_and_names_of_columns_are_guarded(tmp_path):
    write_remediation(tmp_path, [(A, Table(["=A", "Success"], [(1, "failed", ["@x", "N"])]))])
    assert read(tmp_path, "failed") == [["bulk_key", "row", "'=A", "Success"], [A, "1", "'@x", "N"]]


def test_memory_does_not_grow_with_the_records(tmp_path):
    class Many(Table):
        def __iter__(self):
            return ((n, "failed", ["a cell of some length" * 10, "N"]) for n in range(20_000))

    tracemalloc.start()
    try:
        write_remediation(tmp_path, [(A, Many(["A", "Success"]))])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 << 20


_CELLS = st.text(st.sampled_from("'=+-@\t\r1.x\n,\"A ä\udcff")) | st.text(
    st.characters(exclude_categories=["Cs"])
)
_TABLES = st.builds(
    lambda names, rows: Table(
        ["Success", *names],
        [(n, VERDICTS[said], ["", *cells[: len(names)]]) for n, (said, cells) in enumerate(rows, 1)],
    ),
    st.lists(st.sampled_from("ABCDE"), max_size=4),
    st.lists(st.tuples(st.integers(0, 2), st.lists(_CELLS, max_size=4)), max_size=5),
)


@given(st.lists(_TABLES, max_size=4))
def test_every_cell_of_any_tables_can_be_had_back(tmp_path_factory, tables):
    directory = tmp_path_factory.mktemp("run")
    write_remediation(directory, [(f"{n:032}", table) for n, table in enumerate(tables)])
    expected = [
        (f"{n:032}", str(number), verdict, sorted(cell for cell in cells if cell))
        for n, table in enumerate(tables)
        for number, verdict, cells in table.rows
    ]
    found = [
        (row[0], row[1], verdict, sorted(unguard(cell) for cell in row[2:] if cell))
        for verdict, rows in records(directory).items()
        for row in rows
    ]
    assert sorted(found) == sorted(expected)


@given(st.lists(_TABLES, max_size=4))
def test_every_line_has_as_many_cells_as_its_header(tmp_path_factory, tables):
    directory = tmp_path_factory.mktemp("run")
    write_remediation(directory, [(A, table) for table in tables])
    for verdict in VERDICTS:
        header, *rows = read(directory, verdict)
        assert {len(row) for row in rows} <= {len(header)}
