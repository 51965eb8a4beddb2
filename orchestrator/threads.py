"""Blocking work in threads: opening, closing and syncing files would stop the event loop of the calling program."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread

from orchestrator.errors import StorageError

R = TypeVar("R")

NO_THREAD = (
    "This machine gives mass-stop no more threads. Raise the limit of processes (ulimit -u, or pids of the container), "
    "or end other programs of this user."
)


async def run_sync(
    work: Callable[[], R], limiter: anyio.CapacityLimiter | None = None, *, abandon_on_cancel: bool = False
) -> R:
    """As anyio's function. Raises StorageError without a thread."""
    try:
        return await anyio.to_thread.run_sync(work, limiter=limiter, abandon_on_cancel=abandon_on_cancel)
    except RuntimeError as error:
        if is_no_thread(error):
            raise StorageError(NO_THREAD) from error
        raise


class OwnThread:
    """One thread for work that needs much memory: each thread of a pool would keep some of it.

    Works run one after the other. The thread starts with the first one and ends with this object.
    """

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(1)
        self._executor = ThreadPoolExecutor(1)

    async def run(self, work: Callable[[], R]) -> R:
        """As :func:`in_thread`, without ``undo``."""
        async with self._limiter:
            try:
                running = asyncio.get_running_loop().run_in_executor(self._executor, work)
            except RuntimeError as error:
                if is_no_thread(error):
                    self._executor = ThreadPoolExecutor(1)  # the other one still has the work in its queue
                    raise StorageError(NO_THREAD) from error
                raise
            if (cancelled := await _outlast(running)) is not None:
                running.exception()  # mark it as retrieved
                raise cancelled
            return running.result()


async def in_thread(work: Callable[[], R], undo: Callable[[R], object] | None = None) -> R:
    """As :func:`run_sync`, but to the end of ``work`` even if the caller is cancelled meanwhile.

    The cancellation is raised afterwards; ``undo`` then gets the result, in a thread as well.
    """
    running = asyncio.get_running_loop().create_task(run_sync(work))
    if (cancelled := await _outlast(running)) is not None:
        if running.exception() is None and undo is not None:
            with anyio.CancelScope(shield=True):
                await in_thread(partial(undo, running.result()))
        raise cancelled
    return running.result()


async def _outlast(running: asyncio.Future[R]) -> asyncio.CancelledError | None:
    """Wait for ``running`` even if the caller is cancelled meanwhile. Return that cancellation."""
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError as error:
                cancelled = error
    return cancelled


def is_no_thread(error: BaseException) -> bool:
    """Whether ``error``, or an error in this group, says that no thread could be started."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_no_thread(part) for part in error.exceptions)
    if isinstance(error, StorageError):
        return str(error) == NO_THREAD
    return isinstance(error, RuntimeError) and "start new thread" in str(error)
