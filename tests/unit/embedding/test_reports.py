"""The questions of a program to a report: is all over, which keys need a person, which error fits."""

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import orchestrator
from orchestrator import (
    ActionsNotOver,
    CredentialsRefused,
    MassStopError,
    Outcome,
    Report,
    RunCutShort,
    RunDirectoryError,
    RunInterrupted,
    Secret,
    Settings,
    StorageError,
    TenantUnreachable,
    UsageError,
    plan_all,
    read_report,
    stop_all,
)
from orchestrator.model import OVER
from tests.unit.embedding.served import ACTIONS, Served, cut


@pytest.mark.parametrize("outcome", list(Outcome))
def test_an_outcome_says_whether_its_action_is_over(outcome: Outcome):
    assert outcome.is_over == (outcome in OVER)


@pytest.mark.asyncio
async def test_a_report_whose_actions_are_all_over_raises_nothing(settings: Settings, keys: list[str]):
    report = await stop_all(keys, settings)
    report.raise_for_status()
    assert (report.all_over, report.needs_person) == (True, [])


@pytest.mark.asyncio
async def test_a_report_lists_the_actions_that_need_a_person(settings: Settings, keys: list[str]):
    report = await stop_all([keys[0], "no key", "0" * 32], settings)
    assert [action.outcome for action in report.needs_person] == [Outcome.MALFORMED, Outcome.REJECTED]
    assert not report.all_over


@pytest.mark.asyncio
async def test_actions_that_are_not_over_raise_an_error_that_counts_them(settings: Settings, keys: list[str]):
    report = await stop_all([keys[0], "0" * 32], settings)
    with pytest.raises(ActionsNotOver, match="1 of 2 keys need a person") as raised:
        report.raise_for_status()
    assert str(report.run_dir) in str(raised.value)


@pytest.mark.asyncio
async def test_refused_credentials_raise_credentials_refused(settings: Settings, keys: list[str]):
    values = {name: getattr(settings, name) for name in ("base_url", "client_id", "out")}
    report = await stop_all(keys, Settings(**values, client_secret=Secret("wrong")))
    with pytest.raises(CredentialsRefused):
        report.raise_for_status()


@pytest.mark.asyncio
async def test_a_refused_bearer_token_raises_credentials_refused(settings: Settings, keys: list[str]):
    report = await stop_all(
        keys, Settings(base_url=settings.base_url, token=Secret("wrong"), out=settings.out)
    )
    with pytest.raises(CredentialsRefused):
        report.raise_for_status()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (1, ActionsNotOver),
        (2, UsageError),
        (3, TenantUnreachable),
        (4, RunCutShort),
        (5, StorageError),
        (130, RunInterrupted),
        (143, RunInterrupted),
        (129, RunInterrupted),
        (None, RunInterrupted),
    ],
)
async def test_each_exit_status_has_its_error(
    status: int | None, error: type[MassStopError], settings: Settings, keys: list[str]
):
    report = await stop_all(keys[:1], settings)
    ended = structs.replace(report, run=structs.replace(report.run, exit_status=status, reason="It ended."))
    with pytest.raises(MassStopError, match=r"It ended\.") as raised:
        ended.raise_for_status()
    assert type(raised.value) is error


@pytest.mark.asyncio
async def test_a_report_names_the_directory_of_its_run(
    settings: Settings, keys: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    report = await stop_all(keys, Settings(**{**vars(settings), "out": "here"}))
    assert report.run_dir == tmp_path / "here"


@pytest.mark.asyncio
async def test_a_report_is_read_again_from_its_directory(settings: Settings, keys: list[str], tmp_path: Path):
    report = await stop_all([*keys, "no key"], settings)
    assert read_report(tmp_path / "run") == report


@pytest.mark.asyncio
async def test_a_report_of_a_cancelled_run_raises_run_interrupted(slow: Served, tmp_path: Path):
    await cut(slow, slow.settings(tmp_path / "run"))
    report = read_report(tmp_path / "run")
    with pytest.raises(RunInterrupted):
        report.raise_for_status()
    assert not report.all_over


def test_a_directory_without_a_run_has_no_report(tmp_path: Path):
    with pytest.raises(RunDirectoryError):
        read_report(tmp_path)


@pytest.mark.asyncio
async def test_a_plan_sends_no_stop_and_says_what_would_be_stopped(served: Served, settings: Settings):
    report = await plan_all(served.tenant.keys, settings)
    assert report.summary.outcomes == {Outcome.WOULD_STOP: ACTIONS}
    assert served.tenant.calls.get("stop", 0) == 0


@pytest.mark.asyncio
async def test_a_plan_is_not_over_and_needs_no_person(settings: Settings, keys: list[str]):
    report = await plan_all(keys, settings)
    assert (report.all_over, report.needs_person, report.run.exit_status) == (False, [], 0)


def test_the_package_lists_its_public_names():
    assert dir(orchestrator) == sorted(orchestrator.__all__)


def test_the_directory_of_a_run_is_no_field_of_the_report_file():
    from orchestrator.report import json_schema

    assert "run_dir" not in str(json_schema())
    assert "run_dir" in Report.__struct_fields__


@pytest.fixture(autouse=True)
def no_other_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.chdir(tmp_path)
