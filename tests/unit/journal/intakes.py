"""A journal and its intake, for tests of the intake."""

from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from orchestrator.clock import Clock
from orchestrator.journal import database
from orchestrator.journal.entries import RunInfo, SourceInfo
from orchestrator.journal.intake import (
    FileIntake,
)
from orchestrator.journal.journal import Journal
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.writer import FallbackConnection, ThreadWriter
from orchestrator.model import InputRow
from orchestrator.report import Report, read_report
from orchestrator.sources import open_source
from orchestrator.sources.rows import Wanted

INFO = RunInfo("run", "run", "0", 0.0, "2026-11-23T22:50:13.000Z", "https://tenant.invalid", None, (), {})


def key(number: int) -> str:
    return f"{number:032x}"


def rows(*numbers: int) -> list[InputRow]:
    return [InputRow(n, key(n)) for n in numbers]


def fill(path: Path, *numbers: int) -> Path:
    path.write_text("".join(f"{key(n)}\n" for n in numbers))
    return path


@pytest.fixture
def connection():
    return database.in_memory()


@pytest.fixture
def journal(connection):
    """A journal with its own thread, because the intake's thread waits for the writer."""
    journal = Journal(ThreadWriter(FallbackConnection(connection)), Clock())
    journal.begin(INFO)
    journal.begin_session()
    yield journal
    journal.close()


@pytest.fixture
def info(journal) -> SourceInfo:
    (info,) = journal.add_sources([("keys.csv", "keys.csv")])
    return info


def report(journal: Journal) -> Report:
    return journal.read(read_report).result(60)


def known(journal: Journal) -> SourceInfo:
    return journal.read(JournalReader.sources).result(60)[0]


def read(
    journal: Journal, path: Path, info: SourceInfo | None = None, column: str | None = None, **options
) -> list[int]:
    """Read ``path``. Return the reported numbers of new keys."""
    if info is None:
        (info,) = journal.add_sources([(path.name, str(path))])
    source = open_source(str(path))
    new: list[int] = []

    async def main() -> None:
        intake = FileIntake(journal, [(source, info)], Wanted(column), **options)
        await intake.read(lambda found: new.append(found.total()))

    anyio.run(main)
    return new


def write(path: Path, content: str) -> Path:
    path.write_text(content)
    return path
