"""Tables for the sources to read, in a file or through a pipe."""

import os
from pathlib import Path

from orchestrator.model import InputRow
from orchestrator.sources import Source, open_source


class Pipe:
    """A pipe that writes only when the reader is about to wait: one chunk each time, then the end."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = list(chunks)
        self._reading, self._writing = os.pipe()
        self.spec = f"/dev/fd/{self._reading}"
        self._opened = False
        self.waits = 0

    def feed(self) -> None:
        self.waits += 1
        if not self._opened:
            self._opened = True
        elif self._chunks:
            os.write(self._writing, self._chunks.pop(0))
        elif self._writing >= 0:
            os.close(self._writing)
            self._writing = -1

    def close(self) -> None:
        os.close(self._reading)
        if self._writing >= 0:
            os.close(self._writing)


def source(folder: Path, content: str | bytes, name: str = "keys.csv") -> Source:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_source(str(path))


def brief(rows: list[InputRow]) -> list[tuple[int, str]]:
    return [(row.number, row.key) for row in rows if row.problem is None]


def problem(rows: list[InputRow]) -> str:
    [found] = [row.problem for row in rows if row.problem]
    return found
