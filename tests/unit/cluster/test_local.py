"""A cluster on this machine starts completely, replaces dead workers, and leaves nothing behind."""

import asyncio
import os
import sys
from pathlib import Path

import psutil
import pytest
from distributed import Client

from orchestrator.cluster import local
from orchestrator.cluster.local import local_cluster
from orchestrator.errors import UsageError

pytestmark = pytest.mark.asyncio

LONGEST = 200.0


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer to start a worker than a run waits."""
    monkeypatch.setattr(local, "LONGEST_START", LONGEST)


def workers() -> set[int]:
    """The worker processes of this process."""
    return {
        one.pid
        for one in psutil.Process().children()
        if one.status() != psutil.STATUS_ZOMBIE and "orchestrator.cluster.worker" in " ".join(one.cmdline())
    }


async def until_workers(count: int, *, without: set[int] = frozenset()) -> None:  # type: ignore[assignment]
    async with asyncio.timeout(LONGEST):
        while len(workers() - without) < count:  # noqa: ASYNC110 - a process gives no event
            await asyncio.sleep(0.02)


async def test_a_worker_that_dies_is_replaced(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local, "PAUSE", 0)
    async with local_cluster(1, 1, os.environ) as (address, security):
        (first,) = workers()
        os.kill(first, 9)
        await until_workers(1, without={first})
        async with Client(address, security=security, asynchronous=True) as client:
            await client.wait_for_workers(1, timeout=LONGEST)
            assert await client.submit(os.getpid) != first
    assert workers() == set()


async def test_a_start_that_is_cancelled_leaves_no_worker_behind():
    async def start() -> None:
        async with local_cluster(2, 1, os.environ):
            pass

    task = asyncio.create_task(start())
    await until_workers(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert workers() == set()


def python_that(tmp_path: Path, script: str) -> str:
    """A program in the place of Python, which runs ``script`` in a shell."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o700)
    return str(python)


async def test_the_reason_of_a_worker_that_does_not_start_is_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", python_that(tmp_path, "echo 'ImportError: no such thing' >&2"))
    with pytest.raises(UsageError, match="ImportError: no such thing"):
        async with local_cluster(1, 1, os.environ):
            pass


async def test_a_worker_that_never_starts_ends_the_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", python_that(tmp_path, "exec sleep 60"))
    monkeypatch.setattr(local, "LONGEST_START", 0.2)
    monkeypatch.setattr(local, "LONGEST_CLOSE", 0.2)
    with pytest.raises(UsageError, match="no answer in time"):
        async with local_cluster(1, 1, os.environ):
            pass


async def test_a_module_in_the_current_folder_is_not_imported_by_a_worker(tmp_path, monkeypatch):
    (tmp_path / "distributed.py").write_text("raise SystemExit('code of another user')")
    monkeypatch.chdir(tmp_path)
    async with local_cluster(1, 1, os.environ):
        assert len(workers()) == 1
