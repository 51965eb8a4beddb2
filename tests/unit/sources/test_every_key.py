"""No key is ignored silently: each is sent, is a label under its own header, or is reported."""

import pytest

from orchestrator.errors import InputError
from orchestrator.model import InputRow
from tests.unit.sources.tables import brief, problem
from tests.unit.sources.test_shapes import A, B, C

D = "d0d1d2d3d4d5d6d7d8d9dadbdcdddedf"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(f"{A},{B}\n{C},{D}\n", [(1, A), (1, B), (2, C), (2, D)], id="two in each row"),
        pytest.param(f"{A};{B};{C}\n", [(1, A), (1, B), (1, C)], id="three with semicolons"),
        pytest.param(f"{A}\t{B}\n", [(1, A), (1, B)], id="tab"),
        pytest.param(f"{A}\n{B},{C}\n", [(1, A), (2, B), (2, C)], id="two in the second row only"),
        pytest.param(f"x,{A}\n{B},y\n", [(1, A), (2, B)], id="columns that change"),
        pytest.param(f"{A},note,{B}\n", [(1, A), (1, B)], id="a note between"),
        pytest.param(f"{A},{A}\n", [(1, A), (1, A)], id="the same twice in a row"),
        pytest.param(f"{A},{A.upper()}\n", [(1, A), (1, A.upper())], id="in another case"),
        pytest.param(f"bulk_key\n{A},{B}\n", [(2, A), (2, B)], id="beyond the header"),
        pytest.param(f"bulk_key,note\n{A},x,{B},y,{C}\n", [(2, A), (2, B), (2, C)], id="two beyond the header"),
        pytest.param(f"bulk_key,\n{A},{B}\n", [(2, A), (2, B)], id="below an empty title"),
        pytest.param(f"bulk_key,bulk key\n{A},{B}\n", [(2, A), (2, B)], id="below two titles for keys"),
        pytest.param(f"Job,Note\n{A},x,{B}\n", [(2, A), (2, B)], id="beyond an unknown header"),
        pytest.param(f"Report of today\nx,{A}\n", [(2, A)], id="beyond a line above the table"),
        pytest.param(f"key,note\nbad,x,{A}\n", [(2, A)], id="beyond the header of a malformed row"),
    ],
)  # fmt: skip
def test_every_key_of_a_row_is_a_row_of_its_own(keys, content, expected):
    assert brief(keys(content)) == expected


def test_every_key_of_a_row_has_the_labels_of_the_row(keys):
    labels = {"column_2": "note"}
    assert keys(f"{A},note,{B}\n") == [InputRow(1, A, labels), InputRow(1, B, labels)]


def test_a_key_in_a_column_with_its_own_header_is_a_label(keys):
    assert keys(f"bulk_key,entity\n{A},{B}\n") == [InputRow(2, A, {"entity": B})]


def test_with_a_chosen_column_keys_in_other_columns_are_labels(keys):
    assert keys(f"{A},{B}\n", column="2") == [InputRow(1, B, {"column_1": A})]


@pytest.mark.parametrize(
    "cell", [f"{B};{C}", f"{B} {C}", f"({B})", f"{B}.", f"see|{B}", f"{B}|{C}"], ids=lambda cell: cell[:4]
)  # fmt: skip
def test_a_cell_without_title_that_hides_a_key_is_reported(keys, cell):
    rows = keys(f"{A},{cell}\n")
    assert (brief(rows), len(rows)) == ([(1, A)], 2)


def test_a_sentence_that_mentions_a_key_is_a_label(keys):
    assert keys(f"{A},replaces {B}\n") == [InputRow(1, A, {"column_2": f"replaces {B}"})]


def test_a_malformed_key_beside_a_key_beyond_the_header_is_reported(keys):
    rows = keys(f"key,note\nbad,x,{A}\n")
    assert [(row.key, row.problem is None) for row in rows] == [(A, True), ("bad", False)]


@pytest.mark.parametrize(
    "title", ["BulkJobId", "Zuora mass action 2", "id", "Schlüssel", "mass_action_bulk_key_2026_11", "#", "1"]
)
def test_a_first_row_without_a_key_is_a_header_with_any_titles(keys, title):
    content = f'"{title}",Note\n{A},x\n{B},y\n'
    assert keys(content) == [InputRow(2, A, {"Note": "x"}), InputRow(3, B, {"Note": "y"})]


def test_an_unknown_header_may_have_its_keys_in_any_column(keys):
    assert keys(f"Job,BulkJobId\nx,{A}\n") == [InputRow(2, A, {"Job": "x"})]


def test_the_first_row_with_a_key_decides_the_column_of_an_unknown_header(keys):
    rows = keys(f"One,Two\nx,y\n{A},y\nx,{B}\n")
    assert [(row.number, row.key, row.problem is None) for row in rows] == [
        (2, "x", False), (3, A, True), (4, "x", False),
    ]  # fmt: skip


def test_the_delimiter_of_an_unknown_header_is_the_one_that_separates_the_key(keys):
    assert keys(f"BulkJobId;Name, first\n{A};x\n") == [InputRow(2, A, {"Name, first": "x"})]


@pytest.mark.parametrize(
    "damaged",
    [
        C[1:],
        f"{C}f",
        "2c92c0f8-7f1d-4c5c-9b8a-6d5e4f3a2b1c",
        "k3j4h5g6f7d8s9a0q1w2e3r4t5y6u7i",
        f"({B})",
        f"{B}.",
        f"{B} {C}",
        f"{B}|{C}",
        f"PUT /v1/bulk/{B}/stop",
    ],
)
def test_a_first_row_with_a_damaged_key_is_reported_and_no_header(keys, damaged):
    rows = keys(f"{damaged}\n{A}\n")
    assert [(row.number, row.problem is None) for row in rows] == [(1, False), (2, True)]


@pytest.mark.parametrize(("option", "row"), [({}, 2), ({"column": None}, 2)])
def test_several_key_columns_under_an_unknown_header_are_refused_by_name(keys, option, row):
    with pytest.raises(InputError) as raised:
        keys(f"Job,Bulk,Entity\nx,{A},{B}\n", **option)
    assert str(raised.value).partition("keys.csv ")[2] == (
        f"has keys in several columns (row {row}): 'Bulk', 'Entity'. Choose one with --column."
    )


def test_a_chosen_column_decides_which_of_several_contains_the_keys(keys):
    assert keys(f"Bulk,Entity\n{A},{B}\n", column="entity") == [InputRow(2, B, {"Bulk": A})]


def test_two_columns_with_the_chosen_title_are_refused_with_their_numbers(keys):
    with pytest.raises(InputError, match=r"several columns 'id'. Give --column its number: 1 and 3\."):
        keys(f"id,x,id\n{A},y,{B}\n", column="id")


@pytest.mark.parametrize("again", ["BulkJobId,Note", " BulkJobId , Note "])
def test_a_repeated_header_is_skipped(keys, again):
    assert brief(keys(f"BulkJobId,Note\n{A},x\n{again}\n{B},y\n")) == [(2, A), (4, B)]


def test_joined_files_with_byte_order_marks_are_read_like_one(keys):
    part = "\ufeff# exported\nBulkJobId,Note\n"
    assert brief(keys(f"{part}{A},x\n{part}{B},y\n")) == [(3, A), (6, B)]


def test_a_number_beyond_the_columns_is_refused_with_their_number(keys):
    with pytest.raises(InputError, match=r"keys\.csv has no column 9: its first row has 3\.$"):
        keys(f"a,{A},b\n", column="9")


def test_rows_without_any_key_are_all_reported(keys):
    assert [row.number for row in keys("a,b\nc,d\n") if row.problem] == [1, 2]


def test_the_search_for_the_first_key_is_bounded(keys):
    """After so many rows the table counts as one without a header, where every key is found."""
    rows = keys("x,y\n" * 10_000 + f"x,{A}\n")
    assert (len(rows), brief(rows)) == (10_001, [(10_001, A)])


def test_a_handover_row_without_a_key_is_skipped_and_counted(tmp_path):
    from tests.unit.sources.tables import source

    header = "bulk_key,tenant,source,row,owner,outcome,error kind,message"
    opened = source(
        tmp_path, f"{header}\n{A},,keys.csv,2,Ada,unconfirmed,timeout,x\n,,keys.csv,3,Bob,malformed,,y\n"
    )
    rows = list(opened.read())
    assert (brief(rows), len(rows), opened.skipped) == ([(2, A)], 1, 1)


def test_an_empty_key_of_any_other_table_is_malformed(keys):
    assert problem(keys(f"bulk_key,owner\n{A},Ada\n,Bob\n")) == "The key's cell (column 1) is empty."
