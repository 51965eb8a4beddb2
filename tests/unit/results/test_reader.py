"""Reading a response file: its records, their verdicts, and its refusals."""

import csv
import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import MassStopError, StorageError
from orchestrator.model import Records
from orchestrator.results.reader import BadResponseFile, Bounds, count, extract_csv, read_rows


@pytest.fixture(scope="module")
def zipped(tmp_path_factory):
    """Writes a zip with one CSV and gives its path."""
    path = tmp_path_factory.mktemp("zips") / "response.zip"

    def make(data: bytes | str) -> Path:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("response.csv", data)
        return path

    return make


def rows_of(path: Path) -> list[tuple[int, str, list[str]]]:
    with read_rows(path) as rows:
        return list(rows)


def verdicts(path: Path) -> list[str]:
    return [verdict for _, verdict, _ in rows_of(path)]


def header_of(path: Path) -> list[str]:
    with read_rows(path) as rows:
        return rows.header


def refusal(path: Path, bounds: Bounds | None = None) -> str:
    with pytest.raises(BadResponseFile) as caught:
        count(path, bounds or Bounds())
    return str(caught.value)


def test_records_are_counted_by_their_verdict(zipped):
    assert count(zipped("A,Success\n1,Y\n2,N\n3,\n4,Y\n")) == Records(
        total=4, processed=3, succeeded=2, failed=1, unprocessed=1, source="response_file"
    )


def test_a_file_with_only_a_header_counts_nothing(zipped):
    assert count(zipped("A,Success\n")) == Records(0, 0, 0, 0, 0, "response_file")


def test_records_are_numbered_from_one(zipped):
    assert [number for number, _, _ in rows_of(zipped("A,Success\n1,Y\n2,N\n"))] == [1, 2]


def test_a_record_of_several_lines_has_one_number(zipped):
    assert rows_of(zipped('A,Success\n"1\n1",Y\n2,N\n'))[1] == (2, "failed", ["2", "N"])


def test_blank_lines_are_no_records(zipped):
    assert [number for number, _, _ in rows_of(zipped("\n\nA,Success\n\n1,Y\n\r\n2,N\n\n"))] == [1, 2]


def test_cells_are_returned_unchanged(zipped):
    assert rows_of(zipped('A,Success\n" =1, ""x"" ", y \n')) == [(1, "succeeded", [' =1, "x" ', " y "])]


@pytest.mark.parametrize(
    "header",
    [
        "Success,A,B",
        "A,Success,B",
        "A,B,Success",
        "A,B,success",
        "A,B,SUCCESS",
        "A,B, Success ",
        'A,B,"Success"',
    ],
)
def test_the_success_column_is_found_in_any_form_and_place(zipped, header):
    place = next(n for n, name in enumerate(header.split(",")) if "success" in name.lower())
    row = ["x", "x"]
    row.insert(place, "Y")
    assert verdicts(zipped(f"{header}\n{','.join(row)}\n")) == ["succeeded"]


@pytest.mark.parametrize("header", ["Success,A", '"Success",A'])
def test_a_byte_order_mark_is_no_part_of_the_first_name(zipped, header):
    assert header_of(zipped(b"\xef\xbb\xbf" + header.encode() + b"\nY,1\n")) == ["Success", "A"]


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        *[(said, "succeeded") for said in ("Y", "y", " Y ", '"Y"')],
        *[(said, "failed") for said in ("N", "n", " n")],
        *[(said, "unprocessed") for said in ("", "  ", '""')],
    ],
)
def test_a_verdict_is_read_whatever_its_case_and_spaces(zipped, said, verdict):
    assert verdicts(zipped(f"A,Success\n1,{said}\n")) == [verdict]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end_is_understood(zipped, end):
    assert verdicts(zipped(end.join(["A,Success", "1,Y", "2,N"]))) == ["succeeded", "failed"]


def test_another_value_under_success_refuses_the_file_and_names_the_record(zipped):
    assert refusal(zipped("A,Success\n1,Y\n2,Maybe\n")) == (
        "The response file says 'Maybe' under Success in record 2; expected Y, N or nothing."
    )


def test_the_start_of_a_long_success_value_is_shown(zipped):
    assert f"says {'z' * 40!r} under" in refusal(zipped(f"A,Success\n1,{'z' * 41}\n"))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ("A,Success\n1,2,Y\n", "has 3 cells in record 1, but only 2 columns."),
        ("A,B\n1,Y\n", "has no Success columns; expected one."),
        ("Success,success\nY,N\n", "has 2 Success columns; expected one."),
        ("", "is empty: it has not even a header."),
        ("A,Success\n1\0,Y\n", "holds a CSV with NUL bytes: damaged, or UTF-16."),
        ('A,Success\n1,Y\n"1,Y\n', "holds no sound CSV up to line 3: unexpected end of data."),
    ],
)
def test_the_reason_for_a_refused_csv_is_a_sentence(zipped, data, sentence):
    assert refusal(zipped(data)) == f"The response file {sentence}"


def test_a_mark_in_the_middle_of_the_header_is_no_part_of_a_name(zipped):
    assert verdicts(zipped("A,\ufeffSuccess\n1,Y\n")) == ["succeeded"]


def test_a_column_with_another_name_around_success_is_another_column(zipped):
    assert "no Success columns" in refusal(zipped("A,XSuccessX\n1,Y\n"))


def test_line_ends_inside_quotes_are_returned_unchanged(zipped):
    assert rows_of(zipped('A,Success\r\n"1\r\n2\r3\n4",Y\r\n')) == [(1, "succeeded", ["1\r\n2\r3\n4", "Y"])]


LONGEST = Bounds(record=20)


@pytest.mark.parametrize(
    "record",
    [
        pytest.param("1,Y," + "x" * 15, id="one line"),
        pytest.param('"1\n2\n3\n",Y,' + "x" * 8, id="several lines"),
    ],
)
def test_a_record_may_be_as_long_as_the_bound_and_no_longer(zipped, record):
    """Its line end counts."""
    table = "A,Success,B12345678\n" + record
    assert count(zipped(f"{table}\n{record}\n"), LONGEST).total == 2
    assert (
        refusal(zipped(f"{table}x\n"), LONGEST)
        == "The response file has a record of more than 20 characters."
    )


def test_a_header_counts_as_a_record_does(zipped):
    assert "more than 20 characters" in refusal(zipped("A,Success,B123456789\n"), LONGEST)


def test_a_record_may_have_as_many_cells_as_the_bound_and_no_more(zipped):
    bounds = Bounds(columns=3)
    assert count(zipped("A,Success,B\n1,Y,\n"), bounds).total == 1
    assert (
        refusal(zipped("A,Success,B\n1,Y,,\n"), bounds)
        == "The response file has a record of more than 3 cells."
    )


def test_a_field_is_bounded_by_its_record_alone(zipped):
    """The csv module has a bound of its own, of one for the whole process."""
    before = csv.field_size_limit(10)
    try:
        assert count(zipped(f"A,Success\n{'x' * 5_000},Y\n")).total == 1
    finally:
        csv.field_size_limit(before)


def test_a_sentence_can_be_printed_whatever_the_cell_held(zipped):
    said = refusal(zipped(b"A,Success\n1,\x1b[2J\xff" + b"x" * 5000 + b"\n"))
    assert said.isprintable()
    assert said.encode()
    assert len(said) < 200


def test_a_short_record_without_its_success_cell_is_unprocessed(zipped):
    assert rows_of(zipped("A,B,Success\n1\n")) == [(1, "unprocessed", ["1"])]


def test_blank_cells_past_the_last_column_are_dropped(zipped):
    assert rows_of(zipped("A,Success\n1,Y,,\n")) == [(1, "succeeded", ["1", "Y"])]


def test_a_record_with_more_cells_than_columns_refuses_the_file(zipped):
    assert "has 3 cells in record 1" in refusal(zipped("A,Success\n1,2,Y\n"))


def test_a_missing_success_column_refuses_the_file(zipped):
    assert "no Success columns" in refusal(zipped("A,B\n1,Y\n"))


def test_two_success_columns_refuse_the_file(zipped):
    assert "2 Success columns" in refusal(zipped("Success,success\nY,N\n"))


@pytest.mark.parametrize("data", ["", "\n\r\n", b"\xef\xbb\xbf"])
def test_an_empty_csv_refuses_the_file(zipped, data):
    assert "empty" in refusal(zipped(data))


def test_an_unclosed_quote_refuses_the_file_instead_of_swallowing_records(zipped):
    assert "no sound CSV" in refusal(zipped('A,Success\n"1,Y\n2,N\n'))


@pytest.mark.parametrize("data", [b"A,Success\n1\0,Y\n", "A,Success\n1,Y\n".encode("utf-16")])
def test_nul_bytes_refuse_the_file(zipped, data):
    assert "NUL" in refusal(zipped(data))


@given(st.binary().filter(lambda data: not set(data) & set(b'\0\r\n",')))
def test_bytes_that_are_not_utf_8_can_be_written_again_as_they_were(zipped, data):
    ((_, _, cells),) = rows_of(zipped(b"A,Success\n." + data + b",Y\n"))
    assert cells[0].encode("utf-8", "surrogateescape") == b"." + data


_CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_TABLES = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.lists(_CELLS, min_size=width, max_size=width), min_size=1)
)


@given(_TABLES, st.sampled_from(["Y", "N", ""]), st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
def test_any_table_is_read_back_as_it_was_written(zipped, table, said, quoting):
    header = [f"column {n}" for n in range(len(table[0]))]
    text = io.StringIO(newline="")
    csv.writer(text, quoting=quoting).writerows([["Success", *header], *([said, *row] for row in table)])
    assert [cells for _, _, cells in rows_of(zipped(text.getvalue().encode()))] == [
        [said, *row] for row in table
    ]


def test_a_missing_file_is_a_local_failure(tmp_path):
    with pytest.raises(StorageError) as raised:
        count(tmp_path / "none.zip")
    path = tmp_path / "none.zip"
    assert str(raised.value) == f"The response file {path} cannot be read: No such file or directory."


def test_an_exception_of_the_caller_passes_unchanged(zipped):
    def use(path):
        with read_rows(path) as rows:
            next(iter(rows))
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        use(zipped("A,Success\n1,Y\n"))


def test_rows_may_be_left_before_their_end(zipped):
    with read_rows(zipped("A,Success\n" + "1,Y\n" * 100_000)) as rows:
        assert next(iter(rows)) == (1, "succeeded", ["1", "Y"])


def test_a_bad_response_file_is_a_known_error():
    assert issubclass(BadResponseFile, MassStopError)


@pytest.mark.parametrize("data", [b"A,Success\r\n1,Y", b"\xff\0 no CSV at all", b"", b"x" * 1_000_000])
def test_the_csv_is_extracted_byte_for_byte(zipped, data):
    out = io.BytesIO()
    extract_csv(zipped(data), out)
    assert out.getvalue() == data


def test_an_error_of_the_destination_is_passed_on(zipped):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        extract_csv(zipped("A,Success\n"), Full())
