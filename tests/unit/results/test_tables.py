"""Response files as tables: whatever the file, the records are those of the strict reader, or the same refusal."""

import csv
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.results import reader, tables
from orchestrator.results.csv_text import guarded
from orchestrator.results.formula_guard import guard
from orchestrator.results.reader import BadResponseFile, read_rows
from orchestrator.results.tables import read_tables
from tests.unit.results.response_zips import csv_text, make_zip

MARKS = {"succeeded": b"Y", "failed": b"N", "unprocessed": b""}
Found = tuple[list[str], list[tuple[int, bytes, list[bytes]]]] | str


def strictly(path: Path) -> Found:
    try:
        with read_rows(path) as rows:
            width = len(rows.header)
            return rows.header, [
                (number, MARKS[verdict], _encoded(cells) + [b""] * (width - len(cells)))
                for number, verdict, cells in rows
            ]
    except BadResponseFile as error:
        return str(error)


def _encoded(cells: list[str]) -> list[bytes]:
    return [cell.encode("utf-8", "surrogateescape") for cell in cells]


def as_tables(path: Path) -> Found:
    try:
        found = list(read_tables(path))
    except BadResponseFile as error:
        return str(error)
    records = []
    for table in found:
        columns = zip(*(column.to_pylist() for column in table.columns), strict=True)
        numbered = enumerate(zip(table.marks.to_pylist(), columns, strict=True), table.first)
        records += [(number, mark, list(cells)) for number, (mark, cells) in numbered]
    return found[0].header, records


PIECES = st.sampled_from(
    [
        "Y",
        "N",
        "",
        "y",
        " Y ",
        "x",
        "Success",
        ",",
        '"',
        '""',
        "\n",
        "\r\n",
        "\r",
        " ",
        "a,b",
        '"q"',
        "\ufeff",
        "ü",
        "\0",
    ]
)
BODIES = st.lists(PIECES, max_size=30).map("".join)
CELLS = st.text(st.sampled_from('ab," \n;ü\t'), max_size=6)
CELL_STARTS = [
    *map(chr, range(1, 0x180)),
    "\u200b=",
    "\uff1d",
    "\u3000=",
    "\ufeff=",
    "'=",
    "-1",
    '"=',
    ",=",
    "\n=",
]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3)
ROWS = st.lists(st.tuples(CELLS, st.sampled_from(["Y", "N", "", "n", " Y"]), CELLS), max_size=8)


@given(BODIES)
@example("")
@example('a,"b"c,Y\n')
@example('a,b"c,Y\n')
@example('a,"b,"c,Y\n')
@example('a,"unclosed,Y\n')
@example("a,Y\rb,N\r")
@example("\n\n\na,Y\n\n")
@example("a,Y,,\n")
@example("a\n")
@example("a,maybe\n")
@example("\ufeffa,Y\n")
def test_any_text_is_read_as_the_strict_reader_reads_it(tmp_path_factory, body):
    data = f"A,Success\n{body}".encode()
    path = make_zip(tmp_path_factory.mktemp("file") / "file.zip", data)
    assert as_tables(path) == strictly(path)


@given(BODIES)
def test_any_header_is_read_as_the_strict_reader_reads_it(tmp_path_factory, header):
    path = make_zip(tmp_path_factory.mktemp("file") / "file.zip", f"{header}\nY,a\n".encode())
    assert as_tables(path) == strictly(path)


@given(ROWS, st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]), st.booleans(), st.booleans())
def test_any_table_is_read_as_the_strict_reader_reads_it(tmp_path_factory, rows, quoting, bom, cut):
    data = csv_text(["A", "Success", "Note"], rows, quoting)
    data = (b"\xef\xbb\xbf" if bom else b"") + (data.removesuffix(b"\r\n") if cut else data)
    path = make_zip(tmp_path_factory.mktemp("file") / "file.zip", data)
    assert as_tables(path) == strictly(path)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_as_the_strict_reader_reads_them(tmp_path_factory, body):
    path = make_zip(tmp_path_factory.mktemp("file") / "file.zip", b"A,Success\n" + body)
    assert as_tables(path) == strictly(path)


@pytest.mark.parametrize(
    "body",
    [
        b"x" * (1 << 20) + b",Y\n",
        b"x" * ((1 << 20) - 10) + b",Y\n",
        b'"' + b"\n" * ((1 << 20) + 1) + b'",Y\n',
        b"x,Y\n" * 20_000,
        b'"x",Y\r\n' * 20_000 + b"short",
    ],
    ids=["too long", "nearly too long", "too many lines", "many records", "many records and a short one"],
)
def test_long_files_are_read_as_the_strict_reader_reads_them(tmp_path, body):
    path = make_zip(tmp_path / "file.zip", b"A,Success\n" + body)
    assert as_tables(path) == strictly(path)


@pytest.mark.parametrize("size", [40, 1_000])
@pytest.mark.parametrize(
    "body",
    [
        b"x,Y\n" * 10_000,
        b'"x\ny",Y\r\n' * 10_000,
        b'"x\ny","Y"\n' * 500 + b'"a\nb","Y"x\n' * 500,
        b"x,Y\n" * 500 + b"x,maybe\n",
        b"x,Y\n" * 500 + b"short\n" + b'"y",N' * 500,
        b"x,Y\n" * 500 + b"\n" * 5_000 + b"y,N",
        b"\xef\xbb\xbfx,Y\n" * 1_000,
        b"x" * 5_000 + b",Y\n",
        b"x,Y\n" * 300 + b"\0,Y\n",
    ],
    ids=["many", "line ends", "not sound", "odd mark", "short", "blank lines", "BOM", "long record", "NUL"],
)
def test_a_long_file_is_read_in_pieces(tmp_path, monkeypatch, body, size):
    monkeypatch.setattr(tables, "PIECE", size)
    monkeypatch.setattr(tables, "LATER_PIECE", size)
    monkeypatch.setattr(reader, "CHUNK", size // 4)
    path = make_zip(tmp_path / "file.zip", b"A,Success\n" + body)
    assert as_tables(path) == strictly(path)


def test_a_long_file_is_never_in_memory_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "PIECE", 1_000)
    monkeypatch.setattr(tables, "LATER_PIECE", 1_000)
    monkeypatch.setattr(reader, "CHUNK", 100)
    path = make_zip(tmp_path / "file.zip", b"A,Success\n" + b'"x\ny",Y\n' * 10_000)
    assert max(len(table.marks) for table in read_tables(path)) < 200


@given(st.lists(st.sampled_from(CELL_STARTS) | TEXT, min_size=1), st.booleans(), st.booleans())
def test_no_cell_of_a_harmless_table_needs_the_formula_guard(tmp_path_factory, cells, quotes, bom):
    rows = [[cell, "Y"] for cell in cells]
    data = csv_text(["A", "Success"], rows, csv.QUOTE_ALL if quotes else csv.QUOTE_MINIMAL)
    data = (b"\xef\xbb\xbf" if bom else b"") + data
    path = make_zip(tmp_path_factory.mktemp("file") / "file.zip", data)
    found = [
        cell.decode()
        for table in read_tables(path)
        if table.harmless
        for cell in table.columns[0].to_pylist()
    ]
    assert list(map(guard, found)) == found


@pytest.mark.parametrize("note", ["Doe, Jane", 'said "no"', "", "\u00fc", "12", "line\nend"])
def test_a_table_of_usual_cells_is_harmless(tmp_path, note):
    data = csv_text(["A", "Success"], [[note, "Y"], ["a, b", ""]])
    (table,) = read_tables(make_zip(tmp_path / "file.zip", data))
    assert table.harmless


@given(st.lists(st.sampled_from(CELL_STARTS) | TEXT))
def test_a_column_is_guarded_as_its_cells_are(cells):
    column = pa.array([cell.encode() for cell in cells], pa.binary())
    assert guarded(column).to_pylist() == [guard(cell).encode() for cell in cells]


def test_a_usual_file_is_one_table(tmp_path):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["A", "Success"], ["x, y", "Y"], ["z", ""]])
    path = make_zip(tmp_path / "file.zip", text.getvalue().encode())
    (table,) = read_tables(path)
    assert (table.first, table.marks.to_pylist()) == (1, [b"Y", b""])
