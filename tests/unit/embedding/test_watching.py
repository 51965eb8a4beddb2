"""How a program follows a run: on_progress, and a logger of the standard library."""

import logging
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from orchestrator import Outcome, RunProgress, Settings, plan_all, stop_all, stop_each
from tests.unit.embedding.served import ACTIONS, Served


class Records(logging.Handler):
    """Keeps every record."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def logger(records: Records) -> Iterator[logging.Logger]:
    ours = logging.getLogger("the.program")
    ours.addHandler(records)
    ours.setLevel(logging.INFO)
    ours.propagate = False
    yield ours
    ours.removeHandler(records)


@pytest.mark.asyncio
async def test_the_last_progress_has_every_key(settings: Settings, keys: list[str]):
    seen: list[RunProgress] = []
    await stop_all([*keys, "no key"], settings, on_progress=seen.append)
    last = seen[-1]
    assert (last.keys, last.completed, last.needs_person, last.read_to_end) == (ACTIONS, ACTIONS, 0, True)
    assert last.outcomes == {Outcome.STOPPED: ACTIONS}


@pytest.mark.asyncio
async def test_progress_is_shown_before_the_end_of_a_run(slow: Served, tmp_path: Path):
    seen: list[RunProgress] = []
    await stop_all(slow.tenant.keys, slow.settings(tmp_path / "run"), on_progress=seen.append)
    assert seen[0].completed < seen[-1].completed


@pytest.mark.asyncio
async def test_a_plan_shows_its_progress(settings: Settings, keys: list[str]):
    seen: list[RunProgress] = []
    await plan_all(keys, settings, on_progress=seen.append)
    assert seen[-1].completed == ACTIONS


@pytest.mark.asyncio
async def test_stop_each_shows_its_progress(settings: Settings, keys: list[str]):
    seen: list[RunProgress] = []
    async with aclosing(stop_each(keys, settings, on_progress=seen.append)) as actions:
        assert len([action async for action in actions]) == ACTIONS
    assert seen[-1].completed == ACTIONS


@pytest.mark.asyncio
async def test_a_callback_that_raises_is_logged_and_not_called_again(
    settings: Settings, keys: list[str], tmp_path: Path
):
    calls: list[RunProgress] = []

    def fail(progress: RunProgress) -> None:
        calls.append(progress)
        raise LookupError("no screen")

    report = await stop_all(keys, settings, on_progress=fail)
    assert (report.all_over, len(calls)) == (True, 1)
    assert "on_progress raised LookupError: no screen" in (tmp_path / "run" / "run.log").read_text("utf-8")


@pytest.mark.asyncio
async def test_a_logger_receives_the_events_of_its_levels(
    settings: Settings, keys: list[str], logger: logging.Logger, records: Records
):
    await stop_all(keys, settings, logger=logger)
    messages = [record.getMessage().split()[0] for record in records.kept]
    assert (messages[0], messages[-1]) == ("run.started", "run.ended")
    assert all(record.levelno >= logging.INFO for record in records.kept)


@pytest.mark.asyncio
async def test_a_record_has_the_fields_of_its_event(
    settings: Settings, keys: list[str], logger: logging.Logger, records: Records
):
    report = await stop_all(keys, settings, logger=logger)
    fields = vars(records.kept[-1])["mass_stop"]
    assert (fields["run"], fields["exit_status"]) == (report.run.id, 0)


@pytest.mark.asyncio
async def test_a_logger_that_raises_does_not_end_the_run(settings: Settings, keys: list[str]):
    class Failing(logging.Logger):
        def handle(self, record: logging.LogRecord) -> None:
            raise OSError("no log host")

    report = await stop_all(keys, settings, logger=Failing("failing"))
    assert report.all_over
