"""Text other than UTF-8, and gzip."""

import gzip

import pytest

from orchestrator.errors import InputError
from orchestrator.sources import open_source
from orchestrator.sources.rows import Wanted
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
def test_text_other_than_utf_8_is_refused_with_its_place(keys, content, sentence):
    with pytest.raises(InputError, match=sentence):
        keys(content)


@pytest.mark.parametrize("name", ["keys.csv", "keys.csv.gz"])
def test_a_file_with_an_error_at_its_end_gives_no_key(tmp_path, name):
    content = f"{A}\n".encode() * 99_999 + b"\xff"
    rows = source(tmp_path, gzip.compress(content) if name.endswith("gz") else content, name).read()
    with pytest.raises(InputError):
        next(rows)


def test_a_chunk_of_a_pipe_with_a_bad_byte_gives_no_key(pipe):
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


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"PK\x03\x04 text", "is a zip archive or an Excel workbook (xlsx). "),
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            "is an Excel workbook of the old form (xls). Save it as CSV in UTF-8",
        ),
        (
            b"\n <!DOCTYPE html>\n<title>Sign in</title>",
            "is an HTML page, not a table (a login page, perhaps). Export",
        ),
        (b"<HTML><body>", "is an HTML page"),
        (b"<table><tr><td>", "is an HTML page, not a table (a workbook saved as a web page, perhaps)"),
        (b'<?xml version="1.0"?>', "is XML. Export the keys as CSV"),
        (rb"{\rtf1\ansi", "is an RTF document"),
        (b"%PDF-1.7\n", "is a PDF document"),
        (b"BZh91AY&SY\xff", "is compressed with bzip2. Decompress it"),
        (b"\xfd7zXZ\x00\x00", "is compressed with xz. Decompress it"),
        (b"\x7fELF\x02\x01\x01\x00\x00\xd0", "is UTF-16 or binary: a NUL byte in line 1 (byte 8). "),
    ],
    ids=["xlsx", "xls", "HTML", "html", "table", "XML", "RTF", "PDF", "bzip2", "xz", "program"],
)
def test_content_of_another_kind_is_refused_by_its_name(keys, content, sentence):
    with pytest.raises(InputError) as raised:
        keys(content)
    assert str(raised.value).partition("keys.csv ")[2].startswith(sentence)


def test_a_document_is_recognised_in_any_pieces_of_a_pipe(pipe):
    slow = pipe(*(bytes([byte]) for byte in b"<!DOCTYPE html>"))
    with pytest.raises(InputError, match="is an HTML page"):
        list(open_source(slow.spec).read(on_wait=slow.feed))


@pytest.mark.parametrize("first", ["P", "<", "["])
def test_a_short_key_is_not_delayed_to_recognise_a_document(pipe, first):
    slow = pipe(f"{first}x\n".encode(), b"y\n")
    rows = open_source(slow.spec).read(Wanted(any_key=True), on_wait=slow.feed)
    assert next(rows).key == f"{first}x"
    assert slow.waits == 2
