"""Tables of any shape: the rows and the column of the keys."""

import pytest

from orchestrator.errors import InputError
from orchestrator.model import InputRow
from orchestrator.sources import open_source
from orchestrator.sources.rows import Wanted
from tests.unit.sources.tables import brief

A, B, C = "a" * 32, "B" * 32, "0123456789abcdefABCDEF0123456789"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(f"{A}\n{B}\n", [(1, A), (2, B)], id="one key a line"),
        pytest.param(f"{A}\n{B}", [(1, A), (2, B)], id="no newline at the end"),
        pytest.param(f"{A}\r\n{B}\r\n", [(1, A), (2, B)], id="CRLF"),
        pytest.param(f"{A}\r{B}\r", [(1, A), (2, B)], id="lone CR"),
        pytest.param(f"\ufeff{A}\n", [(1, A)], id="byte order mark"),
        pytest.param(f"\ufeff# note\n{A}\n", [(2, A)], id="comment behind a byte order mark"),
        pytest.param(f"\n  \n# {B}\n{A}\n", [(4, A)], id="blank lines and comments"),
        pytest.param(f"{A},x\n,,\n{B},y\n", [(1, A), (3, B)], id="line of bare delimiters"),
        pytest.param(f"  {A} \n {B}\n", [(1, A), (2, B)], id="spaces around a key"),
        pytest.param(f'"{A}"\n" {B} "\n', [(1, A), (2, B)], id="quoted keys"),
        pytest.param(f' "{A}"\n', [(1, A)], id="space before a quoted key"),
        pytest.param(f'"{A}" ,x\n', [(1, A)], id="space after a quoted key"),
        pytest.param(f'"{A}" ;x\n', [(1, A)], id="space after a quoted key, semicolon"),
        pytest.param(f"{A},x\n", [(1, A)], id="comma"),
        pytest.param(f"{A};x,y,z\n", [(1, A)], id="semicolon, though there are more commas"),
        pytest.param(f"{A}\tx;y\n", [(1, A)], id="tab"),
        pytest.param(f'"x;y;z",bulk_key\n1,{A}\n', [(2, A)], id="delimiters inside quotes do not count"),
        pytest.param(f'"a\nb";bulk_key\n1;{A}\n', [(3, A)], id="header over two lines, semicolon"),
        pytest.param(f'"{A}";"x\ny"\n', [(1, A)], id="first record over two lines, semicolon"),
        pytest.param(f"bulk_key\n{A};x\n", [(2, A)], id="delimiter first seen in the second record"),
        pytest.param(f'{A},"x\n# y\n\nz"\n{B},w\n', [(1, A), (5, B)], id="newlines inside quotes"),
        pytest.param(f"id,{A}\n{B},x\n", [(1, A), (2, B)], id="no header: any column"),
        pytest.param("", [], id="empty"),
        pytest.param("\ufeff\n# nothing\n", [], id="nothing but comments"),
        pytest.param("bulk_key,note\n", [], id="header only"),
    ],
)
def test_a_table_of_any_shape_gives_its_keys_with_their_lines(keys, content, expected):
    assert brief(keys(content)) == expected


@pytest.mark.parametrize(
    "header", ["bulk_key", "bulk-key", "bulkKey", "bulk key", "key", "BULK.KEY", " Key "]
)
def test_a_key_column_is_found_by_its_header(keys, header):
    assert keys(f"note,{header}\nx,{A}\n") == [InputRow(2, A, {"note": "x"})]


def test_a_bulk_key_header_precedes_a_key_header(keys):
    assert keys(f"key,bulk_key\n{B},{A}\n") == [InputRow(2, A, {"key": B})]


def test_a_first_row_that_holds_a_key_is_no_header(keys):
    assert keys(f"{A},key\n") == [InputRow(1, A, {"column_2": "key"})]


def test_a_first_row_without_a_key_above_rows_with_keys_is_a_header(keys):
    assert keys(f"oops\n{A}\n") == [InputRow(2, A)]


@pytest.mark.parametrize("column", ["Job Id", "job_id", "JOBID"])
def test_a_column_name_ignores_case_and_separators(keys, column):
    assert keys(f"bulk_key,Job Id\n{B},{A}\n", column=column) == [InputRow(2, A, {"bulk_key": B})]


def test_an_exact_column_name_precedes_a_similar_one(keys):
    assert brief(keys(f"JOB_ID,job id\n{B},{A}\n", column="job id")) == [(2, A)]


def test_a_missing_column_name_is_refused_with_the_existing_names(keys):
    with pytest.raises(InputError, match=r"keys\.csv has no column 'job'; its first row holds 'id', 'note'"):
        keys(f"id,note\n{A},x\n", column="job")


@pytest.mark.parametrize(("columns", "more"), [(20, ""), (21, ", …"), (22, ", …")])
def test_very_many_names_are_cut_and_long_names_shortened(keys, columns, more):
    titles = ["x" * 50, *(f"title_{n}" for n in range(2, columns + 1))]
    listed = ", ".join([repr("x" * 40), *(repr(title) for title in titles[1:20])]) + more
    with pytest.raises(InputError) as raised:
        keys(",".join(titles) + f"\n{A}\n", column="job")
    sentence = str(raised.value).partition("keys.csv ")[2]
    assert sentence == (
        f"has no column 'job'; its first row holds {listed}. Give --column one of these, or a number from 1."
    )


def test_a_column_name_helps_to_recognise_the_delimiter(keys):
    assert brief(keys(f"Job;a,b,c\n{A};1\n", column="job")) == [(2, A)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(f"id,job\nx,{A}\n", [InputRow(2, A, {"id": "x"})], id="unknown header, key below"),
        pytest.param(f"id,Key\nx,{A}\n", [InputRow(2, A, {"id": "x"})], id="known header"),
        pytest.param(
            f"x,{A}\ny,{B}\n",
            [InputRow(1, A, {"column_1": "x"}), InputRow(2, B, {"column_1": "y"})],
            id="none",
        ),
        pytest.param("id,Key\n", [], id="known header alone"),
    ],
)
def test_a_column_number_works_with_and_without_a_header(keys, content, expected):
    assert keys(content, column="2") == expected


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("x\n", id="alone"),
        pytest.param("x\ny\n", id="no key below"),
        pytest.param(f"{C[1:]}\n{B}\n", id="a key that lost a letter"),
        pytest.param(f"2c92c0f8-7f1d-4c5c-9b8a-6d5e4f3a2b1c\n{B}\n", id="an identifier of another kind"),
    ],
)
def test_an_unlikely_header_is_reported_as_a_malformed_row(keys, content):
    first = keys(content, column="1")[0]
    assert (first.number, first.problem is None) == (1, False)


@pytest.mark.parametrize(
    ("title", "header"),
    [("id 2", True), ("a" * 22 + "1", True), ("a" * 23 + "1", False), ("Bulk key of the mass action", True)],
)
def test_a_first_row_above_a_key_is_a_header_if_it_is_short_or_made_of_letters(keys, title, header):
    assert len(keys(f"{title}\n{A}\n", column="1")) == (1 if header else 2)


def test_a_first_row_above_one_that_is_too_short_is_reported(keys):
    assert [row.number for row in keys("id,job\nx\n", column="2") if row.problem] == [1, 2]


def test_a_key_in_the_first_row_is_not_delayed_to_find_a_header(pipe):
    slow = pipe(f"x,{A}\n".encode(), f"y,{B}\n".encode())
    events: list[str] = []

    def wait() -> None:
        events.append("wait")
        slow.feed()

    rows = open_source(slow.spec).read(Wanted(column="2"), on_wait=wait)
    next(rows)
    assert len(events) == 2  # the opening, and the one read that brought the row


def test_column_zero_is_refused(keys):
    with pytest.raises(InputError, match=r"^Column 0 does not exist; columns are counted from 1\.$"):
        keys(f"{A}\n", column="0")
