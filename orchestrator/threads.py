"""Blocking work in threads: opening, closing and syncing files would stop the event loop of the calling program."""

import asyncio
from collections.abc import Callable
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


async def in_thread(work: Callable[[], R], undo: Callable[[R], object] | None = None) -> R:
    """Run ``work`` in a thread to its end, even if the caller is cancelled meanwhile, and return its result.

    A cancellation is raised afterwards; ``undo`` then gets the result, in a thread as well. Raises StorageError without
    a thread, and what ``work`` raises.
    """
    running = asyncio.get_running_loop().create_task(_run(work))
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            if undo is not None and running.exception() is None:
                await in_thread(partial(undo, running.result()))
            raise cancelled
    return running.result()


def is_no_thread(error: BaseException) -> bool:
    """Whether ``error``, or an error in this group, says that no thread could be started."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_no_thread(part) for part in error.exceptions)
    return isinstance(error, RuntimeError) and "start new thread" in str(error)


async def _run(work: Callable[[], R]) -> R:
    try:
        return await anyio.to_thread.run_sync(work)
    except RuntimeError as error:
        if is_no_thread(error):
            raise StorageError(NO_THREAD) from error
        raise
