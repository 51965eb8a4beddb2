"""A tenant for tests of the programmatic API, and common steps of its runs."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import (
    Secret,
    Settings,
    stop_all,
)
from orchestrator.simulator import SimulatedTenant

LONGEST = 200.0
ACTIONS = 12

AT_WORK: dict[str, Any] = {
    "actions": ACTIONS,
    "latency": 0.003,
    "mix": {"Processing": 1},
    "records": (2000, 4000),
    "speed": (0.5, 2.0),
    "stopping_time": (0.01, 0.1),
}
"""A tenant whose actions have at least five minutes of work left, so that only our stop ends them."""


class Served:
    """A simulated tenant in its own thread and event loop, so that the test's loop contains only our tasks."""

    def __init__(self, **changes: Any) -> None:
        self.tenant = SimulatedTenant(**{**AT_WORK, **changes})
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.tenant.start(), self._loop).result(LONGEST)

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self.tenant.stop(), self._loop).result(LONGEST)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LONGEST)
        self._loop.close()

    def settings(self, out: Path, **others: Any) -> Settings:
        config = self.tenant.config
        return Settings(
            base_url=self.tenant.base_url,
            client_id=config.client_id,
            client_secret=Secret(config.client_secret),
            out=str(out),
            **others,
        )


async def until_some_stop_arrived(served: Served) -> None:
    async with asyncio.timeout(LONGEST):
        while not served.tenant.calls.get("stop"):  # noqa: ASYNC110 - the tenant is in another thread
            await asyncio.sleep(0.002)


async def cut(served: Served, settings: Settings) -> None:
    """Start a run, and cancel it while stops are in flight."""
    task = asyncio.create_task(stop_all(served.tenant.keys, settings))
    await until_some_stop_arrived(served)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def other_tasks() -> set["asyncio.Task[Any]"]:
    return asyncio.all_tasks() - {asyncio.current_task()}


async def one_by_one(keys: list[str]) -> AsyncIterator[str]:
    for key in keys:
        await asyncio.sleep(0)
        yield key
