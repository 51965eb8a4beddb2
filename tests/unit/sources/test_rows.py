"""The other cells of a row: labels, weight, tenant; and malformed rows."""

import pytest

from orchestrator.errors import InputError
from orchestrator.model import InputRow
from tests.unit.sources.test_shapes import A


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        pytest.param(f"key,a,b\n{A},1, 2 \n", {"a": "1", "b": " 2 "}, id="by header, as they are"),
        pytest.param(f"{A},1,2\n", {"column_2": "1", "column_3": "2"}, id="without header"),
        pytest.param(
            f"key,a,a,a_2\n{A},1,2,3\n", {"a": "1", "a_2": "2", "a_2_2": "3"}, id="the same header twice"
        ),
        pytest.param(f"key,,b\n{A},1,2\n", {"column_2": "1", "b": "2"}, id="empty header"),
        pytest.param(
            f"key,column_3\n{A},1,2\n", {"column_3": "1", "column_3_2": "2"}, id="more cells than headers"
        ),
        pytest.param(f"key,a,b\n{A},1\n", {"a": "1"}, id="fewer cells than headers"),
        pytest.param(
            f'key,a\n{A},"x\r\ny ""z"""\n', {"a": 'x\r\ny "z"'}, id="newline and quotes inside quotes"
        ),
        pytest.param(f"key\n{A}\n", {}, id="none"),
    ],
)
def test_the_other_columns_are_labels(keys, content, labels):
    assert keys(content)[0].labels == labels


@pytest.mark.parametrize(
    ("cell", "weight"),
    [
        *(("12", 12.0), (" -1.5e3 ", -1500.0), (".5", 0.5), ("7.", 7.0)),
        *((cell, None) for cell in ("", "many", "nan", "inf", "1e999", "1.2.3", "1_000", "0x10", "٣")),
    ],
)
def test_a_weight_is_a_finite_decimal_number_or_none(keys, cell, weight):
    assert keys(f"key,size\n{A},{cell}\n", weight="Size")[0].weight == weight


def test_a_weight_stays_among_the_labels(keys):
    assert keys(f"key,size\n{A},7\n", weight="2") == [InputRow(2, A, {"size": "7"}, 7.0)]


def test_a_row_that_ends_before_the_weight_has_none(keys):
    assert keys(f"key,size\n{A}\n", weight="size") == [InputRow(2, A)]


@pytest.mark.parametrize(
    ("content", "weight", "sentence"),
    [
        (f"key,size\n{A},1\n", "speed", r"keys\.csv has no column 'speed'"),
        (f"key,size\n{A},1\n", "3", "has no column 3 to order by; its first row has 2"),
        (f"{A},1\n", "size", r"has no header, .*; give --order the column's number, from 1\.$"),
    ],
)
def test_a_missing_weight_column_is_refused(keys, content, weight, sentence):
    with pytest.raises(InputError, match=sentence):
        keys(content, weight=weight)


@pytest.mark.parametrize(
    ("line", "key", "sentence"),
    [
        pytest.param("n,abc", "abc", "The key has 3 characters", id="too short"),
        pytest.param(f"n,{A}a", A + "a", "The key has 33 characters", id="too long"),
        pytest.param(
            "n", "", "too few columns: 1, where the key is expected in column 2", id="too few columns"
        ),
        pytest.param("n, ", "", "The key's cell (column 2) is empty", id="empty cell"),
        pytest.param('"",""', "", "The key's cell (column 2) is empty", id="empty quoted cells"),
        pytest.param(
            f"n,{A[:-1]}３", A[:-1] + "３", r"Character 32 of the key is '\uff13' (U+FF13)", id="digit"
        ),
        pytest.param(f"n,{A[:4]}-{A[5:]}", f"aaaa-{A[5:]}", "Character 5 of the key is '-'", id="dash"),
        pytest.param(f'n,"{A[1:]}\nx"', f"{A[1:]}\nx", r"Character 32 of the key is '\n'", id="newline"),
        pytest.param(f"n,{A[1:]}\x1b", A[1:] + "\x1b", r"is '\x1b' (U+001B)", id="control character"),
        pytest.param("n," + "x" * 999, "x" * 200, "The key has 999 characters", id="very long"),
    ],
)
def test_a_malformed_row_has_the_text_of_its_cell_and_the_problem(keys, line, key, sentence):
    [row] = keys(f"note,key\n{line}\n")
    assert (row.number, row.key, sentence in str(row.problem)) == (2, key, True), row.problem


@pytest.mark.parametrize(
    ("header", "line"), [("key,owner", "x,jane"), ("owner,key", "jane"), ("owner,x,key", "jane")]
)
def test_a_malformed_row_keeps_its_labels_even_if_it_ends_before_its_key(keys, header, line):
    assert keys(f"{header}\n{line}\n")[0].labels == {"owner": "jane"}


def test_a_row_belongs_to_its_named_tenant_and_the_name_is_no_label(keys):
    rows = keys(f"tenant,key,note\n north ,{A},x\n", tenant="tenant")
    assert rows == [InputRow(2, A, {"note": "x"}, tenant="north")]


@pytest.mark.parametrize(
    ("content", "tenant", "sentence"),
    [
        (
            f"key,tenant\n{A},north\n",
            "place",
            r"keys\.csv has no column 'place'; its first row holds 'key', 'tenant'\. Give --tenant-column one",
        ),
        (f"key,tenant\n{A},north\n", "3", r"has no column 3 that names the tenant; its first row has 2\."),
        (
            f"{A}\n",
            "tenant",
            "has no header, so no column 'tenant' that names the tenant; give --tenant-column",
        ),
    ],
)
def test_a_missing_tenant_column_is_refused_and_the_tenant_option_is_named(keys, content, tenant, sentence):
    with pytest.raises(InputError, match=rf"{sentence}.* name it with --tenant\.$"):
        keys(content, tenant=tenant)


def test_a_row_that_ends_before_its_tenant_has_none(keys):
    assert keys(f"key,tenant\n{A}\n", tenant="tenant") == [InputRow(2, A)]
