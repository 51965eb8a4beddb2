"""The message about a source that fails: which of several it is, and what to do about it."""

import errno
import gzip
import os
from pathlib import Path

import pytest

from orchestrator.errors import InputError
from orchestrator.sources import Source, open_source
from orchestrator.sources.raw import Descriptor

KEY = "a" * 32


def file(folder: Path, content: bytes, name: str = "keys.csv") -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


def refused(source: Source) -> str:
    with pytest.raises(InputError) as raised:
        list(source.read())
    return str(raised.value)


@pytest.fixture
def piped():
    """Makes named sources out of pipes that hold the given content and have no writer any more."""
    made = []

    def make(content: bytes) -> Source:
        reading, writing = os.pipe()
        os.write(writing, content)
        os.close(writing)
        made.append(reading)
        source = Source("north.fifo", None, opened_at=f"/dev/fd/{reading}")
        source._open = lambda on_wait: os.dup(reading)  # type: ignore[method-assign]  # to open it needs a writer
        return source

    yield make
    for reading in made:
        os.close(reading)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (f"{KEY}\n\xff".encode("latin-1"), "is not UTF-8: byte 0xFF in line 2 (byte 34). Save it"),
        (f"{KEY}\n\0".encode(), "is UTF-16 or binary: a NUL byte in line 2 (byte 34). Save it"),
        (
            gzip.compress(f"{KEY}\n".encode(), mtime=0)[:-3],
            "is cut short: its gzip data has no end. Copy the file again.",
        ),
    ],
    ids=["not UTF-8", "NUL", "cut short"],
)  # fmt: skip
def test_a_binary_source_is_named_for_a_file_and_a_pipe(tmp_path, piped, content, reason):
    path = file(tmp_path, content)
    assert refused(open_source(path)).startswith(f"{path} {reason}")
    assert refused(piped(content)).startswith(f"north.fifo {reason}")


def test_a_source_with_a_read_error_is_named_for_a_file_and_a_pipe(tmp_path, piped, monkeypatch):
    def broken(fd: int, size: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    path, pipe = file(tmp_path, b"x"), piped(b"x")
    monkeypatch.setattr(os, "read", broken)
    reason = "cannot be read (Input/output error); check the path and the disk, or copy it elsewhere."
    assert refused(open_source(path)) == f"{path} {reason}"
    assert refused(pipe) == f"north.fifo {reason}"


def test_a_missing_file_is_named_when_it_is_opened_and_when_it_is_read(tmp_path):
    path = str(tmp_path / "keys.csv")
    message = f"{path} does not exist; check the path, or use - for standard input."
    with pytest.raises(InputError) as raised:
        open_source(path)
    assert str(raised.value) == message
    source = open_source(file(tmp_path, b"x"))
    Path(path).unlink()
    assert refused(source) == message


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (gzip.compress(KEY.encode(), mtime=0)[:-8] + bytes(8), "Copy the file again."),
        (KEY.encode(), "If it is not compressed, drop .gz from its name."),
    ],
    ids=["damaged", "plain text"],
)
def test_the_advice_on_bad_gzip_data_depends_on_its_content(tmp_path, content, hint):
    path = file(tmp_path, content, "k.gz")
    message = refused(open_source(path))
    assert message.startswith(f"{path} is not sound gzip data (")
    assert message.endswith(f"). {hint}")


def test_detection_reads_only_the_bytes_that_it_needs(tmp_path):
    waits: list[None] = []
    fd = os.open(file(tmp_path, b"\x1f\x8b"), os.O_RDONLY)
    try:
        assert Descriptor(fd, "k", lambda: waits.append(None)).starts_with(b"\x1f\x8b")
    finally:
        os.close(fd)
    assert len(waits) == 1


def test_before_it_is_read_a_source_has_no_digest(tmp_path):
    assert open_source(file(tmp_path, KEY.encode())).sha256 is None
