"""Many calls bounded in time by one timer, in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import pytest

from orchestrator.zuora.deadlines import Deadlines
from tests.simulation.virtual import now, virtually


def bounded(work: Callable[[Deadlines], Awaitable[None]], seconds: float = 30.0) -> None:
    async def main() -> None:
        deadlines = Deadlines(seconds)
        await work(deadlines)
        deadlines.close()

    virtually(main())


async def wait(deadlines: Deadlines, seconds: float, begin: float = 0.0) -> str:
    await asyncio.sleep(begin)
    try:
        with deadlines:
            await asyncio.sleep(seconds)
    except TimeoutError:
        return f"late at {now():.0f}"
    return f"done at {now():.0f}"


def test_each_call_ends_when_its_own_time_is_over():
    async def work(deadlines: Deadlines) -> None:
        ended = tuple(
            await asyncio.gather(
                wait(deadlines, 100),
                wait(deadlines, 10),
                wait(deadlines, 100, begin=10),
                wait(deadlines, 29, begin=10),
                wait(deadlines, 100, begin=50),
            )
        )
        assert ended == ("late at 30", "done at 10", "late at 40", "done at 39", "late at 80")

    bounded(work)


def test_completed_calls_leave_no_timer_that_cancels_others():
    async def work(deadlines: Deadlines) -> None:
        for _ in range(20):
            with deadlines:
                await asyncio.sleep(7)
        await asyncio.sleep(100)
        assert await wait(deadlines, 29) == "done at 269"

    bounded(work)


def test_a_task_that_was_late_once_is_not_cancelled_afterwards():
    async def work(deadlines: Deadlines) -> None:
        assert await wait(deadlines, 31) == "late at 30"
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()
        assert await wait(deadlines, 5) == "done at 35"

    bounded(work)


def test_an_outside_cancellation_is_not_a_timeout():
    async def work(deadlines: Deadlines) -> None:
        waiting = asyncio.create_task(wait(deadlines, 100))
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    bounded(work)


def test_an_outside_cancellation_precedes_a_timeout():
    async def work(deadlines: Deadlines) -> None:
        waiting = asyncio.create_task(wait(deadlines, 100))
        asyncio.get_running_loop().call_at(now() + 30, waiting.cancel)
        with pytest.raises(asyncio.CancelledError):
            await waiting

    bounded(work)


def test_a_cut_scope_precedes_the_deadline():
    async def work(deadlines: Deadlines) -> None:
        with anyio.move_on_after(5) as scope:
            await wait(deadlines, 100)
        assert scope.cancelled_caught
        assert now() == pytest.approx(5)
        assert await wait(deadlines, 20) == "done at 25"

    bounded(work)


def test_an_error_of_the_call_is_unchanged():
    async def work(deadlines: Deadlines) -> None:
        async def lose(after: float) -> None:
            with deadlines:
                try:
                    await asyncio.sleep(after)
                finally:
                    raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            await lose(1)
        with pytest.raises(ConnectionResetError):
            await lose(100)
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()

    bounded(work)
