"""Read a table from a file, a pipe, or standard input."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.model import InputRow
from orchestrator.sources.rows import Wanted
from tests.unit.sources.tables import Pipe, source


@pytest.fixture
def keys(tmp_path):
    """Read the given content as a file. The options are those of ``Wanted``."""

    def read(content: str | bytes, **options: Any) -> list[InputRow]:
        return list(source(tmp_path, content).read(Wanted(**options)))

    return read


@pytest.fixture
def pipe():
    """Create pipes, and close them after the test."""
    made: list[Pipe] = []

    def make(*chunks: bytes) -> Pipe:
        made.append(Pipe(*chunks))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def stdin() -> Iterator[list[int]]:
    """Replace standard input by the read end of a pipe. The test gets the write end and closes it."""
    kept = os.dup(0)
    reading, writing = os.pipe()
    os.dup2(reading, 0)
    os.close(reading)
    yield [writing]
    os.dup2(kept, 0)
    os.close(kept)
