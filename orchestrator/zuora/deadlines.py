"""Calls bounded in time, hundreds of them with one timer."""

import asyncio
from types import TracebackType


class Deadlines:
    """Bounds whatever is awaited in its ``with`` block by ``seconds``, then raises TimeoutError there.

    The seconds are the same for all, so the block that was entered first ends first, and one timer for that one is
    enough. (A timer for each, as ``asyncio.timeout`` sets it, costs more than all else that is ours of a call.) A task
    is in one block at a time.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._under_way: dict[asyncio.Task[object], tuple[float, int]] = {}
        self._expired: dict[asyncio.Task[object], int] = {}

    def __enter__(self) -> None:
        task = asyncio.current_task(self._loop)
        assert task is not None
        ends = self._loop.time() + self._seconds
        self._under_way[task] = ends, task.cancelling()
        if self._timer is None:
            self._timer = self._loop.call_at(ends, self._expire)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = asyncio.current_task(self._loop)
        assert task is not None
        if self._under_way.pop(task, None) is not None:
            return
        # A call that was also cancelled from outside is cancelled, and not late.
        if task.uncancel() <= self._expired.pop(task) and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def close(self) -> None:
        """Bounds nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        now = self._loop.time()
        while self._under_way:
            task, (ends, cancelling) = next(iter(self._under_way.items()))
            if ends > now:
                self._timer = self._loop.call_at(ends, self._expire)
                return
            del self._under_way[task]
            self._expired[task] = cancelling
            task.cancel()
        self._timer = None
