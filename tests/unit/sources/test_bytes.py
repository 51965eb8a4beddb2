"""What is no UTF-8 text, and what is gzip."""

import gzip

import pytest

from orchestrator.errors import InputError
from orchestrator.sources import open_source
from tests.unit.sources.tables import brief, source
from tests.unit.sources.test_shapes import A, B


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
