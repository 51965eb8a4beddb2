"""A run that its program cancels and continues."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from orchestrator import (
    Outcome,
    Settings,
    UsageError,
    embedding,
    resume_all,
    resume_all_blocking,
    rundir,
    runs,
    stop_all,
    stop_all_blocking,
)
from orchestrator.cluster import session
from orchestrator.report import read_report
from orchestrator.runs import opening
from orchestrator.settings.programs import checked
from tests.unit.embedding.served import (
    ACTIONS,
    LONGEST,
    Served,
    cut,
    one_by_one,
    other_tasks,
    until_some_stop_arrived,
)


@pytest.mark.asyncio
async def test_a_cancelled_run_leaves_a_report_that_says_interrupted(slow: Served, tmp_path: Path):
    await cut(slow, slow.settings(tmp_path / "run"))
    assert b'"state": "interrupted"' in (tmp_path / "run" / "report.json").read_bytes()


@pytest.mark.asyncio
async def test_a_run_that_is_cut_while_its_report_is_written_writes_it_and_has_its_exit_status(
    served: Served, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """A second Ctrl-C in that moment ended an interrupted run in exit status 0."""
    run = await runs.begin(checked(settings, several=False), "run", None)
    with anyio.CancelScope() as scope:
        remediate = run._files.remediate

        async def cut_then_remediate(on_share: Callable[[float], object]) -> None:
            run.cutoff.cancel(runs.Interrupted.by_signal("SIGINT", 130))
            scope.cancel()
            await remediate(on_share)

        monkeypatch.setattr(run._files, "remediate", cut_then_remediate)
        run.exit_status = -1
        await run.execute(await embedding._intake(run, list(served.tenant.keys)))
    run.close()
    assert (run.exit_status, run.saved) == (0, True)


@pytest.mark.asyncio
async def test_a_run_that_waits_for_its_cluster_is_cut_at_once(
    served: Served, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """It once waited a minute for the first worker, regardless of signals."""
    waits = asyncio.Event()

    @asynccontextmanager
    async def never(*_: object) -> AsyncIterator[None]:
        waits.set()
        await anyio.sleep_forever()
        yield

    monkeypatch.setattr(session, "connect", never)
    run = await runs.begin(checked(replace(settings, engine="dask"), several=False), "run", None)
    async with asyncio.timeout(LONGEST), anyio.create_task_group() as group:
        group.start_soon(run.execute, await embedding._intake(run, list(served.tenant.keys)))
        await waits.wait()
        run.cutoff.cancel(runs.Interrupted.by_signal("SIGINT", 130))
    outcomes = (await run.read(read_report)).summary.outcomes
    run.close()
    assert (run.exit_status, outcomes) == (130, {Outcome.NOT_ATTEMPTED: ACTIONS})


@pytest.mark.asyncio
async def test_a_cancelled_run_can_be_resumed_to_its_end(
    slow: Served, tmp_path: Path, mass_stop_command: Path
):
    await cut(slow, slow.settings(tmp_path / "run"))
    resume = await asyncio.create_subprocess_exec(
        mass_stop_command, "resume", tmp_path / "run", "--quiet", env=slow.tenant.environment()
    )
    async with asyncio.timeout(LONGEST):
        assert await resume.wait() == 0


@pytest.mark.asyncio
async def test_a_program_can_resume_a_cancelled_run(slow: Served, tmp_path: Path):
    settings = slow.settings(tmp_path / "run")
    await cut(slow, settings)
    report = await resume_all(tmp_path / "run", settings, slow.tenant.keys)
    assert (report.run.exit_status, report.run.resumed) == (0, 1)
    assert [action.bulk_key for action in report.actions] == list(slow.tenant.keys)
    assert report.summary.outcomes == {Outcome.STOPPED: ACTIONS}


@pytest.mark.asyncio
async def test_a_guard_holds_when_the_run_is_resumed_without_naming_it(slow: Served, tmp_path: Path):
    guarded = slow.settings(tmp_path / "run", expect_uploaded_by=("nobody@example.com",))
    task = asyncio.create_task(stop_all(slow.tenant.keys, guarded))
    async with asyncio.timeout(LONGEST):
        while not slow.tenant.calls.get("status"):  # noqa: ASYNC110 - the tenant is in another thread
            await asyncio.sleep(0.002)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    report = await resume_all(tmp_path / "run", slow.settings(tmp_path / "run"), slow.tenant.keys)
    assert report.summary.outcomes == {Outcome.SKIPPED_BY_GUARD: ACTIONS}
    assert slow.tenant.calls.get("stop", 0) == 0


@pytest.mark.asyncio
async def test_keys_that_the_cut_left_unread_must_be_given_again(slow: Served, tmp_path: Path):
    async def no_end() -> AsyncIterator[str]:
        yield slow.tenant.keys[0]
        await asyncio.Event().wait()

    settings = slow.settings(tmp_path / "run")
    task = asyncio.create_task(stop_all(no_end(), settings))
    await until_some_stop_arrived(slow)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(UsageError, match="give the same keys again"):
        await resume_all(tmp_path / "run", settings)
    report = await resume_all(tmp_path / "run", settings, one_by_one(slow.tenant.keys))
    assert report.summary.outcomes == {Outcome.STOPPED: ACTIONS}


@pytest.mark.asyncio
async def test_a_run_is_not_resumed_at_another_tenant(slow: Served, served: Served, tmp_path: Path):
    await cut(slow, slow.settings(tmp_path / "run"))
    with pytest.raises(UsageError, match="belongs to"):
        await resume_all(tmp_path / "run", served.settings(tmp_path / "run"))


def test_a_run_that_is_over_is_resumed_to_the_same_report_without_a_loop(
    settings: Settings, keys: list[str], tmp_path: Path
):
    before = stop_all_blocking(keys, settings)
    after = resume_all_blocking(tmp_path / "run", settings)
    assert (after.actions, after.run.exit_status) == (before.actions, 0)


@pytest.mark.asyncio
async def test_a_cancelled_run_leaves_no_task_behind(slow: Served, tmp_path: Path):
    await cut(slow, slow.settings(tmp_path / "run"))
    assert other_tasks() == set()


@pytest.mark.asyncio
async def test_a_cancelled_run_causes_no_error_in_the_loop(slow: Served, tmp_path: Path):
    noise: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
    await cut(slow, slow.settings(tmp_path / "run"))
    assert noise == []


@pytest.mark.asyncio
async def test_a_cancelled_run_frees_its_directory(slow: Served, tmp_path: Path):
    run_settings = slow.settings(tmp_path / "run")
    await cut(slow, run_settings)
    with pytest.raises(UsageError, match="already contains a run"):  # and not: another is at work
        await stop_all(slow.tenant.keys, run_settings)


@pytest.mark.asyncio
@pytest.mark.parametrize("step", ["opened", "closed"])
async def test_a_run_that_is_cancelled_while_it_is_opened_or_closed_frees_its_directory(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
):
    """The thread that opens or closes it comes to its end first."""
    place, name = (rundir, "create") if step == "opened" else (runs.Run, "close")
    usual = getattr(place, name)
    begun, may_end = threading.Event(), threading.Event()

    def slow(*arguments: Any) -> Any:
        begun.set()
        assert may_end.wait(LONGEST)
        return usual(*arguments)

    monkeypatch.setattr(place, name, slow)
    task = asyncio.create_task(stop_all(served.tenant.keys, served.settings(tmp_path / "run")))
    assert await asyncio.to_thread(begun.wait, LONGEST)
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (tmp_path / "run").exists() == (step == "closed")
    if step == "closed":
        rundir.reopen(tmp_path / "run").close()


@pytest.mark.asyncio
async def test_a_resume_that_is_cancelled_while_the_run_is_opened_frees_its_directory(
    slow: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = slow.settings(tmp_path / "run")
    await cut(slow, settings)
    begun = asyncio.Event()

    async def never(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        patched.setattr(opening, "_collect", never)
        task = asyncio.create_task(resume_all(tmp_path / "run", settings, slow.tenant.keys))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    report = await resume_all(tmp_path / "run", settings, slow.tenant.keys)
    assert report.run.exit_status == 0
