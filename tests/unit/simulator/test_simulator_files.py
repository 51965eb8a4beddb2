"""Response files: whatever their style, their rows agree with the counts."""

import csv
import io
import zipfile
from collections import Counter

import pytest

from orchestrator.simulator.files import COLUMNS, Counts, file_name, key_of, read_upload, response_file


def _rows(data: bytes) -> tuple[list[str], list[list[str]], bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        (name,) = archive.namelist()
        raw = archive.read(name)
    rows = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    return rows[0], rows[1:], raw


def test_the_success_values_of_a_file_agree_with_the_counts() -> None:
    """Two hundred keys have two hundred styles; all of them read back alike."""
    counts = Counts(60, 40, 33, 7)
    for n in range(200):
        header, rows, _ = _rows(response_file(1, f"{n:032x}", counts))
        place = [name.lower() for name in header].index("success")
        assert Counter(row[place] for row in rows) == {"Y": 33, "N": 7, "": 20}
        assert {len(row) for row in rows} == {len(header)}


def test_files_come_in_every_style_that_the_api_may_choose() -> None:
    """BOM or none, CRLF or LF, much quoted or little, a line break within a field, sizes behind the data."""
    files = [response_file(1, f"{n:032x}", Counts(12, 12, 6, 6)) for n in range(200)]
    contents = [_rows(data) for data in files]
    raws = [raw for _, _, raw in contents]
    assert 0 < sum(raw.startswith(b"\xef\xbb\xbf") for raw in raws) < 200
    assert 0 < sum(b"\r\n" in raw for raw in raws) < 200
    assert 0 < sum(raw.removeprefix(b"\xef\xbb\xbf").startswith(b'"') for raw in raws) < 200
    assert any("\n" in field for _, rows, _ in contents for row in rows for field in row)
    assert {
        header.index(name) for header, _, _ in contents for name in header if name.lower() == "success"
    } == {0, 1, 5}
    assert {bool(data[6] & 8) for data in files} == {True, False}


def test_a_file_is_the_same_each_time_it_is_fetched() -> None:
    """Nothing of it is kept; it is written again from the seed."""
    assert response_file(1, "a" * 32, Counts(9, 3, 2, 1)) == response_file(1, "a" * 32, Counts(9, 3, 2, 1))


def test_a_file_of_no_records_has_a_header() -> None:
    """An empty upload is an upload."""
    header, rows, _ = _rows(response_file(1, "c" * 32, Counts(0, 0, 0, 0)))
    assert len(header) == 7
    assert rows == []


def test_a_file_id_identifies_its_key() -> None:
    """No table of ids is needed; an invalid file id gives nothing."""
    mask, key = 0x1234 << 100, "402892f04c97b89a014c97bb30a50003"
    name = file_name(mask, key)
    assert len(name) == 32
    assert name != key
    assert key_of(mask, name) == key
    assert key_of(mask, "no such file") is None
    assert key_of(mask, "+" + "1" * 31) is None


@pytest.mark.parametrize("kind", COLUMNS)
def test_each_action_type_has_its_documented_columns(kind):
    header, *_ = _rows(response_file(1, "d" * 32, Counts(5, 3, 2, 1), kind))
    documented = {"Success", *COLUMNS[kind].uploaded, *COLUMNS[kind].added}
    assert {name.title() if name.lower() == "success" else name for name in header} == documented


@pytest.mark.parametrize("n", range(30))
def test_no_record_is_processed_behind_a_failed_record_of_its_group(n):
    header, rows, _ = _rows(response_file(1, f"{n:032x}", Counts(60, 40, 30, 10)))
    group, mark = header.index("Group ID"), [name.lower() for name in header].index("success")
    failed = set()
    for row in rows:
        assert not (row[mark] and row[group] in failed)
        if row[mark] == "N" and row[group]:
            failed.add(row[group])


def test_payments_have_ids_and_some_failed_ones_too():
    header, rows, _ = _rows(response_file(1, "e" * 32, Counts(400, 300, 200, 100), "MPU"))
    payment, mark = header.index("Payment ID"), [name.lower() for name in header].index("success")
    with_id = Counter(row[mark] for row in rows if row[payment])
    assert (with_id["Y"], with_id[""], 0 < with_id["N"] < 100) == (200, 0, True)


def test_an_uploaded_file_is_returned_with_its_own_cells():
    upload = read_upload(b'Object Key,#note\r\nK1,"a,b"\r\nK2,\r\n')
    header, rows, _ = _rows(response_file(1, "f" * 32, Counts(2, 2, 2, 0), upload=upload))
    cells = [[row[header.index(name)] for name in ("Object Key", "#note")] for row in rows]
    assert cells == [["K1", "a,b"], ["K2", ""]]


def test_a_record_with_too_many_cells_is_no_upload():
    with pytest.raises(ValueError, match="cells"):
        read_upload(b"Object Key\r\nK1,x\r\n")
