"""Bulk keys in: what a source of any shape gives, row by row, and what it is refused for."""

import gzip
import hashlib
import os
import select
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import InputError
from orchestrator.model import InputRow
from orchestrator.store.sources import Source, open_source
from orchestrator.store.sources.raw import sentence
from orchestrator.store.sources.text import LIMIT

A, B, C = "a" * 32, "B" * 32, "0123456789abcdefABCDEF0123456789"


class Pipe:
    """A pipe whose writer acts only when the reader is about to wait: one chunk each time, then the end."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = list(chunks)
        self._reading, self._writing = os.pipe()
        self.spec = f"/dev/fd/{self._reading}"
        self._opened = False

    def feed(self) -> None:
        if not self._opened:
            self._opened = True
        elif self._chunks:
            os.write(self._writing, self._chunks.pop(0))
        elif self._writing >= 0:
            os.close(self._writing)
            self._writing = -1

    def close(self) -> None:
        os.close(self._reading)
        if self._writing >= 0:
            os.close(self._writing)


@pytest.fixture
def keys(tmp_path):
    """Reads the given content as a file; the options are those of ``Source.read``."""

    def read(content: str | bytes, **options: Any) -> list[InputRow]:
        return list(source(tmp_path, content).read(**options))

    return read


@pytest.fixture
def pipe():
    """Makes pipes and closes them."""
    made: list[Pipe] = []

    def make(*chunks: bytes) -> Pipe:
        made.append(Pipe(*chunks))
        return made[-1]

    yield make
    for each in made:
        each.close()


def source(folder: Path, content: str | bytes, name: str = "keys.csv") -> Source:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_source(str(path))


def brief(rows: list[InputRow]) -> list[tuple[int, str]]:
    return [(row.number, row.key) for row in rows if row.problem is None]


def problem(rows: list[InputRow]) -> str:
    [found] = [row.problem for row in rows if row.problem]
    return found


# ---------------------------------------------------------------------------------------- shapes of input


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
        pytest.param(f"id,{A}\n{B},x\n", [(2, B)], id="no header: first column"),
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


def test_a_bulk_key_header_goes_before_a_key_header(keys):
    assert keys(f"key,bulk_key\n{B},{A}\n") == [InputRow(2, A, {"key": B})]


def test_a_first_row_that_holds_a_key_is_no_header(keys):
    assert keys(f"{A},key\n") == [InputRow(1, A, {"column_2": "key"})]


def test_a_first_row_without_a_known_header_is_reported_and_not_dropped(keys):
    assert [row.key for row in keys(f"oops\n{A}\n")] == ["oops", A]


# ---------------------------------------------------------------------------------------- --column


@pytest.mark.parametrize("column", ["Job Id", "job_id", "JOBID"])
def test_a_column_is_named_exactly_or_but_for_case_and_separators_and_its_header_is_no_row(keys, column):
    assert keys(f"bulk_key,Job Id\n{B},{A}\n", column=column) == [InputRow(2, A, {"bulk_key": B})]


def test_an_exact_column_name_goes_before_a_similar_one(keys):
    assert brief(keys(f"JOB_ID,job id\n{B},{A}\n", column="job id")) == [(2, A)]


def test_a_column_name_that_is_not_there_is_refused_with_the_names_that_are(keys):
    with pytest.raises(InputError, match=r"keys\.csv has no column 'job'; its first row holds 'id', 'note'"):
        keys(f"id,note\n{A},x\n", column="job")


@pytest.mark.parametrize(("columns", "more"), [(20, ""), (21, ", …"), (22, ", …")])
def test_of_very_many_names_the_first_are_told_and_of_a_long_one_its_start(keys, columns, more):
    titles = ["x" * 50, *(f"title_{n}" for n in range(2, columns + 1))]
    told = ", ".join([repr("x" * 40), *(repr(title) for title in titles[1:20])]) + more
    with pytest.raises(InputError) as raised:
        keys(",".join(titles) + f"\n{A}\n", column="job")
    sentence = str(raised.value).partition("keys.csv ")[2]
    assert sentence == (
        f"has no column 'job'; its first row holds {told}. Give --column one of these, or a number from 1."
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
def test_a_first_row_that_is_hardly_a_header_is_reported(keys, content):
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


def test_a_key_in_the_first_row_is_not_held_back_to_look_for_a_header(pipe):
    slow = pipe(f"x,{A}\n".encode(), f"y,{B}\n".encode())
    events: list[str] = []

    def wait() -> None:
        events.append("wait")
        slow.feed()

    rows = open_source(slow.spec).read(column="2", on_wait=wait)
    next(rows)
    assert len(events) == 2  # the opening, and the one read that brought the row


def test_column_zero_is_refused(keys):
    with pytest.raises(InputError, match=r"^Column 0 does not exist; columns are counted from 1\.$"):
        keys(f"{A}\n", column="0")


# ---------------------------------------------------------------------------------------- labels, weight


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
    assert keys(f"key,size\n{A},{cell}\n", weight_column="Size")[0].weight == weight


def test_a_weight_stays_among_the_labels(keys):
    assert keys(f"key,size\n{A},7\n", weight_column="2") == [InputRow(2, A, {"size": "7"}, 7.0)]


def test_a_row_that_ends_before_the_weight_has_none(keys):
    assert keys(f"key,size\n{A}\n", weight_column="size") == [InputRow(2, A)]


@pytest.mark.parametrize(
    ("content", "weight_column", "sentence"),
    [
        (f"key,size\n{A},1\n", "speed", r"keys\.csv has no column 'speed'"),
        (f"key,size\n{A},1\n", "3", "has no column 3 to order by; its first row has 2"),
        (f"{A},1\n", "size", r"has no header, .*; give --order the column's number, from 1\.$"),
    ],
)
def test_a_weight_column_that_is_not_there_is_refused(keys, content, weight_column, sentence):
    with pytest.raises(InputError, match=sentence):
        keys(content, weight_column=weight_column)


# ---------------------------------------------------------------------------------------- malformed rows


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
def test_a_malformed_row_says_what_its_cell_held_and_why(keys, line, key, sentence):
    [row] = keys(f"note,key\n{line}\n")
    assert (row.number, row.key, sentence in str(row.problem)) == (2, key, True), row.problem


@pytest.mark.parametrize(
    ("header", "line"), [("key,owner", "x,jane"), ("owner,key", "jane"), ("owner,x,key", "jane")]
)
def test_a_malformed_row_keeps_its_labels_even_if_it_ends_before_its_key(keys, header, line):
    assert keys(f"{header}\n{line}\n")[0].labels == {"owner": "jane"}


# ---------------------------------------------------------------------------------------- stray quotes


def test_a_quote_never_closed_makes_its_line_malformed(keys):
    assert "is not closed properly" in problem(keys(f'{A}\n{B},"x\n'))


def test_a_quote_never_closed_keeps_what_its_key_cell_held(keys):
    assert [row.key for row in keys(f'{A}\n{B},"x') if row.problem] == [B]


def test_a_quote_never_closed_adds_nothing_to_its_cell(keys):
    assert [row.labels for row in keys(f'{A}\n{B},"x') if row.problem] == [{"column_2": "x"}]


def test_a_line_as_long_as_a_record_may_be_is_not_too_long(keys):
    line = f'{B},"'
    assert "is not closed properly" in problem(keys(f"{A}\n{line}" + "x" * (LIMIT - len(line))))


def test_a_row_as_long_as_a_record_may_be_is_read(keys):
    assert brief(keys(f"{A}\n{B},".ljust(33 + LIMIT, "x"))) == [(1, A), (2, B)]


def test_a_row_belongs_to_the_tenant_that_it_names_which_is_no_label(keys):
    rows = keys(f"tenant,key,note\n north ,{A},x\n", tenant_column="tenant")
    assert rows == [InputRow(2, A, {"note": "x"}, tenant="north")]


@pytest.mark.parametrize(
    ("content", "tenant_column", "sentence"),
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
def test_a_tenant_column_that_is_not_there_is_refused_and_tenant_is_named_instead(
    keys, content, tenant_column, sentence
):
    with pytest.raises(InputError, match=rf"{sentence}.* name it with --tenant\.$"):
        keys(content, tenant_column=tenant_column)


def test_a_row_that_ends_before_its_tenant_has_none(keys):
    assert keys(f"key,tenant\n{A}\n", tenant_column="tenant") == [InputRow(2, A)]


def test_the_rows_below_a_quote_never_closed_are_read(keys):
    assert brief(keys(f'"{A}\n{B}\n# x\n{C}\n')) == [(2, B), (4, C)]


def test_a_key_in_a_text_that_was_cut_short_is_not_taken_for_a_row(keys):
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


def test_quotes_that_are_hostile_cost_time_in_proportion_and_lose_no_line(keys):
    assert len(keys('",b","\n' * 50_000)) == 50_000


def test_a_line_longer_than_a_record_may_be_is_one_malformed_row(keys):
    assert "longer than 131,072 characters" in problem(keys(f"{A}\n" + f"{B}," * (LIMIT // 8) + f"\n{C}\n"))


def test_the_line_behind_one_that_is_too_long_keeps_its_number(keys):
    assert brief(keys(f"{A}\n" + "x" * (3 * LIMIT) + f"\n{C}\n")) == [(1, A), (3, C)]


def test_blanks_longer_than_a_record_may_be_are_not_taken_for_a_blank_line(keys):
    assert "longer than" in problem(keys(" " * 2 * LIMIT + f"{A}\n"))


# ---------------------------------------------------------------------------------------- not text


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(f"{A}\n".encode("utf-16"), "is UTF-16. Save it as CSV in UTF-8", id="UTF-16"),
        pytest.param(f"{A}\n".encode("utf-16-le"), r"a NUL byte in line 1 \(byte 2\)", id="UTF-16, no mark"),
        pytest.param(b"PK\x03\x04\x14\x00\x00", "is a zip archive or an Excel workbook", id="workbook"),
        pytest.param(f"{A}\r\ncafé\r\n".encode("latin-1"), r"byte 0xE9 in line 2 \(byte 38\)", id="Latin-1"),
        pytest.param(
            b"\xef\xbb\xbfx\n\xff", r"byte 0xFF in line 2 \(byte 6\)", id="behind a byte order mark"
        ),
        pytest.param(f"{A}\n".encode() + "é".encode()[:1], r"0xC3 in line 2 \(byte 34\)", id="cut character"),
        pytest.param(f"{A}\n".encode() * 9999 + b"\0", r"in line 10000 \(byte 329968\)", id="far down"),
    ],
)
def test_what_is_not_utf8_text_is_refused_with_its_place(keys, content, sentence):
    with pytest.raises(InputError, match=sentence):
        keys(content)


@pytest.mark.parametrize("name", ["keys.csv", "keys.csv.gz"])
def test_no_key_leaves_a_file_that_is_bad_at_its_end(tmp_path, name):
    content = f"{A}\n".encode() * 99_999 + b"\xff"
    rows = source(tmp_path, gzip.compress(content) if name.endswith("gz") else content, name).read()
    with pytest.raises(InputError):
        next(rows)


def test_no_key_leaves_a_pipe_from_the_chunk_that_holds_a_bad_byte(pipe):
    slow = pipe(f"{A}\n".encode(), f"{B}\n\xff".encode("latin-1"))
    rows = open_source(slow.spec).read(on_wait=slow.feed)
    assert next(rows).key == A
    with pytest.raises(InputError, match=r"0xFF in line 3 \(byte 67\)"):
        next(rows)


# ---------------------------------------------------------------------------------------- gzip


def test_a_gz_file_is_unpacked(tmp_path):
    assert brief(list(source(tmp_path, gzip.compress(f"{A}\n".encode()), "k.gz").read())) == [(1, A)]


def test_a_gz_file_of_several_members_is_read_to_its_end(tmp_path):
    content = gzip.compress(f"{A}\n{B[:9]}".encode()) + gzip.compress(f"{B[9:]}\n".encode())
    assert brief(list(source(tmp_path, content, "k.gz").read())) == [(1, A), (2, B)]


def test_gzip_is_recognised_without_its_name(keys):
    assert brief(keys(gzip.compress(f"{A}\n".encode()))) == [(1, A)]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(gzip.compress(A.encode())[:-3], "is cut short", id="cut short"),
        pytest.param(gzip.compress(A.encode())[:-8] + bytes(8), "is not sound gzip data", id="damaged"),
        pytest.param(gzip.compress(A.encode()) + b"tail", "is not sound gzip data", id="foreign tail"),
        pytest.param(A.encode(), "drop .gz from its name", id="plain text"),
    ],
)
def test_bad_gzip_data_is_refused(tmp_path, content, sentence):
    with pytest.raises(InputError, match=sentence):
        list(source(tmp_path, content, "k.gz").read())


# ---------------------------------------------------------------------------------------- the source itself


def test_a_source_that_does_not_exist_is_refused_at_once(tmp_path):
    with pytest.raises(InputError, match="does not exist; check the path"):
        open_source(str(tmp_path / "none.csv"))


def test_a_directory_is_refused_at_once(tmp_path):
    with pytest.raises(InputError, match="is a directory; name the files"):
        open_source(str(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused_at_once(tmp_path):
    (tmp_path / "k").touch(mode=0)
    with pytest.raises(InputError, match="may not be read by this user"):
        open_source(str(tmp_path / "k"))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PermissionError(13, "no"), "k may not be read by this user; change its permissions or run as one who may."),
        (OSError(5, "broken"), "k cannot be read (broken); check the path and the disk, or copy it elsewhere."),
        (ValueError("null byte"), "'k' is not a path (null byte); check it, or use - for standard input."),
        (OSError("odd"), "'k' is not a path (odd); check it, or use - for standard input."),
    ],
)  # fmt: skip
def test_why_a_source_cannot_be_read_is_a_sentence(error, told):
    assert sentence("k", error) == told


def test_a_path_that_cannot_be_one_is_refused_at_once():
    with pytest.raises(InputError, match="is not a path"):
        open_source("a\0b")


def test_a_file_that_vanished_since_is_refused_when_read(tmp_path):
    opened = source(tmp_path, A)
    (tmp_path / "keys.csv").unlink()
    with pytest.raises(InputError, match="does not exist"):
        next(opened.read())


def test_a_source_knows_its_name_and_absolute_path(tmp_path, monkeypatch):
    source(tmp_path, A)
    monkeypatch.chdir(tmp_path)
    opened = open_source("keys.csv")
    assert (opened.name, opened.path) == ("keys.csv", str(tmp_path / "keys.csv"))


def test_the_digest_is_of_the_compressed_bytes(tmp_path):
    content = gzip.compress(f"{A}\n".encode())
    opened = source(tmp_path, content, "k.gz")
    list(opened.read())
    assert opened.sha256 == hashlib.sha256(content).hexdigest()


def test_there_is_no_digest_before_the_end(tmp_path):
    opened = source(tmp_path, f"{A}\n{B}\n")
    next(opened.read())
    assert opened.sha256 is None


def test_rows_are_counted_as_they_are_yielded(tmp_path):
    opened = source(tmp_path, f"key\n{A}\nx\n")
    assert [opened.rows for _ in opened.read()] == [1, 2]


def test_a_file_can_be_read_again(tmp_path):
    opened = source(tmp_path, f"{A}\n")
    assert list(opened.read()) == list(opened.read())


def test_no_descriptor_is_left_open_by_a_reading_given_up(tmp_path):
    before = len(list(Path("/dev/fd").iterdir()))
    rows = source(tmp_path, f"{A}\n{B}\n").read()
    next(rows)
    rows.close()  # type: ignore[attr-defined]
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_memory_does_not_grow_with_the_input(tmp_path):
    opened = source(tmp_path, f"{A},some label\n" * 100_000)  # 4.4 MB
    tracemalloc.start()
    try:
        for _ in opened.read():
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


# ---------------------------------------------------------------------------------------- pipes, standard input


@pytest.fixture
def stdin() -> Iterator[list[int]]:
    """Puts the read end of a pipe in the place of standard input; gives the write end, to be closed by the test."""
    kept = os.dup(0)
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    os.close(reading)
    yield [writing]
    os.dup2(kept, 0)
    os.close(kept)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_dash_is_standard_input_plain_or_gzip(stdin, pack):
    os.write(stdin[0], pack(f"key\n{A}\n".encode()))
    os.close(stdin[0])
    opened = open_source("-")
    assert (opened.name, opened.path, brief(list(opened.read()))) == ("<stdin>", None, [(2, A)])


def test_standard_input_may_be_non_blocking(stdin, monkeypatch):
    os.set_blocking(0, False)
    sent = [b"", f"{A}\n".encode()]

    def wait_until_readable(*what: object) -> None:
        assert what == ([0], [], [])
        if data := sent.pop():
            os.write(stdin[0], data)
        else:
            os.close(stdin[0])

    monkeypatch.setattr(select, "select", wait_until_readable)
    assert brief(list(open_source("-").read())) == [(1, A)]


@pytest.mark.parametrize("first", [f"{A}\n", f"{A}\r\n", f'{A},"x"\n', f'{A},"x\ny"\n', f"# c\n\n{A};x\n"])
def test_a_record_leaves_a_slow_pipe_before_the_next_line_comes(pipe, first):
    slow = pipe(first.encode(), B.encode())
    events: list[str] = []
    note = events.append

    def wait() -> None:
        note("wait")
        slow.feed()

    for row in open_source(slow.spec).read(on_wait=wait):
        note(row.key)
    assert events == ["wait", "wait", A, "wait", "wait", B]  # opening, first chunk, second chunk, end


def test_a_line_that_comes_in_pieces_is_one_row(pipe):
    slow = pipe(A[:5].encode(), A[5:].encode(), b"\r", b"\n", B.encode())
    assert brief(list(open_source(slow.spec).read(on_wait=slow.feed))) == [(1, A), (2, B)]


def test_the_last_line_of_a_pipe_needs_no_newline(pipe):
    slow = pipe(A.encode())
    assert brief(list(open_source(slow.spec).read(on_wait=slow.feed))) == [(1, A)]
