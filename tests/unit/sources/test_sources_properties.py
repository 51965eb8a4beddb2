"""Laws of reading bulk keys, for any table, any bytes and any way they may come."""

import csv
import gzip
import io
import json
import os
import re
import string
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import InputError
from orchestrator.model import InputRow, is_bulk_key
from orchestrator.sources import open_source
from orchestrator.sources.cells import INVISIBLE
from orchestrator.sources.rows import Wanted

keys = st.text(string.ascii_letters + string.digits, min_size=32, max_size=32)
plain = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=12)
cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12) | st.sampled_from(
    ["\r\n", "#", '"', '""', "\n# no comment", "\n\n", ",;\t", "\ufeff", "\u2028x", "\x1c"]
)
between = st.lists(st.sampled_from(["", "  ", "# comment", '# "', "#,;\t", ",;"]), max_size=2)


class Table(NamedTuple):
    """A table as it is written, and the rows that it must give."""

    content: bytes
    rows: list[InputRow]


@st.composite
def tables(draw: st.DrawFn) -> Table:
    quoted = draw(st.booleans())
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    width = draw(st.integers(0, 3))
    at = draw(st.integers(0, width))
    headed = draw(st.booleans()) or at > 0
    cell = cells if quoted else plain.filter(lambda text: not text.startswith("#"))
    titles = draw(
        st.lists(
            st.text(string.ascii_lowercase, min_size=4, max_size=6),
            min_size=width,
            max_size=width,
            unique=True,
        )
    )
    out = io.StringIO(newline="")
    writer = csv.writer(
        out,
        delimiter=draw(st.sampled_from(",;\t")),
        lineterminator=end,
        quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL,
    )
    rows = []
    if headed:
        writer.writerow(
            [*titles[:at], draw(st.sampled_from(["bulk_key", "Bulk Key", "bulkKey"])), *titles[at:]]
        )
    else:
        titles = [f"column_{number}" for number in range(2, width + 2)]
    for key in draw(st.lists(keys, max_size=6)):
        out.write("".join(line + end for line in draw(between)))
        number = 1 + len(re.findall(r"\r\n|\r|\n", out.getvalue()))
        labels = draw(st.lists(cell, min_size=width, max_size=width))
        padded = draw(st.sampled_from(["", " "])) + key + draw(st.sampled_from(["", "  "]))
        writer.writerow([*labels[:at], padded, *labels[at:]])
        rows.append(InputRow(number, key, dict(zip(titles, labels, strict=True))))
    text = out.getvalue()
    if draw(st.booleans()):
        text = text.removesuffix(end)
    return Table(draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.encode(), rows)


@st.composite
def messy(draw: st.DrawFn) -> bytes:
    """Bytes that are almost a table."""
    pieces = st.sampled_from(
        ["a" * 32, "B" * 32, '"', '""', ",", ";", "\t", "\n", "\r", "#", " ", "key", "x"]
    )
    content = "".join(draw(st.lists(pieces | plain, max_size=40))).encode()
    return content + draw(st.sampled_from([b"", b"", b"\0", b"\xff", "é".encode()[:1]]))


def through_a_pipe(content: bytes, cuts: list[int], *, column: str | None = None) -> list[InputRow]:
    """Reads ``content`` from a pipe that gives it in pieces, cut at ``cuts`` (positions, taken modulo its length)."""
    edges = sorted({0, len(content), *(cut % (len(content) + 1) for cut in cuts)})
    pieces = [content[start:end] for start, end in pairwise(edges)]
    reading, writing = os.pipe()
    opened = False

    def feed() -> None:
        nonlocal opened, writing
        if not opened:
            opened = True
        elif pieces:
            os.write(writing, pieces.pop(0))
        elif writing >= 0:
            os.close(writing)
            writing = -1

    try:
        return list(open_source(f"/dev/fd/{reading}").read(Wanted(column=column), on_wait=feed))
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)


cuts = st.lists(st.integers(0, 4096), max_size=8)


@given(tables())
def test_any_table_written_by_csv_is_read_back(table):
    assert through_a_pipe(table.content, []) == table.rows


@given(tables(), cuts)
def test_the_pieces_of_a_pipe_do_not_change_its_rows(table, cuts):
    assert through_a_pipe(table.content, cuts) == table.rows


@given(tables(), cuts, st.integers(0, 4096))
def test_gzip_in_any_members_and_pieces_gives_the_same_rows(table, cuts, cut):
    cut %= len(table.content) + 1
    packed = gzip.compress(table.content[:cut]) + gzip.compress(table.content[cut:])
    assert through_a_pipe(packed, cuts) == table.rows


@given(tables(), st.integers(0, 4096))
def test_a_truncated_gzip_stream_is_refused(table, cut):
    packed = gzip.compress(table.content)
    try:
        through_a_pipe(packed[: 2 + cut % (len(packed) - 2)], [])
    except InputError:
        return
    raise AssertionError("a cut stream passed")


@given(messy(), cuts)
def test_any_bytes_give_rows_or_an_input_error_however_they_come(content, cuts):
    def result(cuts: list[int]) -> list[InputRow] | None:
        try:
            return through_a_pipe(content, cuts)
        except InputError:
            return None

    assert result(cuts) == result([])


@given(messy(), st.sampled_from([None, "1", "2"]))
def test_row_numbers_rise(content, column):
    try:
        numbers = [row.number for row in through_a_pipe(content, [], column=column)]
    except InputError:
        return
    assert numbers == sorted(numbers)


@given(messy(), st.sampled_from([None, "1", "2"]))
def test_a_row_without_a_problem_holds_a_bulk_key(content, column):
    try:
        rows = through_a_pipe(content, [], column=column)
    except InputError:
        return
    assert all(is_bulk_key(row.key) for row in rows if row.problem is None)


@given(st.lists(keys | plain.filter(lambda text: '"' not in text), max_size=12))
def test_every_line_without_quotes_is_a_row_a_blank_or_a_comment(lines):
    kept = [
        number
        for number, line in enumerate(["key,note", *lines], 1)
        if line.strip(INVISIBLE + ",;") and not line.startswith("#")
    ]
    content = "\n".join(["key,note", *lines]).encode()
    assert [row.number for row in through_a_pipe(content, [])] == kept[1:]


@given(st.lists(keys, min_size=1, max_size=12), st.integers(0, 11), st.sampled_from(['"', 'x,"', 'x,"y"z,"']))
def test_a_stray_quote_hides_no_other_row(below, at, stray):
    lines = [*below[:at], stray, *below[at:]]
    rows = through_a_pipe("\n".join(lines).encode(), [])
    assert [row.key for row in rows if row.problem is None] == below


words = st.sampled_from(["", "x", "n/a", "owner", "12", "a sentence", "K" * 31, "bulk_key", "#", "sep=;"])
written_keys = keys.flatmap(
    lambda key: st.sampled_from(
        [
            key,
            key,
            f"({key})",
            f"- {key}.",
            f"'{key}",
            f'="{key}"',
            f"`{key}`",
            f"\u200b{key}\u00a0",
            f" {key}",
        ]
    )
)
titles = st.sampled_from(["bulk_key", "Key", "BulkJobId", "entity", "note", "", "owner", "bulkKey"])
grids = st.lists(st.lists(words | written_keys, min_size=1, max_size=4), min_size=1, max_size=6)


@st.composite
def grids_with_header(draw: st.DrawFn) -> list[list[str]]:
    header = draw(st.lists(titles, min_size=1, max_size=4))
    return [header, *draw(grids)]


@given(
    grids | grids_with_header(),
    st.sampled_from(",;\t"),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from([None, None, "1", "2", "BulkJobId", "entity"]),
    cuts,
)
def test_every_key_is_sent_or_is_a_label_below_its_title_or_the_input_is_not_clean(
    grid, delimiter, quoting, column, cuts
):
    """The rows are clean if a run of them could end in exit status 0."""
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator="\n").writerows(grid)
    try:
        rows = through_a_pipe(out.getvalue().encode(), cuts, column=column)
    except InputError:
        return
    if not rows or any(row.problem is not None for row in rows):
        return
    header = [title.strip() for title in grid[0]]
    for number, cells in enumerate(grid, 1):
        if cells[0].startswith("#"):
            continue
        mine = [row for row in rows if row.number == number]
        if (
            not mine
            and number == 1
            and {title.casefold() for title in header} & {"bulk_key", "key", "bulkkey"}
        ):
            continue  # a row with a known title is a header, even if another title mentions a key
        for place, cell in enumerate(cells):
            key = re.sub("[^0-9A-Za-z]", "", cell)
            if not is_bulk_key(key):
                continue
            title = header[place] if place < len(header) and rows[0].number > 1 else ""
            labelled = any(
                label == cell
                for row in mine
                for name, label in row.labels.items()
                if name.startswith(title or "?")
            )
            assert key in [row.key for row in mine] or labelled or column is not None


@given(
    st.lists(st.lists(keys, min_size=1, max_size=4), min_size=1, max_size=6), st.sampled_from(",;\t"), cuts
)
def test_every_key_of_a_table_without_header_is_sent_in_order(grid, delimiter, cuts):
    content = "".join(delimiter.join(cells) + "\n" for cells in grid).encode()
    expected = [(number, key) for number, cells in enumerate(grid, 1) for key in cells]
    assert [(row.number, row.key) for row in through_a_pipe(content, cuts)] == expected


members = st.dictionaries(
    st.sampled_from(["owner", "id", "tags"]), plain | st.integers() | st.none() | keys, max_size=2
)
values = keys | st.builds(
    lambda name, key, more: {name: key, **more}, st.sampled_from(["bulkKey", "bulk_key"]), keys, members
)


@given(st.lists(values, max_size=6), st.sampled_from([None, 1]), st.booleans(), cuts)
def test_every_key_of_json_is_sent_however_it_comes(items, indent, lines, cuts):
    dumped = [json.dumps(item, indent=indent) for item in items]
    content = "\n".join(dumped) if lines else json.dumps(items, indent=indent)
    if lines and items and isinstance(items[0], str):
        return  # a first line in quotes is a table
    found = [item if isinstance(item, str) else item.get("bulkKey", item.get("bulk_key")) for item in items]
    assert [row.key for row in through_a_pipe(content.encode(), cuts)] == found
