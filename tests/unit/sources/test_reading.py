"""The source itself: files, digests, descriptors, memory; pipes and standard input."""

import gzip
import hashlib
import os
import select
import tracemalloc
from pathlib import Path

import pytest

from orchestrator.errors import InputError
from orchestrator.sources import open_source
from orchestrator.sources.raw import sentence
from tests.unit.sources.tables import brief, source
from tests.unit.sources.test_shapes import A, B


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
    ("error", "expected"),
    [
        (PermissionError(13, "no"), "k may not be read by this user; change its permissions or run as one who may."),
        (OSError(5, "broken"), "k cannot be read (broken); check the path and the disk, or copy it elsewhere."),
        (ValueError("null byte"), "'k' is not a path (null byte); check it, or use - for standard input."),
        (OSError("odd"), "'k' is not a path (odd); check it, or use - for standard input."),
    ],
)  # fmt: skip
def test_the_reason_for_an_unreadable_source_is_a_sentence(error, expected):
    assert sentence("k", error) == expected


def test_an_impossible_path_is_refused_at_once():
    with pytest.raises(InputError, match="is not a path"):
        open_source("a\0b")


def test_a_file_removed_before_reading_is_refused(tmp_path):
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


def test_a_file_can_be_read_again(tmp_path):
    opened = source(tmp_path, f"{A}\n")
    assert list(opened.read()) == list(opened.read())


def test_an_abandoned_read_leaves_no_descriptor_open(tmp_path):
    before = len(list(Path("/dev/fd").iterdir()))
    rows = source(tmp_path, f"{A}\n{B}\n").read()
    next(rows)
    rows.close()
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_memory_does_not_grow_with_the_input(tmp_path):
    opened = source(tmp_path, f"{A},{'some label ' * 20}\n" * 20_000)  # 5.1 MB
    tracemalloc.start()
    try:
        for _ in opened.read():
            pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


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
def test_a_record_of_a_slow_pipe_is_read_before_the_next_line(pipe, first):
    slow = pipe(first.encode(), B.encode())
    events: list[str] = []
    note = events.append

    def wait() -> None:
        note("wait")
        slow.feed()

    for row in open_source(slow.spec).read(on_wait=wait):
        note(row.key)
    assert events == ["wait", "wait", A, "wait", "wait", B]  # opening, first chunk, second chunk, end


def test_a_line_in_pieces_is_one_row(pipe):
    slow = pipe(A[:5].encode(), A[5:].encode(), b"\r", b"\n", B.encode())
    assert brief(list(open_source(slow.spec).read(on_wait=slow.feed))) == [(1, A), (2, B)]


def test_the_last_line_of_a_pipe_needs_no_newline(pipe):
    slow = pipe(A.encode())
    assert brief(list(open_source(slow.spec).read(on_wait=slow.feed))) == [(1, A)]
