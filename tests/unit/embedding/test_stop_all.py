"""stop_all and stop_all_blocking: what they return and what they raise; several tenants in one call."""

import asyncio
import gc
import json
import logging
import os
import resource
import sys
import threading
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from orchestrator import (
    Outcome,
    Report,
    Secret,
    Settings,
    Tenant,
    UsageError,
    resume_all_blocking,
    stop_all,
    stop_all_blocking,
)
from orchestrator.engine import retry
from orchestrator.errors import CallError, Kind, StorageError
from orchestrator.threads import NO_THREAD
from orchestrator.zuora.client import ZuoraClient
from tests.unit.embedding.served import ACTIONS, LONGEST, Served, other_tasks, until_some_stop_arrived


@pytest.mark.asyncio
async def test_stop_all_returns_the_report_as_an_object(settings: Settings, keys: list[str]):
    assert isinstance(await stop_all(keys, settings), Report)


@pytest.mark.asyncio
async def test_stop_all_stops_every_action(served: Served, settings: Settings, keys: list[str]):
    await stop_all(keys, settings)
    assert {served.tenant.truth(key).status for key in keys} == {"Stopped"}


@pytest.mark.asyncio
async def test_stop_all_reports_the_keys_in_their_order(settings: Settings, keys: list[str]):
    report = await stop_all(keys, settings)
    assert [action.bulk_key for action in report.actions] == keys


@pytest.mark.asyncio
async def test_stop_all_returns_the_exit_status_of_the_command(settings: Settings, keys: list[str]):
    report = await stop_all([*keys, "no key"], settings)
    assert report.run.exit_status == 1


@pytest.mark.asyncio
async def test_stop_all_reports_a_malformed_key(settings: Settings, keys: list[str]):
    report = await stop_all([keys[0], "no key"], settings)
    assert [action.outcome for action in report.actions] == [Outcome.STOPPED, Outcome.MALFORMED]


@pytest.mark.asyncio
async def test_stop_all_numbers_duplicates_by_their_place(settings: Settings, keys: list[str]):
    report = await stop_all([keys[0], keys[1], keys[0]], settings)
    assert [(action.row, action.duplicate_rows) for action in report.actions] == [(1, [3]), (2, [])]


@pytest.mark.asyncio
async def test_stop_all_takes_keys_from_a_generator(settings: Settings, keys: list[str]):
    report = await stop_all((key for key in keys), settings)
    assert report.summary.outcomes == {Outcome.STOPPED: ACTIONS}


@pytest.mark.asyncio
async def test_stop_all_sends_a_key_of_an_asynchronous_iterable_as_it_comes(
    served: Served, settings: Settings, keys: list[str]
):
    async def second_after_the_first_stop() -> AsyncIterator[str]:
        yield keys[0]
        await until_some_stop_arrived(served)
        yield keys[1]

    report = await stop_all(second_after_the_first_stop(), settings)
    assert report.summary.outcomes == {Outcome.STOPPED: 2}


@pytest.mark.asyncio
async def test_without_a_key_stop_all_raises_a_usage_error(settings: Settings):
    with pytest.raises(UsageError):
        await stop_all([], settings)


@pytest.mark.asyncio
async def test_without_a_tenant_stop_all_raises_a_usage_error(settings: Settings, keys: list[str]):
    with pytest.raises(UsageError):
        await stop_all(keys, replace(settings, base_url=None))


@pytest.mark.asyncio
async def test_without_credentials_stop_all_raises_a_usage_error(settings: Settings, keys: list[str]):
    with pytest.raises(UsageError):
        await stop_all(keys, replace(settings, client_secret=None))


@pytest.mark.asyncio
async def test_the_report_says_that_credentials_were_refused(settings: Settings, keys: list[str]):
    report = await stop_all(keys, replace(settings, client_secret=Secret("wrong")))
    assert report.run.exit_status == 3


@pytest.mark.asyncio
@pytest.mark.parametrize("engine", ["local", "dask"])
async def test_an_error_of_the_callers_own_iterable_reaches_the_caller_and_the_report(
    settings: Settings, keys: list[str], engine: Literal["local", "dask"]
):
    async def breaks() -> AsyncIterator[str]:
        yield keys[0]
        raise LookupError("the caller's own")

    with pytest.raises(LookupError):
        await stop_all(breaks(), replace(settings, engine=engine))
    report = json.loads((Path(settings.out or "") / "report.json").read_text())
    assert (report["run"]["state"], report["run"]["reason"]) == (
        "aborted",
        "The keys ended with an error: LookupError.",
    )


@pytest.mark.asyncio
async def test_two_runs_in_one_loop_are_independent(served: Served, keys: list[str], tmp_path: Path):
    halves = (keys[:6], keys[6:])
    both = [served.settings(tmp_path / name) for name in ("one", "other")]
    reports = await asyncio.gather(
        *(stop_all(half, run_settings) for half, run_settings in zip(halves, both, strict=True))
    )
    assert tuple([action.bulk_key for action in report.actions] for report in reports) == halves


@pytest.mark.asyncio
async def test_a_run_leaves_no_task_behind(settings: Settings, keys: list[str]):
    await stop_all(keys, settings)
    assert other_tasks() == set()


def test_stop_all_blocking_in_a_loop_names_the_call_that_belongs_there(settings: Settings, keys: list[str]):
    async def in_a_loop() -> None:
        stop_all_blocking(keys, settings)

    with pytest.raises(UsageError, match="await stop_all"):
        asyncio.run(in_a_loop())


def test_resume_all_blocking_in_a_loop_names_the_call_that_belongs_there(settings: Settings, tmp_path: Path):
    async def in_a_loop() -> None:
        resume_all_blocking(tmp_path, settings)

    with pytest.raises(UsageError, match="await resume_all"):
        asyncio.run(in_a_loop())


def test_stop_all_blocking_needs_no_loop(settings: Settings, keys: list[str]):
    reports: list[Report] = []
    # In a thread of its own: asyncio.run() would throw away the loop that pytest-asyncio keeps for the main thread.
    thread = threading.Thread(target=lambda: reports.append(stop_all_blocking(keys, settings)))
    thread.start()
    thread.join(LONGEST)
    assert [report.summary.outcomes for report in reports] == [{Outcome.STOPPED: ACTIONS}]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "status", "outcome"),
    [(Kind.UNAUTHENTICATED, 3, Outcome.NOT_ATTEMPTED), (Kind.NO_PERMISSION, 1, Outcome.REJECTED)],
)
async def test_a_run_whose_calls_are_all_refused_for_the_credentials_has_wrong_credentials(
    settings: Settings,
    keys: list[str],
    monkeypatch: pytest.MonkeyPatch,
    kind: Kind,
    status: int,
    outcome: Outcome,
):
    async def refuse(*_: str) -> None:
        raise CallError(kind, "No.", http_status=401, by_api=True)

    monkeypatch.setattr(retry, "UNAUTHENTICATED_FOR", 0.0)
    monkeypatch.setattr(ZuoraClient, "stop", refuse)
    report = await stop_all(keys[:2], settings)
    assert (report.run.exit_status, report.summary.outcomes) == (status, {outcome: 2})


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), StorageError(NO_THREAD)], ids=str)
async def test_a_run_that_finds_no_thread_for_a_call_leaves_its_report(
    settings: Settings, keys: list[str], monkeypatch: pytest.MonkeyPatch, error: Exception
):
    """As when names are resolved or certificates read in a thread."""

    async def refuse(*_: str) -> None:
        raise error

    monkeypatch.setattr(ZuoraClient, "stop", refuse)
    report = await stop_all(keys[:2], settings)
    assert (report.run.exit_status, report.run.state) == (5, "aborted")
    assert "no more threads" in (report.run.reason or "")


def two_tenants(served: Served) -> dict[str, Tenant]:
    """Two entities of the tenant that is served."""
    config = served.tenant.config
    return {
        name: Tenant(
            base_url=served.tenant.base_url,
            entity_id=name,
            client_id=config.client_id,
            client_secret=Secret(config.client_secret),
        )
        for name in ("north", "south")
    }


@pytest.mark.asyncio
async def test_several_tenants_are_stopped_in_one_call(served: Served, tmp_path: Path, keys: list[str]):
    pairs = [(("north", "south")[place % 2], key) for place, key in enumerate(keys)]
    report = await stop_all(pairs, Settings(out=str(tmp_path / "run")), two_tenants(served))
    assert [(action.tenant, action.bulk_key) for action in report.actions] == pairs
    assert {action.outcome for action in report.actions} == {Outcome.STOPPED}


@pytest.mark.asyncio
async def test_a_key_of_an_unknown_tenant_is_malformed(served: Served, tmp_path: Path, keys: list[str]):
    pairs = [("north", keys[0]), ("west", keys[1])]
    report = await stop_all(pairs, Settings(out=str(tmp_path / "run")), two_tenants(served))
    assert [action.outcome for action in report.actions] == [Outcome.STOPPED, Outcome.MALFORMED]


@pytest.mark.asyncio
async def test_a_key_that_names_a_tenant_is_malformed_in_a_run_of_one(settings: Settings, keys: list[str]):
    report = await stop_all([("north", keys[0]), keys[1]], settings)
    assert [action.outcome for action in report.actions] == [Outcome.MALFORMED, Outcome.STOPPED]


@pytest.mark.asyncio
async def test_a_secret_that_a_program_holds_is_not_sent_to_a_scheduler_elsewhere(
    served: Served, tmp_path: Path, keys: list[str]
):
    settings = Settings(
        out=str(tmp_path / "run"), engine="dask", scheduler="tls://x:8786", shared_dir=str(tmp_path)
    )
    with pytest.raises(UsageError, match="is not sent to a scheduler elsewhere"):
        await stop_all([("north", keys[0])], settings, two_tenants(served))


@pytest.mark.asyncio
async def test_a_secret_that_a_program_holds_reaches_the_workers_of_this_machine(
    served: Served, tmp_path: Path, keys: list[str]
):
    settings = Settings(out=str(tmp_path / "run"), engine="dask")
    report = await stop_all([("north", keys[0]), ("south", keys[1])], settings, two_tenants(served))
    assert [action.outcome for action in report.actions] == [Outcome.STOPPED, Outcome.STOPPED]


@pytest.mark.asyncio
async def test_a_run_with_dask_leaves_the_program_as_it_was(settings: Settings, keys: list[str]):
    import distributed  # changes loggers when it is imported

    def state() -> list[object]:
        levels = {name: logging.getLogger(name).level for name in ("distributed", "distributed.client")}
        client = distributed.client._get_global_client()
        return [
            dict(os.environ),
            list(sys.path),
            levels,
            client,
            resource.getrlimit(resource.RLIMIT_CORE),
            gc.get_threshold(),
        ]

    before = state()
    report = await stop_all(keys, replace(settings, engine="dask"))
    assert report.run.exit_status == 0
    assert state() == before


@pytest.mark.asyncio
async def test_whatever_a_program_passes_is_stripped_or_reported(settings: Settings, keys: list[str]):
    passed = [f"{keys[0]}\n", None, keys[1].encode(), uuid.UUID(keys[2]), 7, f" '{keys[3]}' "]
    report = await stop_all(passed, settings)  # type: ignore[arg-type]
    assert [(action.row, action.outcome) for action in report.actions] == [
        (1, Outcome.STOPPED), (2, Outcome.MALFORMED), (3, Outcome.MALFORMED), (4, Outcome.MALFORMED),
        (5, Outcome.MALFORMED), (6, Outcome.STOPPED),
    ]  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize("passed", ["0" * 32, b"0" * 32, None, 7])
async def test_a_wrong_type_of_keys_raises_a_usage_error(settings: Settings, passed: Any):
    with pytest.raises(UsageError, match="keys must be a list"):
        await stop_all(passed, settings)


@pytest.mark.asyncio
async def test_any_key_may_be_any_safe_text(settings: Settings):
    report = await stop_all(["job-1"], replace(settings, any_key=True))
    assert [action.outcome for action in report.actions] == [Outcome.REJECTED]
