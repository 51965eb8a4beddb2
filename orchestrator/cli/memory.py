"""A process whose memory ends where no code can react to it: it ends at once instead of waiting for ever.

An error in a callback of the event loop, of a destructor or of a thread is only printed. If it is a MemoryError, the
task that the callback would wake waits for ever. Everything that is known is in the journal, as after kill -9.
"""

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from orchestrator.errors import NO_MEMORY

_SENTENCE = f"\nmass-stop: {NO_MEMORY}\n".encode()


def end_without_memory() -> None:
    """From now on, a MemoryError that would only be printed ends the process with status 5."""
    sys.unraisablehook = _ending(sys.__unraisablehook__)
    threading.excepthook = _ending(threading.__excepthook__)


def watch_loop(record: Callable[[str, BaseException | None], None]) -> None:
    """The same for errors in callbacks of the running event loop.

    Others go to ``record``, with what happened. An example is a connection that failed while its call was cancelled.
    """
    import asyncio

    def handle(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, MemoryError):
            _end()
        record(context["message"], error)

    asyncio.get_running_loop().set_exception_handler(handle)


def _ending(hook: Callable[[Any], object]) -> Callable[[Any], None]:
    def call(found: Any) -> None:
        if found.exc_type in (MemoryError, SystemError):  # the interpreter had no memory for a MemoryError
            _end()
        hook(found)

    return call


def _end() -> None:
    try:
        os.write(2, _SENTENCE)
    finally:
        os._exit(5)
