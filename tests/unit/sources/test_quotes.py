"""Quotes that are never closed, and lines that are too long."""

import pytest

from orchestrator.sources.text import LIMIT
from tests.unit.sources.tables import brief, problem
from tests.unit.sources.test_shapes import A, B, C


def test_an_unclosed_quote_makes_its_line_malformed(keys):
    assert "is not closed properly" in problem(keys(f'{A}\n{B},"x\n'))


def test_an_unclosed_quote_keeps_the_text_of_its_key_cell(keys):
    assert [row.key for row in keys(f'{A}\n{B},"x') if row.problem] == [B]


def test_an_unclosed_quote_adds_nothing_to_its_cell(keys):
    assert [row.labels for row in keys(f'{A}\n{B},"x') if row.problem] == [{"column_2": "x"}]


def test_a_line_as_long_as_a_record_may_be_is_not_too_long(keys):
    line = f'{B},"'
    assert "is not closed properly" in problem(keys(f"{A}\n{line}" + "x" * (LIMIT - len(line))))


def test_a_row_as_long_as_a_record_may_be_is_read(keys):
    assert brief(keys(f"{A}\n{B},".ljust(33 + LIMIT, "x"))) == [(1, A), (2, B)]


def test_the_rows_below_an_unclosed_quote_are_read(keys):
    assert brief(keys(f'"{A}\n{B}\n# x\n{C}\n')) == [(2, B), (4, C)]


def test_a_key_in_a_truncated_text_is_not_a_row(keys):
    assert brief(keys(f'key,note\n{A},x\n{B},"replaces\n{C}\n')) == [(2, A)]


def test_an_untidy_row_may_have_fewer_cells_than_the_header(keys):
    assert brief(keys(f'key,note,more\n"{A}" ,x\n')) == [(2, A)]


def test_text_behind_a_closing_quote_does_not_hide_the_rows_between(keys):
    assert brief(keys(f'{A},"x\n{B},y\n{C},"z"\n')) == [(2, B), (3, C)]


def test_a_quote_inside_an_unquoted_cell_is_only_a_character(keys):
    assert keys(f'{A},5" pipe\n{B},x\n')[0].labels == {"column_2": '5" pipe'}


def test_a_stray_quote_costs_one_row_of_a_long_table(keys):
    below = 3 * LIMIT // 33
    rows = keys(f'{A},"x\n' + f"{B}\n" * below)
    assert [row.problem is None for row in rows] == [False] + [True] * below


def test_hostile_quotes_cost_linear_time_and_lose_no_line(keys):
    assert len(keys('",b","\n' * 50_000)) == 50_000


def test_a_line_longer_than_a_record_is_one_malformed_row(keys):
    assert "longer than 2,097,152 characters" in problem(keys(f"{A}\n" + f"{B}," * (LIMIT // 8) + f"\n{C}\n"))


def test_the_line_behind_one_that_is_too_long_keeps_its_number(keys):
    assert brief(keys(f"{A}\n" + "x" * (3 * LIMIT) + f"\n{C}\n")) == [(1, A), (3, C)]


def test_blanks_longer_than_a_record_are_not_a_blank_line(keys):
    assert "longer than" in problem(keys(" " * 2 * LIMIT + f"{A}\n"))


@pytest.mark.parametrize("break_", ["", "\n", "\r\n"], ids=["one line", "LF", "CRLF"])
def test_a_cell_of_a_megabyte_is_a_label_and_its_key_is_a_key(keys, break_):
    note = f"{'x' * 500_000}{break_}{'y' * 500_000}"
    rows = keys(f'bulk_key,note\r\n{A},"{note}"\r\n{B},z\r\n')
    assert [(row.key, row.problem) for row in rows] == [(A, None), (B, None)]
    assert rows[0].labels == {"note": note}


def test_a_line_without_end_is_one_malformed_row_however_long(keys):
    assert "longer than" in problem(keys(f"{A}\n" + "x" * (8 * LIMIT)))
