"""What is begun of a dask cluster is closed whole, however early the run is cancelled."""

import asyncio
from collections.abc import Generator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from orchestrator.cluster import cluster
from orchestrator.errors import UsageError


class Part:
    """As a cluster of dask: awaited it starts, and it must not be closed half started."""

    def __init__(self, *, fails: bool = False) -> None:
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        self.started = self.closed_whole = False
        self._fails = fails

    def __await__(self) -> Generator[Any, Any, "Part"]:
        return self._start().__await__()

    async def _start(self) -> "Part":
        self.begun.set()
        await self.go_on.wait()
        if self._fails:
            raise RuntimeError("no worker starts")
        self.started = True
        return self

    async def __aenter__(self) -> "Part":
        return await self

    async def __aexit__(self, *_: object) -> None:
        self.closed_whole = self.started


async def come_about(part: Part) -> None:
    async with AsyncExitStack() as stack:
        # Its parts are named by dask's own types, of which this is none.
        make: Any = lambda: part  # noqa: E731 - to be of any type
        await cluster._come_about(stack, make, 60, "It did not come about ({}).")


@pytest.mark.asyncio
async def test_a_cluster_that_is_starting_is_let_start_before_it_is_closed():
    part = Part()
    task = asyncio.create_task(come_about(part))
    await part.begun.wait()
    task.cancel()
    await asyncio.sleep(0)
    part.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert part.closed_whole


@pytest.mark.asyncio
async def test_one_that_never_starts_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "LONGEST_CLOSE", 0)
    part = Part()
    task = asyncio.create_task(come_about(part))
    await part.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.asyncio
async def test_why_one_does_not_start_is_told():
    part = Part(fails=True)
    part.go_on.set()
    with pytest.raises(UsageError, match="no worker starts"):
        await come_about(part)
