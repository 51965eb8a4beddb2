"""Records from lines: the choice of the delimiter, the reach of a stray quote, and its cost."""

import pytest

from orchestrator.sources import records
from orchestrator.sources.headers import KEY_HEADERS
from orchestrator.sources.records import Record, parse_records
from orchestrator.sources.text import LIMIT, split_lines

A, B, C = "a" * 32, "B" * 32, "0123456789abcdefABCDEF0123456789"


def parsed(*lines: str) -> list[Record]:
    """The records of a table of these lines, given without their ends."""
    return list(parse_records([line + "\n" for line in lines], frozenset(KEY_HEADERS)))


def sound(*lines: str) -> list[list[str]]:
    """The cells of those that can be read."""
    return [record.cells for record in parsed(*lines) if record.problem is None]


# ---------------------------------------------------------------------------------------- the delimiter


def test_a_chosen_delimiter_does_not_change():
    assert sound(f"{A},x", f"{B};y,z") == [[A, "x"], [f"{B};y", "z"]]


def test_a_first_record_of_one_quoted_cell_decides_no_delimiter():
    assert sound('"a;b"', f"{A};x") == [["a;b"], [A, "x"]]


def test_a_first_record_without_a_clear_delimiter_keeps_the_comma():
    """The semicolon leaves it whole, which is tidy, but shows no semicolon to be a delimiter."""
    assert sound('note,"x"y', f"{A},z") == [["note", "xy"], [A, "z"]]


def test_a_delimiter_with_closed_quotes_precedes_one_with_more_cells():
    assert sound('"a";"b,c,d"', f'{A};"x,y"') == [["a", "b,c,d"], [A, "x,y"]]


def test_a_quote_that_may_be_closed_later_counts_as_closed():
    """The semicolon gives most cells, the last of which opens a quote; the comma would lose the key below."""
    assert sound('na,me;x;"b', f"{A};x;y") == [[A, "x", "y"]]


# ---------------------------------------------------------------------------------------- stray quotes


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_an_unclosed_quote_hides_no_key_with_any_delimiter(delimiter):
    lines = [f"{A}|x", f'{B}|"y', f"{C}|z"]
    assert sound(*(line.replace("|", delimiter) for line in lines)) == [[A, "x"], [C, "z"]]


@pytest.mark.parametrize(("more", "lines"), [(0, 1), (1, 3)])
def test_a_record_over_several_lines_has_the_bound_of_one_line(more, lines):
    first, second, last = f'{A},"x\n', f"{B},y\n", '"\n'
    middle = "x" * (LIMIT - len(first) - len(second) - len(last) - 1 + more) + "\n"
    found = list(parse_records([first, second, middle, last], frozenset()))
    assert (found[0].problem is None, len(found) == 1) == (lines == 1, lines == 1)


def test_a_line_of_blanks_as_long_as_a_record_may_be_is_blank():
    assert parsed(" " * (LIMIT - 1), A) == [Record(2, [A])]


def test_each_line_of_hostile_quotes_is_read_a_bounded_number_of_times(monkeypatch):
    """Each opens a quote that the next closes, and opens another: followed, each would cost ``LIMIT`` characters.

    Read so many times while quotes are followed, and twice when they no longer are: behind another, and alone.
    """
    patience, limit, reads = 2, 400, 0
    monkeypatch.setattr(records, "_PATIENCE", patience)
    monkeypatch.setattr(records, "_PATIENT_LINES", limit)
    monkeypatch.setattr(records, "LIMIT", limit)
    next_line = records._Lines._next

    def counted(lines: records._Lines) -> str:
        nonlocal reads
        reads += 1
        return next_line(lines)

    monkeypatch.setattr(records._Lines, "_next", counted)
    hostile = ['",b","'] * 1_000
    assert len(parsed(*hostile)) == len(hostile)
    assert reads <= (patience + 2) * (len(hostile) + limit)


def test_after_too_many_reads_no_quote_spans_lines(monkeypatch):
    monkeypatch.setattr(records, "_PATIENCE", 0)
    found = parsed('",b","', f'{A},"x', 'y"', B)
    assert [record.number for record in found] == [1, 2, 3, 4]


# ---------------------------------------------------------------------------------------- lines in pieces


@pytest.mark.parametrize("cut", range(1, 6))
def test_lines_do_not_depend_on_where_their_text_is_cut(cut):
    text = "XX\nX\nX"
    assert list(split_lines([text[:cut], text[cut:]])) == ["XX\n", "X\n", "X"]


@pytest.mark.parametrize("length", [LIMIT, LIMIT + 1, 3 * LIMIT])
def test_a_line_too_long_that_is_cut_just_before_its_newline_is_seen_as_too_long(length):
    """Its end counts: with it the shortest of them is one character longer than a record may be."""
    [line] = split_lines(["x" * length, "\n"])
    [record] = parse_records([line], frozenset())
    assert "longer than" in str(record.problem)
