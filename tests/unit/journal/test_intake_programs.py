"""Rows of a program into the journal: in batches, as they come, and again by a second session."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from orchestrator.errors import InputError
from orchestrator.journal import intake as intakes
from orchestrator.journal.intake import (
    RowIntake,
)
from orchestrator.journal.journal import Journal
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.tenancy import Tenancy
from orchestrator.model import InputRow
from orchestrator.report import read_report
from tests.unit.journal.intakes import connection, info, journal, key, known, report, rows

__all__ = ["connection", "info", "journal"]


async def handed(journal: Journal, given) -> list[int]:
    (info,) = journal.add_sources([("keys", None)])
    new: list[int] = []
    await RowIntake(journal, given, info, ranked=False).read(lambda found: new.append(found.total()))
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

    asyncio.run(
        RowIntake(journal, slowly(), info, ranked=False).read(lambda found: new.append(found.total()))
    )
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


@pytest.mark.asyncio
async def test_an_unknown_tenant_of_a_megabyte_is_shortened_in_row_and_message(journal, connection, info):
    tenancy = Tenancy({"north"}, "tenants.toml")
    rows = [InputRow(1, key(1), tenant="t" * 1_000_000), InputRow(2, key(2), tenant="north")]
    await RowIntake(journal, rows, info, ranked=False, tenancy=tenancy).read(lambda new: None)
    action, _ = read_report(JournalReader(connection)).actions
    assert len(str(action.tenant)) < 1_100
    assert action.error
    assert len(action.error.message) < 300


def resumed(journal: Journal, again: list[InputRow]) -> None:
    async def main() -> None:
        await RowIntake(journal, again, known(journal), ranked=False).read(lambda _: None)

    asyncio.run(main())


def test_rows_of_a_program_that_an_earlier_session_took_are_skipped(journal, info):
    bad = InputRow(2, "bad", problem="no key")
    journal.admit(info, [*rows(1), bad], False).result(60)
    resumed(journal, [*rows(1), bad, *rows(3)])
    assert [(action.row, action.duplicate_rows) for action in report(journal).actions] == [
        (1, []),
        (2, []),
        (3, []),
    ]


@pytest.mark.parametrize("again", [rows(1), rows(1, 3), [InputRow(1, key(9)), *rows(2, 3)]])
def test_a_program_with_other_keys_than_before_is_refused(journal, info, again):
    journal.admit(info, rows(1, 2), False).result(60)
    with pytest.raises(InputError, match="not what it was"):
        resumed(journal, again)


def test_an_input_of_a_program_without_a_key_is_refused_with_its_first_problem(journal):
    with pytest.raises(InputError, match=r"nothing to stop\. keys, row 1: no key$"):
        asyncio.run(handed(journal, [InputRow(1, "x", problem="no key")]))
