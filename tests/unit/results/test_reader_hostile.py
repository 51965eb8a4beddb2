"""Zips that are damaged, or made to harm: each ends in BadResponseFile, or counts the same."""

import io
import struct
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import StorageError
from orchestrator.results.reader import BadResponseFile, count, extract_csv
from tests.unit.results.hostile_zips import (
    CENTRAL,
    COUNTED,
    CSV,
    END,
    LOCAL,
    MIB,
    Pipe,
    counted_or_refused,
    packed,
    patched,
    refusal,
    saved,
)

__all__ = ["saved"]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_stored_and_deflated_are_read(saved, method):
    assert count(saved(packed({"a.csv": CSV}, method))) == COUNTED


def test_sizes_that_follow_the_data_are_read(saved):
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", CSV)
    assert count(saved(pipe.getvalue())) == COUNTED


@pytest.mark.parametrize(
    "name", ["../../etc/passwd.csv", "/etc/cron.d/x.csv", "C:\\x.csv", "sub/dir/A.CSV", "ä.csv"]
)
def test_an_entry_name_is_only_inspected(saved, name):
    assert count(saved(packed({name: CSV}))) == COUNTED


@pytest.mark.parametrize("name", ["folder.csv/", "__MACOSX/a.csv", "sub/._a.csv", "readme.txt"])
def test_a_file_other_than_csv_is_ignored(saved, name):
    assert count(saved(packed({name: b"", "a.csv": CSV}))) == COUNTED


def test_a_zip_without_csv_is_refused(saved):
    assert "no CSV files" in refusal(saved(packed({"readme.txt": CSV})))


def test_an_empty_zip_is_refused(saved):
    assert "no CSV files" in refusal(saved(packed({})))


def test_two_csvs_are_refused(saved):
    assert "2 CSV files" in refusal(saved(packed({"a.csv": CSV, "b.csv": CSV})))


def test_a_zip_in_the_zip_is_not_opened(saved):
    assert "no CSV files" in refusal(saved(packed({"a.csv.zip": packed({"a.csv": CSV})})))


def test_a_csv_that_ends_before_its_declared_size_is_reported(saved):
    data = patched(packed({"a.csv": CSV}), CENTRAL, 24, struct.pack("<L", len(CSV) + 1))
    assert refusal(saved(data)) == "The response file holds a CSV shorter than the zip says."


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ({"readme.txt": CSV}, "is a zip with no CSV files; expected one."),
        ({"a.csv": CSV, "b.csv": CSV}, "is a zip with 2 CSV files; expected one."),
        ({f"{n}.txt": b"" for n in range(17)}, "is a zip of more than 16 entries; expected one CSV."),
        (
            {f"{n}.txt": b"" for n in range(3_000)},
            "is a zip with too long a list of entries; expected one CSV.",
        ),
    ],
    ids=["none", "two", "many", "very many"],
)
def test_the_reason_for_a_refused_zip_is_a_sentence(saved, entries, sentence):
    assert refusal(saved(packed(entries))) == f"The response file {sentence}"


def test_a_failing_disk_is_not_reported_as_damage(saved, monkeypatch):
    class Failing(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise OSError(5, "Input/output error")

    path = saved(packed({"a.csv": CSV}))
    failing = Failing(path.read_bytes())
    monkeypatch.setattr(Path, "open", lambda *_: failing)
    with pytest.raises(StorageError) as raised:
        count(path)
    assert str(raised.value) == "The response file cannot be read from the disk: Input/output error."


def test_neighbours_that_touch_do_not_overlap(saved):
    data = packed({"b.txt": b"x", "a.csv": CSV, "c.txt": b"x"}, zipfile.ZIP_STORED)
    assert count(saved(data)) == COUNTED


@pytest.mark.parametrize("start", [0, 1, 30 + len("a.csv") + len(CSV) - 1])
def test_an_entry_that_starts_anywhere_in_the_csv_overlaps(saved, start):
    data = packed({"a.csv": CSV, "b.txt": b"x"}, zipfile.ZIP_STORED)
    moved = patched(data, CENTRAL, 42, struct.pack("<L", start), nth=1)
    assert refusal(saved(moved)) == "The response file is a zip whose entries overlap."


def test_a_large_csv_without_a_name_in_its_header_is_reported_as_damaged(saved):
    """And not as a zip with too long a list: where nothing is asked for, nothing is read."""
    data = packed({"a.csv": b"A,Success\n" + b"1,Y\n" * (MIB // 4)}, zipfile.ZIP_STORED)
    assert "is damaged" in refusal(saved(patched(data, LOCAL, 26, b"\0\0")))


def test_an_encrypted_csv_is_refused(saved):
    data = patched(patched(packed({"a.csv": CSV}), LOCAL, 6, b"\1\0"), CENTRAL, 8, b"\1\0")
    assert refusal(saved(data)) == "The response file is encrypted."


@pytest.mark.parametrize("flag", [b"\x20\0", b"\x40\0", b"\x41\x20"])
def test_unknown_flags_are_refused(saved, flag):
    data = patched(patched(packed({"a.csv": CSV}), LOCAL, 6, flag), CENTRAL, 8, flag)
    assert counted_or_refused(saved(data)) is None


def test_an_unknown_method_is_refused(saved):
    assert "unknown method (99)" in refusal(saved(patched(packed({"a.csv": CSV}), CENTRAL, 10, b"\x63\0")))


def test_a_wrong_checksum_is_refused(saved):
    assert "CRC" in refusal(saved(patched(packed({"a.csv": CSV}), CENTRAL, 16, b"\0\0\0\0")))


def test_a_wrong_checksum_is_refused_by_extract_too(saved):
    with pytest.raises(BadResponseFile):
        extract_csv(saved(patched(packed({"a.csv": CSV}), CENTRAL, 16, b"\0\0\0\0")), io.BytesIO())


@pytest.mark.parametrize("size", [0, len(CSV) - 1, len(CSV) + 1, 0xFFFFFFFE])
def test_a_declared_size_that_is_wrong_is_refused(saved, size):
    data = patched(packed({"a.csv": CSV}), CENTRAL, 24, struct.pack("<L", size))
    assert counted_or_refused(saved(data)) is None


@pytest.mark.parametrize("size", [0, 1, 0xFFFFFFFE])
def test_a_declared_compressed_size_that_is_wrong_is_refused(saved, size):
    data = patched(packed({"a.csv": CSV}), CENTRAL, 20, struct.pack("<L", size))
    assert counted_or_refused(saved(data)) is None


def test_an_entry_inside_the_csv_is_refused(saved):
    data = packed({"a.csv": CSV, "b.txt": b"x"}, zipfile.ZIP_STORED)
    assert "overlap" in refusal(saved(patched(data, CENTRAL, 42, struct.pack("<L", 10), nth=1)))


def test_two_entries_over_the_same_bytes_are_refused(saved):
    data = packed({"a.csv": CSV, "b.txt": b"x"}, zipfile.ZIP_STORED)
    assert "overlap" in refusal(saved(patched(data, CENTRAL, 42, struct.pack("<L", 0), nth=1)))


@pytest.mark.parametrize(
    "data", [b"", b"A,Success\n1,Y\n", b"<html>502 Bad Gateway</html>", b"PK\x03\x04", b"\0" * 999]
)
def test_a_file_other_than_a_zip_is_refused(saved, data):
    assert "not a zip" in refusal(saved(data))


@pytest.mark.parametrize("comment", [b"", b"a comment of some length"])
def test_a_zip_cut_at_any_byte_is_refused_or_counts_the_same(saved, comment):
    data = packed({"a.csv": CSV}, comment=comment)
    assert {counted_or_refused(saved(data[:n])) for n in range(len(data))} <= {None, COUNTED}


def test_a_byte_changed_anywhere_is_refused_or_counted(saved):
    data = packed({"a.csv": CSV, "b.txt": b"x"})
    for place in range(len(data)):
        for value in {0, 1, 0x7F, 0xFF, data[place] ^ 0x80}:
            counted_or_refused(saved(data[:place] + bytes([value]) + data[place + 1 :]))


_EDITS = st.lists(
    st.tuples(st.integers(0, 10_000), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6
)


@given(_EDITS, st.booleans())
def test_a_zip_with_pieces_written_over_is_refused_or_counted(saved, edits, piped):
    raw = Pipe() if piped else io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", CSV * 20)
    data = bytearray(raw.getvalue())
    for place, piece in edits:
        place %= len(data)
        data[place : place + len(piece)] = piece
    counted_or_refused(saved(bytes(data)))


@given(st.binary(max_size=200), st.binary(max_size=100))
def test_any_csv_bytes_are_refused_or_counted(saved, data, more):
    counted_or_refused(saved(packed({"a.csv": b"A,Success\n" + data + b"\n" + more})))


@given(st.binary(max_size=300))
def test_an_end_record_after_anything_is_refused(saved, data):
    assert counted_or_refused(saved(data + packed({}))) is None


@given(st.lists(st.integers(0, 2**64 - 1), min_size=3, max_size=3))
def test_a_zip64_end_with_any_offset_is_refused(saved, numbers):
    entries, size, offset = numbers
    zip64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, size, offset)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    end = struct.pack("<4s4H2LH", END, 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert counted_or_refused(saved(zip64 + locator + end)) is None


@pytest.mark.parametrize("offset", [2**31, 2**63, 2**64 - 1])
def test_an_entry_with_any_wrong_offset_is_refused(saved, offset):
    extra = struct.pack("<2HQ", 1, 8, offset)
    size, crc = len(CSV), zlib.crc32(CSV)
    entry = struct.pack(
        "<4s4B4HL2L5H2L",
        CENTRAL,
        45,
        0,
        45,
        0,
        0,
        0,
        0,
        0,
        crc,
        size,
        size,
        5,
        len(extra),
        0,
        0,
        0,
        0,
        2**32 - 1,
    )
    listed = entry + b"a.csv" + extra
    end = struct.pack("<4s4H2LH", END, 0, 0, 1, 1, len(listed), 0, 0)
    assert counted_or_refused(saved(listed + end)) is None
