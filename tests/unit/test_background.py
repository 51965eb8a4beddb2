"""Output from a thread: in order, bounded, and never waited for."""

import io
import os
import threading

import pytest

from orchestrator.background import BackgroundStream, BackgroundWriter, is_behind


class Reader:
    """Takes pieces only once ``ready`` is set."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.taken: list[str] = []

    def __call__(self, piece: str) -> None:
        self.ready.wait()
        self.taken.append(piece)


@pytest.fixture
def reader():
    reader = Reader()
    yield reader
    reader.ready.set()


def test_pieces_are_written_in_order(reader):
    reader.ready.set()
    writer = BackgroundWriter(reader, 100)
    for piece in "abc":
        writer.put(piece)
    assert (writer.drain(), reader.taken) == (True, ["a", "b", "c"])


def test_a_blocked_reader_blocks_no_caller(reader):
    writer = BackgroundWriter(reader, 100)
    writer.put("a")
    assert writer.behind


def test_pieces_beyond_the_bound_are_dropped_and_counted(reader):
    writer = BackgroundWriter(reader, 3)
    for piece in ("aa", "bb", "c"):
        writer.put(piece)
    reader.ready.set()
    assert (writer.drain(), reader.taken, writer.dropped) == (True, ["aa", "c"], 1)


def test_draining_ends_when_the_reader_is_blocked(reader):
    writer = BackgroundWriter(reader, 100)
    writer.put("a")
    assert not writer.drain(stalled=0.01)


@pytest.mark.parametrize("error", [BrokenPipeError(32, "Broken pipe"), ValueError("closed file")])
def test_a_reader_that_left_is_reported_once_and_costs_only_its_pieces(error):
    failures: list[Exception] = []

    def refuse(_: str) -> None:
        raise error

    writer = BackgroundWriter(refuse, 100, failures.append)
    writer.put("a")
    writer.drain()
    writer.put("b")
    assert (writer.drain(), failures, writer.dropped) == (True, [error], 2)


def test_text_that_the_encoding_cannot_express_costs_only_itself():
    bytes_written = io.BytesIO()
    stream = BackgroundStream(io.TextIOWrapper(bytes_written, "ascii"))
    stream.write("“quoted”")
    stream.write("plain")
    stream.drain()
    assert (bytes_written.getvalue(), stream.dropped) == (b"plain", 1)


def test_without_a_thread_pieces_are_written_at_once(monkeypatch):
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    taken: list[str] = []
    writer = BackgroundWriter(taken.append, 100)
    writer.put("a")
    writer.put("b")
    assert (taken, writer.behind) == (["a", "b"], False)


def test_a_full_pipe_makes_its_stream_behind_until_it_is_read():
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe, os.fdopen(reading, "rb") as end:
        stream = BackgroundStream(pipe)
        for _ in range(20):
            stream.write("x" * 10_000)
        behind = is_behind(stream)
        read = end.read(200_000)
        assert (behind, len(read), stream.drain()) == (True, 200_000, True)
