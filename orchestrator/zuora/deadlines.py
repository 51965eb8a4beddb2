"""Timeouts for hundreds of concurrent calls with one timer."""

import asyncio
from types import TracebackType


class Deadlines:
    """Raises TimeoutError in a ``with`` block that takes longer than ``seconds``.

    The timeout is the same for all blocks, so the block entered first expires first. One timer for that block is
    enough. One timer per call, as in ``asyncio.timeout``, costs more than all other code of this product in a call. A
    task can be in one block at a time.
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
        # If the task was also cancelled from outside, the cancellation has precedence over the timeout.
        if task.uncancel() <= self._expired.pop(task) and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def close(self) -> None:
        """Cancel the timer. Blocks no longer expire."""
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
