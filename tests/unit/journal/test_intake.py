"""From sources into the journal: every row once, in batches, as they come, also by two processes."""

import asyncio
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from orchestrator.errors import InputError
from orchestrator.journal import admission
from orchestrator.journal import intake as intakes
from orchestrator.journal.admission import Admission
from orchestrator.journal.entries import SourceInfo
from orchestrator.journal.intake import (
    FileIntake,
    ReadAlready,
)
from orchestrator.journal.journal import Journal
from orchestrator.journal.recovery import integrity
from orchestrator.model import InputRow
from orchestrator.sources import open_source
from orchestrator.sources.rows import Wanted
from tests.unit.journal.intakes import connection, fill, info, journal, key, known, read, report, rows, write

__all__ = ["connection", "info", "journal"]


def test_every_row_is_admitted_once(journal, info):
    admission = Admission(journal, info, ranked=False)
    for row in rows(1, 2, 3):
        admission.add(row)
    admission.flush()
    assert [action.row for action in report(journal).actions] == [1, 2, 3]


def test_a_flush_returns_the_number_of_new_keys(journal, info):
    admission = Admission(journal, info, ranked=False)
    for row in [*rows(1, 2), InputRow(3, key(1)), InputRow(4, "x", problem="no key")]:
        admission.add(row)
    assert [admission.flush().total(), admission.flush().total()] == [2, 0]


def admitted_again(journal: Journal, again: list[InputRow]) -> None:
    admission = Admission(journal, known(journal), ranked=False)
    for row in again:
        admission.add(row)
    admission.flush()
    admission.complete("digest")


def test_rows_of_an_earlier_session_are_skipped(journal, info):
    journal.admit(info, rows(1, 2), False).result(60)
    admitted_again(journal, rows(1, 2, 3))
    assert [action.row for action in report(journal).actions] == [1, 2, 3]


@pytest.mark.parametrize(
    "again",
    [rows(1, 3, 4), [*rows(1), InputRow(2, key(9)), *rows(3)], rows(1), []],
    ids=["a line moved", "a key changed", "cut short", "empty"],
)
def test_a_source_that_was_changed_since_is_refused(journal, info, again):
    journal.admit(info, rows(1, 2), False).result(60)
    with pytest.raises(InputError, match="not what it was"):
        admitted_again(journal, again)


def test_nothing_of_a_source_that_was_changed_is_admitted(journal, info):
    journal.admit(info, rows(1, 2), False).result(60)
    with pytest.raises(InputError):
        admitted_again(journal, [*rows(1), InputRow(2, key(9)), *rows(3, 4)])
    assert [action.row for action in report(journal).actions] == [1, 2]


def test_a_file_is_read_to_its_end(journal, tmp_path):
    read(journal, fill(tmp_path / "keys.csv", 1, 2, 3))
    assert (len(report(journal).actions), known(journal).complete) == (3, True)


def test_a_file_that_was_read_to_its_end_has_its_digest(journal, tmp_path):
    read(journal, fill(tmp_path / "keys.csv", 1))
    assert len(known(journal).sha256 or "") == 64


def test_a_long_file_is_reported_in_batches(journal, tmp_path, monkeypatch):
    monkeypatch.setattr(admission, "BATCH", 4)
    assert read(journal, fill(tmp_path / "keys.csv", *range(10))) == [4, 4, 2]


def test_a_batch_without_a_new_key_is_not_reported(journal, tmp_path, monkeypatch):
    monkeypatch.setattr(admission, "BATCH", 2)
    assert read(journal, fill(tmp_path / "keys.csv", 1, 2, 1, 2, 3)) == [2, 1]


def test_weights_of_a_plan_replace_the_column(journal, tmp_path):
    read(journal, fill(tmp_path / "keys.csv", 1, 2, 3), weights={key(2): 9.0, key(3): 1.0})

    async def claimed() -> list[str]:
        return [one.bulk_key for one in await journal.claim(10, True)]

    assert anyio.run(claimed) == [key(2), key(3), key(1)]


def test_a_file_that_was_cut_is_read_from_its_position(journal, tmp_path):
    path = fill(tmp_path / "keys.csv", 1, 2, 3, 4)
    (info,) = journal.add_sources([(path.name, str(path))])
    journal.admit(info, [InputRow(1, key(1)), InputRow(2, key(2))], False).result(60)
    assert (read(journal, path, known(journal)), len(report(journal).actions)) == ([2], 4)


PATIENCE = 60.0


class Feeding:
    """An intake that reads a pipe, step by step under the hands of a test."""

    def __init__(self, journal: Journal, path: Path) -> None:
        self.journal = journal
        self.path = path
        os.mkfifo(path)
        self.new: list[int] = []
        self.arrived = anyio.Event()

    def on_new(self, new: Counter[str]) -> None:
        self.new.append(new.total())
        self.arrived.set()

    async def next(self) -> None:
        with anyio.fail_after(PATIENCE):
            await self.arrived.wait()
        self.arrived = anyio.Event()


def feed(journal: Journal, path: Path, script) -> Feeding:
    """Runs ``script(feeding, intake, writer)`` while the intake reads."""

    async def main() -> Feeding:
        feeding = Feeding(journal, path)
        (info,) = journal.add_sources([("pipe", str(path))])
        intake = FileIntake(journal, [(open_source(str(path)), info)], Wanted())
        async with anyio.create_task_group() as group:
            group.start_soon(intake.read, feeding.on_new)
            writer = await anyio.to_thread.run_sync(open, path, "w", 1)
            with writer:
                await script(feeding, intake, writer)
            group.cancel_scope.cancel()
        return feeding

    return anyio.run(main)


def test_keys_of_a_slow_pipe_are_reported_before_the_next_write(journal, tmp_path):
    async def script(feeding, intake, writer):
        for number in (1, 2):
            writer.write(f"{key(number)}\n")
            writer.flush()
            await feeding.next()

    assert feed(journal, tmp_path / "pipe", script).new == [1, 1]


def test_a_waiting_pipe_is_closed_when_no_key_is_wanted(journal, tmp_path):
    async def script(feeding, intake, writer):
        writer.write(f"{key(1)}\n")
        writer.flush()
        await feeding.next()
        with anyio.fail_after(PATIENCE):
            await intake.finish()
        left.append(known(journal))

    left: list[SourceInfo] = []
    feed(journal, tmp_path / "pipe", script)
    assert (left[0].rows, left[0].complete) == (1, False)


def write_without_end(path: Path) -> None:
    with suppress(BrokenPipeError), path.open("w") as pipe:
        while True:
            pipe.write(f"{key(1)}\n")


def test_a_pipe_that_is_never_empty_is_left_when_no_key_is_wanted(journal, tmp_path, monkeypatch):
    async def main() -> None:
        feeding = Feeding(journal, path)
        source = open_source(str(path))
        monkeypatch.setattr(source, "ready", lambda: True)
        (info,) = journal.add_sources([("pipe", None)])
        intake = FileIntake(journal, [(source, info)], Wanted())
        async with anyio.create_task_group() as group:
            group.start_soon(intake.read, feeding.on_new)
            group.start_soon(anyio.to_thread.run_sync, write_without_end, path)
            await feeding.next()
            await intake.finish()

    path = tmp_path / "pipe"
    monkeypatch.setattr(intakes, "LONGEST_FINISH", 0.0)
    anyio.run(main)
    assert known(journal).complete is False


def test_an_intake_that_was_read_already_reports_nothing():
    new: list[Counter[str]] = []
    asyncio.run(ReadAlready().read(new.append))
    assert new == []


def test_each_key_of_a_row_is_an_action_of_that_row(journal, tmp_path):
    read(journal, write(tmp_path / "keys.csv", f"{key(1)},{key(2)}\n{key(3)},{key(4)}\n"))
    assert [(action.row, action.bulk_key) for action in report(journal).actions] == [
        (1, key(1)), (1, key(2)), (2, key(3)), (2, key(4)),
    ]  # fmt: skip


def test_a_key_twice_in_a_row_is_a_duplicate_of_that_row(journal, tmp_path):
    read(journal, write(tmp_path / "keys.csv", f"{key(1)},{key(1)}\n"))
    assert [(action.row, action.duplicate_rows) for action in report(journal).actions] == [(1, [1])]


@pytest.mark.parametrize("taken", range(7))
def test_a_source_that_was_cut_in_a_row_is_read_from_its_position(journal, tmp_path, taken):
    content = f"{key(9)},{key(1)}\n{key(3)},{key(9)},{key(2)}\nbad\n"
    path = write(tmp_path / "keys.csv", content)
    every = list(open_source(str(path)).read())
    (info,) = journal.add_sources([(path.name, str(path))])
    if taken:
        journal.admit(info, every[:taken], False).result(60)
    read(journal, path, known(journal))
    actions = [(action.row, action.bulk_key, action.duplicate_rows) for action in report(journal).actions]
    assert actions == [(1, key(9), [2]), (1, key(1), []), (2, key(3), []), (2, key(2), []), (3, "bad", [])]


def test_a_digest_of_rows_with_several_keys_is_valid(journal, connection, tmp_path):
    read(journal, write(tmp_path / "keys.csv", f"{key(9)},{key(1)}\n{key(3)},{key(9)},{key(2)}\n"))
    source = known(journal)
    assert integrity.chain_of(connection, source) == source.chain


def test_a_digest_of_rows_with_repeated_numbers_is_valid(journal, connection):
    """A plan of several files has the line numbers of all of them."""
    (info,) = journal.add_sources([("plan", None)])
    journal.admit(info, [InputRow(row, key(n)) for n, row in enumerate([1, 2, 3, 1, 2])], False).result(60)
    assert integrity.chain_of(connection, known(journal)) == known(journal).chain


def test_keys_as_arguments_that_were_not_all_read_are_known_at_resume(journal):
    (info,) = journal.add_sources([("<arguments>", f"{key(1)} {key(2)}")])
    journal.admit(info, rows(1), False).result(60)
    assert read(journal, Path(f"{key(1)} {key(2)}"), known(journal)) == [1]
    assert [action.bulk_key for action in report(journal).actions] == [key(1), key(2)]
