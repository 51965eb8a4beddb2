"""From sources into the journal: every row once, in batches, as they come, also by two processes."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from orchestrator.clock import Clock
from orchestrator.errors import InputError
from orchestrator.journal import database
from orchestrator.journal import intake as intakes
from orchestrator.journal.entries import RunInfo, SourceInfo
from orchestrator.journal.intake import (
    Admission,
    FileIntake,
    ReadAlready,
    RowIntake,
)
from orchestrator.journal.journal import Journal
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.recovery import integrity
from orchestrator.journal.tenancy import Tenancy
from orchestrator.journal.writer import FallbackConnection, ThreadWriter
from orchestrator.model import InputRow, Outcome
from orchestrator.report import Report, read_report
from orchestrator.sources import open_source

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
    """A journal with its own thread, as the intake's thread needs one to wait for."""
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
    return journal.read(read_report).result(20)


def known(journal: Journal) -> SourceInfo:
    return journal.read(JournalReader.sources).result(20)[0]


def read(journal: Journal, path: Path, info: SourceInfo | None = None, **told) -> list[int]:
    """Reads ``path``; gives how many keys were new, as they were told."""
    if info is None:
        (info,) = journal.add_sources([(path.name, str(path))])
    source = open_source(str(path))
    new: list[int] = []

    async def main() -> None:
        options = {"column": None, "weight_column": None} | told
        await FileIntake(journal, [(source, info)], **options).read(new.append)

    anyio.run(main)
    return new


# Admission


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
    journal.admit(info, rows(1, 2), False).result(20)
    admitted_again(journal, rows(1, 2, 3))
    assert [action.row for action in report(journal).actions] == [1, 2, 3]


@pytest.mark.parametrize(
    "again",
    [rows(1, 3, 4), [*rows(1), InputRow(2, key(9)), *rows(3)], rows(1), []],
    ids=["a line moved", "a key changed", "cut short", "empty"],
)
def test_a_source_that_was_changed_since_is_refused(journal, info, again):
    journal.admit(info, rows(1, 2), False).result(20)
    with pytest.raises(InputError, match="not what it was"):
        admitted_again(journal, again)


def test_nothing_of_a_source_that_was_changed_is_admitted(journal, info):
    journal.admit(info, rows(1, 2), False).result(20)
    with pytest.raises(InputError):
        admitted_again(journal, [*rows(1), InputRow(2, key(9)), *rows(3, 4)])
    assert [action.row for action in report(journal).actions] == [1, 2]


# Files


def test_a_file_is_read_to_its_end(journal, tmp_path):
    read(journal, fill(tmp_path / "keys.csv", 1, 2, 3))
    assert (len(report(journal).actions), known(journal).complete) == (3, True)


def test_a_file_that_was_read_to_its_end_has_its_digest(journal, tmp_path):
    read(journal, fill(tmp_path / "keys.csv", 1))
    assert len(known(journal).sha256 or "") == 64


def test_a_long_file_is_reported_in_batches(journal, tmp_path, monkeypatch):
    monkeypatch.setattr(intakes, "BATCH", 4)
    assert read(journal, fill(tmp_path / "keys.csv", *range(10))) == [4, 4, 2]


def test_a_batch_without_a_new_key_is_not_reported(journal, tmp_path, monkeypatch):
    monkeypatch.setattr(intakes, "BATCH", 2)
    assert read(journal, fill(tmp_path / "keys.csv", 1, 2, 1, 2, 3)) == [2, 1]


def test_with_strict_a_malformed_row_is_refused_with_its_line(journal, tmp_path):
    path = fill(tmp_path / "keys.csv", 1)
    path.write_text(path.read_text() + "nonsense\n")
    with pytest.raises(InputError, match=r"keys\.csv, line 2"):
        read(journal, path, strict=True)


def test_without_strict_a_malformed_row_is_a_result(journal, tmp_path):
    path = fill(tmp_path / "keys.csv", 1)
    path.write_text(path.read_text() + "nonsense\n")
    read(journal, path)
    assert report(journal).actions[1].outcome is Outcome.MALFORMED


def test_weights_of_a_plan_replace_the_column(journal, tmp_path):
    read(journal, fill(tmp_path / "keys.csv", 1, 2, 3), weights={key(2): 9.0, key(3): 1.0})

    async def armed() -> list[str]:
        return [one.bulk_key for one in await journal.claim(10, True)]

    assert anyio.run(armed) == [key(2), key(3), key(1)]


def test_a_file_that_was_cut_is_read_from_its_position(journal, tmp_path):
    path = fill(tmp_path / "keys.csv", 1, 2, 3, 4)
    (info,) = journal.add_sources([(path.name, str(path))])
    journal.admit(info, [InputRow(1, key(1)), InputRow(2, key(2))], False).result(20)
    assert (read(journal, path, known(journal)), len(report(journal).actions)) == ([2], 4)


# Pipes

PATIENCE = 20


class Feeding:
    """An intake that reads a pipe, step by step under the hands of a test."""

    def __init__(self, journal: Journal, path: Path) -> None:
        self.journal = journal
        self.path = path
        os.mkfifo(path)
        self.new: list[int] = []
        self.told = anyio.Event()

    def on_new(self, count: int) -> None:
        self.new.append(count)
        self.told.set()

    async def next(self) -> None:
        with anyio.fail_after(PATIENCE):
            await self.told.wait()
        self.told = anyio.Event()


def feed(journal: Journal, path: Path, script) -> Feeding:
    """Runs ``script(feeding, intake, writer)`` while the intake reads."""

    async def main() -> Feeding:
        feeding = Feeding(journal, path)
        (info,) = journal.add_sources([("pipe", str(path))])
        intake = FileIntake(journal, [(open_source(str(path)), info)], column=None, weight_column=None)
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


# Programs


async def handed(journal: Journal, given) -> list[int]:
    (info,) = journal.add_sources([("keys", None)])
    new: list[int] = []
    await RowIntake(journal, given, info, ranked=False).read(new.append)
    return new


def test_rows_of_a_program_are_admitted_in_batches(journal, monkeypatch):
    monkeypatch.setattr(intakes, "BATCH", 2)
    assert asyncio.run(handed(journal, rows(1, 2, 3))) == [2, 1]


def test_a_row_of_a_slow_program_is_admitted_at_once(journal):
    (info,) = journal.add_sources([("keys", None)])
    new: list[int] = []

    async def slowly() -> AsyncIterator[InputRow]:
        for number, row in enumerate(rows(1, 2, 3)):
            while len(new) < number:  # noqa: ASYNC110 - it changes in a thread
                await asyncio.sleep(0.001)
            yield row

    asyncio.run(RowIntake(journal, slowly(), info, ranked=False).read(new.append))
    assert new == [1, 1, 1]


async def together(*numbers: int) -> AsyncIterator[InputRow]:
    for row in rows(*numbers):
        yield row


def test_rows_of_a_program_that_come_together_are_admitted_together(journal):
    assert asyncio.run(handed(journal, together(1, 2, 3))) == [3]


def test_at_most_one_batch_of_rows_of_a_program_waits_in_memory(journal, monkeypatch):
    monkeypatch.setattr(intakes, "BATCH", 2)
    assert asyncio.run(handed(journal, together(1, 2, 3))) == [2, 1]


def test_rows_before_an_error_of_the_program_are_admitted(journal):
    async def breaks() -> AsyncIterator[InputRow]:
        async for row in together(1, 2):
            yield row
        raise LookupError("its own")

    with pytest.raises(LookupError):
        asyncio.run(handed(journal, breaks()))
    assert known(journal).rows == 2


def test_a_program_that_gave_every_key_has_completed_its_source(journal):
    asyncio.run(handed(journal, rows(1)))
    assert known(journal).complete


def test_an_intake_that_was_read_already_reports_nothing():
    new: list[int] = []
    asyncio.run(ReadAlready().read(new.append))
    assert new == []


def test_an_empty_file_is_refused_by_name(journal, tmp_path):
    with pytest.raises(InputError, match=r"keys\.csv is empty: name a file with bulk keys"):
        read(journal, fill(tmp_path / "keys.csv"))


def test_an_empty_file_beside_one_that_an_earlier_session_read_is_read_to_its_end(journal, tmp_path):
    """A resume reads only what is left; that nothing was there is no news of the whole input."""
    read(journal, fill(tmp_path / "keys.csv", 1, 2))
    assert read(journal, fill(tmp_path / "more.csv")) == []
    assert [source.rows for source in report(journal).run.sources] == [2, 0]


@pytest.mark.asyncio
async def test_an_unknown_tenant_of_a_megabyte_is_shortened_in_row_and_message(journal, connection, info):
    tenancy = Tenancy({"north"}, "tenants.toml")
    rows = [InputRow(1, key(1), tenant="t" * 1_000_000), InputRow(2, key(2), tenant="north")]
    await RowIntake(journal, rows, info, ranked=False, tenancy=tenancy).read(lambda new: None)
    action, _ = read_report(JournalReader(connection)).actions
    assert len(str(action.tenant)) < 1_100
    assert action.error
    assert len(action.error.message) < 300


# Several keys in a row


def write(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


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
        journal.admit(info, every[:taken], False).result(20)
    read(journal, path, known(journal))
    actions = [(action.row, action.bulk_key, action.duplicate_rows) for action in report(journal).actions]
    assert actions == [(1, key(9), [2]), (1, key(1), []), (2, key(3), []), (2, key(2), []), (3, "bad", [])]


def test_a_digest_of_rows_with_several_keys_is_valid(journal, connection, tmp_path):
    read(journal, write(tmp_path / "keys.csv", f"{key(9)},{key(1)}\n{key(3)},{key(9)},{key(2)}\n"))
    source = known(journal)
    assert integrity.chain_of(connection, source) == source.chain


# What the operator must know


def refusal(journal: Journal, path: Path, **options) -> str:
    with pytest.raises(InputError) as raised:
        read(journal, path, **options)
    return str(raised.value)


@pytest.mark.parametrize(
    ("content", "options", "end"),
    [
        (
            "x\ny\n",
            {},
            "keys.csv, row 1: The key has 1 character; a bulk key is 32 letters or digits (A-Z, a-z, 0-9).",
        ),
        (f"key,job\nx,{key(1)}\n", {}, "If another column contains the keys, name it with --column."),
        (f"key,job\nx,{key(1)}\n", {"column": "key"}, "a bulk key is 32 letters or digits (A-Z, a-z, 0-9)."),
        ("# nothing\n", {}, "keys.csv has no row with a key, only a header, comments or blank lines."),
        ("bulk_key\n", {}, "keys.csv has no row with a key, only a header, comments or blank lines."),
    ],
    ids=["one column", "another column", "chosen column", "comments", "header"],
)
def test_an_input_without_a_key_is_refused_with_its_own_problem(journal, tmp_path, content, options, end):
    sentence = refusal(journal, write(tmp_path / "keys.csv", content), **options)
    assert sentence.startswith("The input holds no usable bulk key")
    assert sentence.endswith(end)


def test_a_file_with_an_unclear_column_is_refused_before_a_key_of_another_is_sent(journal, tmp_path):
    paths = [
        fill(tmp_path / "one.csv", 1),
        write(tmp_path / "two.csv", f"a,b\n{key(2)},{key(3)}\n"),
    ]
    infos = journal.add_sources([(path.name, str(path)) for path in paths])
    sources = [(open_source(str(path)), info) for path, info in zip(paths, infos, strict=True)]
    new: list[int] = []

    async def main() -> None:
        await FileIntake(journal, sources, column=None, weight_column=None).read(new.append)

    with pytest.raises(InputError, match=r"two\.csv has keys in several columns"):
        anyio.run(main)
    assert new == []


def notified(journal: Journal, path: Path) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    read(journal, path, notify=lambda event, sentence: found.append((event, sentence)))
    return found


def test_keys_that_differ_only_in_case_are_all_admitted_and_named(journal, tmp_path):
    one, other = f"{'a' * 31}b", f"{'a' * 31}B"
    path = write(tmp_path / "keys.csv", f"{one}\n{key(1)}\n{other}\n")
    assert notified(journal, path) == [
        ("input.case", f"Keys that differ only in case are different keys; all are sent: {other} and {one}.")
    ]
    assert len(report(journal).actions) == 3


def test_keys_in_one_case_cause_no_warning(journal, tmp_path):
    assert notified(journal, write(tmp_path / "keys.csv", f"{'a' * 32}\n{'B' * 32}\n")) == []


def test_skipped_rows_of_a_handover_are_counted(journal, tmp_path):
    path = write(
        tmp_path / "keys.csv", f"bulk_key,tenant,source,row,outcome\n{key(1)},,a,1,x\n,,a,2,malformed\n"
    )
    assert notified(journal, path) == [("input.skipped", f"{path}: skipped rows without a bulk key: 1.")]


# Programs that resume


def resumed(journal: Journal, again: list[InputRow]) -> None:
    async def main() -> None:
        await RowIntake(journal, again, known(journal), ranked=False).read(lambda _: None)

    asyncio.run(main())


def test_rows_of_a_program_that_an_earlier_session_took_are_skipped(journal, info):
    bad = InputRow(2, "bad", problem="no key")
    journal.admit(info, [*rows(1), bad], False).result(20)
    resumed(journal, [*rows(1), bad, *rows(3)])
    assert [(action.row, action.duplicate_rows) for action in report(journal).actions] == [
        (1, []),
        (2, []),
        (3, []),
    ]


@pytest.mark.parametrize("again", [rows(1), rows(1, 3), [InputRow(1, key(9)), *rows(2, 3)]])
def test_a_program_with_other_keys_than_before_is_refused(journal, info, again):
    journal.admit(info, rows(1, 2), False).result(20)
    with pytest.raises(InputError, match="not what it was"):
        resumed(journal, again)


def test_an_input_of_a_program_without_a_key_is_refused_with_its_first_problem(journal):
    with pytest.raises(InputError, match=r"nothing to stop\. keys, row 1: no key$"):
        asyncio.run(handed(journal, [InputRow(1, "x", problem="no key")]))


def test_a_digest_of_rows_with_repeated_numbers_is_valid(journal, connection):
    """A plan of several files has the line numbers of all of them."""
    (info,) = journal.add_sources([("plan", None)])
    journal.admit(info, [InputRow(row, key(n)) for n, row in enumerate([1, 2, 3, 1, 2])], False).result(20)
    assert integrity.chain_of(connection, known(journal)) == known(journal).chain


def test_keys_as_arguments_that_were_not_all_read_are_known_at_resume(journal):
    (info,) = journal.add_sources([("<arguments>", f"{key(1)} {key(2)}")])
    journal.admit(info, rows(1), False).result(20)
    assert read(journal, Path(f"{key(1)} {key(2)}"), known(journal)) == [1]
    assert [action.bulk_key for action in report(journal).actions] == [key(1), key(2)]
