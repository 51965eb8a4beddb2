"""Zips that are too large for their reader: each ends in BadResponseFile, in little memory."""

import io
import random
import struct
import tracemalloc
import zipfile

import pytest

from orchestrator.results.reader import BadResponseFile, Bounds, count, extract_csv
from tests.unit.results.hostile_zips import (
    COUNTED,
    CSV,
    END,
    MIB,
    counted_or_refused,
    packed,
    refusal,
    saved,
)

__all__ = ["saved"]


def test_many_entries_are_refused(saved):
    assert "more than 16 entries" in refusal(
        saved(packed({f"{n}.txt": b"" for n in range(16)} | {"a.csv": CSV}))
    )


def test_as_many_entries_as_the_bound_are_looked_through(saved):
    assert count(saved(packed({f"{n}.txt": b"" for n in range(15)} | {"a.csv": CSV}))) == COUNTED


def sized(size: int) -> bytes:
    """A CSV of ``size`` bytes."""
    return CSV + b"\n" * (size - len(CSV))


def test_a_bound_can_be_reached_and_not_exceeded(saved):
    zipped = packed({"a.csv": sized(1_000)}, zipfile.ZIP_STORED)
    fits = Bounds(compressed=len(zipped), uncompressed=1_000)
    assert count(saved(zipped), fits) == COUNTED
    assert refusal(saved(zipped), Bounds(compressed=len(zipped) - 1)) == (
        f"The response file is larger than {len(zipped) - 1:,} bytes."
    )
    assert (
        refusal(saved(zipped), Bounds(uncompressed=999))
        == "The response file unpacks to more than 999 bytes."
    )


def test_a_ratio_can_be_reached_and_not_exceeded(saved):
    zipped = packed({"a.csv": sized(100_000)})
    whole = 100_000 // len(zipped)
    assert count(saved(zipped), Bounds(ratio=whole + 1, ratio_from=10)) == COUNTED
    assert count(saved(zipped), Bounds(ratio=1, ratio_from=100_000)) == COUNTED
    assert refusal(saved(zipped), Bounds(ratio=whole, ratio_from=99_999)) == (
        f"The response file unpacks to more than {whole} times its size."
    )


def test_a_csv_exactly_as_many_times_larger_as_it_may_be_is_counted(saved):
    entries = {"a.csv": sized(100_000)}
    zipped = packed(entries, comment=b" " * (50_000 - len(packed(entries))))
    assert count(saved(zipped), Bounds(ratio=2, ratio_from=10)) == COUNTED


def test_a_list_of_very_many_entries_is_not_even_read(saved):
    assert "too long a list" in refusal(saved(packed({f"{n}.txt": b"" for n in range(3000)})))


def test_a_list_is_not_read_beyond_its_bound_however_long_it_is_said_to_be(tmp_path):
    """Sparse on the disk, and read whole it would be 64 MiB in memory."""
    path, size = tmp_path / "response.zip", 64 * MIB
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(END + struct.pack("<4H2LH", 0, 0, 1, 1, size, 0, 0))
    tracemalloc.start()
    try:
        sentence = refusal(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ("too long a list" in sentence, peak < 2 * MIB) == (True, True)


@pytest.mark.parametrize(("beyond", "expected"), [(0, COUNTED), (1, None)])
def test_a_list_as_long_as_its_bound_is_read(saved, beyond, expected):
    raw, names = io.BytesIO(), ("response.csv", "b.txt", "c.txt")
    left = (1 << 17) + beyond - sum(46 + len(name) for name in names)
    with zipfile.ZipFile(raw, "w") as archive:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.comment = bytes(min(left, 0xFFFF))
            left -= len(info.comment)
            archive.writestr(info, CSV)
    assert counted_or_refused(saved(raw.getvalue())) == expected


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_without_bound_are_refused(saved, method):
    assert "unknown method" in refusal(saved(packed({"a.csv": CSV}, method)))


def test_a_zip_beyond_its_bound_is_refused_unread(saved):
    assert "larger than 50 bytes" in refusal(saved(packed({"a.csv": CSV})), Bounds(compressed=50))


def test_a_csv_beyond_its_bound_is_refused(saved):
    assert "more than 1,000 bytes" in refusal(
        saved(packed({"a.csv": CSV + b"4,Y\n" * 500})), Bounds(uncompressed=1000)
    )


def test_a_csv_beyond_its_bound_is_not_extracted(saved):
    out = io.BytesIO()
    with pytest.raises(BadResponseFile):
        extract_csv(saved(packed({"a.csv": CSV * 500})), out, Bounds(uncompressed=1000))
    assert len(out.getvalue()) <= 1000


def test_a_bomb_is_refused_by_its_ratio(saved):
    bomb = packed({"a.csv": b"A,Success\n" + b"1,Y\n" * 100_000})
    assert "more than 200 times" in refusal(saved(bomb), Bounds(ratio_from=1000))


def test_the_ratio_of_a_small_file_does_not_matter(saved):
    assert count(saved(packed({"a.csv": b"A,Success\n" + b"1,Y\n" * 100_000}))).total == 100_000


def test_a_record_of_too_many_cells_is_refused(saved):
    assert "more than 4,096 cells" in refusal(saved(packed({"a.csv": CSV + b"," * 5000})))


@pytest.mark.parametrize(
    "record",
    [
        b"x" * (10 * MIB),
        b'"' + b"x" * (10 * MIB) + b'"',
        b'"' + b"x\n" * (5 * MIB),
        b'"\n",' * (3 * MIB),
        b"," * (10 * MIB),
    ],
    ids=["field", "quoted field", "field of many lines", "cells of many lines", "commas"],
)
def test_a_record_of_ten_megabytes_is_refused_early(saved, record):
    path = saved(
        packed({"a.csv": CSV + random.Random(1).randbytes(200_000).hex().encode() + b",\n" + record})
    )
    tracemalloc.start()
    try:
        said = refusal(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "more than 1,048,576 characters" in said
    assert peak < 8 * MIB


def test_a_field_of_half_a_megabyte_is_read(saved):
    assert count(saved(packed({"a.csv": CSV + b"x" * 500_000 + b",Y\n"}))).succeeded == 2


def test_memory_does_not_grow_with_the_records(saved):
    path = saved(packed({"a.csv": CSV + b"a record of some length,Y\n" * 100_000}))
    tracemalloc.start()
    try:
        count(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MIB
