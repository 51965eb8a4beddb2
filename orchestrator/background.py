"""Output from a thread, so that the run never waits for a terminal, pipe or disk that accepts nothing."""

import io
import threading
from collections import deque
from collections.abc import Callable
from typing import AnyStr, Generic, TextIO

STALLED = 5.0
"""Seconds without any progress after which a caller stops waiting for pending output, by default."""

MOST_TEXT = 1 << 18
"""Characters that wait for standard error at most."""


class BackgroundWriter(Generic[AnyStr]):
    """Passes pieces of output to ``write``, in order, from a thread of its own.

    At most ``most`` characters or bytes wait. A piece that does not fit is dropped and counted in ``dropped``. The
    thread starts with the first piece. Without a thread (the limit of threads is reached), ``write`` is called at once.
    ``failed`` is called with the first OSError or ValueError of ``write``, and every later piece is dropped. A piece
    that the stream's encoding cannot express is dropped alone.
    """

    def __init__(
        self,
        write: Callable[[AnyStr], object],
        most: int,
        failed: Callable[[Exception], object] = lambda _: None,
    ) -> None:
        self.dropped = 0
        self._write: Callable[[AnyStr], object] = write
        self._most = most
        self._failed = failed
        self._broken = False
        self._closed = False
        self._pieces: deque[AnyStr] = deque()
        self._waiting = 0
        self._written = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def behind(self) -> bool:
        """Whether a piece is not written yet."""
        return self._waiting > 0

    def put(self, piece: AnyStr) -> None:
        """Queue ``piece``, without waiting."""
        with self._changed:
            if self._broken or self._waiting + len(piece) > self._most:
                self.dropped += 1
                return
            self._pieces.append(piece)
            self._waiting += len(piece)
            threaded = self._thread is not None or self._start()
            self._changed.notify_all()
        if not threaded:
            self._take()

    def drain(self, stalled: float = STALLED) -> bool:
        """Wait until every piece is written. Return False if no piece was written for ``stalled`` seconds."""
        with self._changed:
            while self._waiting:
                written = self._written
                if not self._changed.wait_for(lambda: self._written > written, stalled):  # noqa: B023 - called at once
                    return False
        return True

    def close(self) -> None:
        """End the thread once every piece is written. No piece may follow."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None and not self.behind:
            self._thread.join()

    def _start(self) -> bool:
        thread = threading.Thread(target=self._run, name="output", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._thread = thread
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces or self._closed)
                if not self._pieces:
                    return
            self._take()

    def _take(self) -> None:
        piece = self._pieces.popleft()
        try:
            if self._broken:
                self.dropped += 1
            else:
                self._write(piece)
        except UnicodeError:
            self.dropped += 1
        except (OSError, ValueError) as error:
            self._broken = True
            self.dropped += 1
            self._failed(error)
        with self._changed:
            self._waiting -= len(piece)
            self._written += 1
            self._changed.notify_all()


class BackgroundStream(io.TextIOBase):
    """A text stream whose writes never block and never fail: a thread passes them on to ``stream``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._writer = BackgroundWriter(self._write, MOST_TEXT)

    @property
    def behind(self) -> bool:
        """Whether text is not written yet."""
        return self._writer.behind

    @property
    def dropped(self) -> int:
        """How many writes were dropped."""
        return self._writer.dropped

    @property
    def encoding(self) -> str:  # type: ignore[override]  # TextIOBase has an attribute here
        return self._stream.encoding

    def write(self, text: str, /) -> int:
        if text:
            self._writer.put(text)
        return len(text)

    def flush(self) -> None:
        """The thread flushes each write."""

    def drain(self, stalled: float = STALLED) -> bool:
        """As :meth:`BackgroundWriter.drain`."""
        return self._writer.drain(stalled)

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def is_behind(stream: object) -> bool:
    """Whether ``stream`` writes in the background and its reader is behind."""
    return isinstance(stream, BackgroundStream) and stream.behind
