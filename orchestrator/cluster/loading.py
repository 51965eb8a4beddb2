"""Loading dask, which takes about a second, without blocking the event loop."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

import anyio.to_thread

from orchestrator.errors import UsageError

LEAST_TIMEOUT = 11
"""Seconds: dask makes no connection if its own setting ``distributed.comm.timeouts.tcp`` is less."""


@asynccontextmanager
async def loaded_dask() -> AsyncIterator[None]:
    """Load dask, and turn off its own log messages until the block ends: the run reports what matters.

    Raises UsageError if dask is not installed, or if its settings prevent every connection.
    """
    try:
        await anyio.to_thread.run_sync(import_module, "distributed")
    except ImportError:
        raise UsageError("--engine dask needs dask: pip install 'mass-stop[dask]'.") from None
    _check_timeout()
    loggers = [
        logger
        for name, logger in logging.root.manager.loggerDict.items()
        if f"{name}.".startswith("distributed.") and isinstance(logger, logging.Logger)
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _check_timeout() -> None:
    """Raise UsageError for a setting with which dask would try to connect for ever, without a message."""
    import dask.config
    from dask.utils import parse_timedelta

    name = "distributed.comm.timeouts.tcp"
    value = dask.config.get(name)
    try:
        good = parse_timedelta(value, default="seconds") >= LEAST_TIMEOUT
    except (KeyError, TypeError, ValueError):
        good = False
    if not good:
        raise UsageError(
            f"dask's own setting {name} is {value!r}, and dask makes no connection with less than {LEAST_TIMEOUT}s. "
            "Set it to 30s, the default, here and for scheduler and workers: in "
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP, or in the file below ~/.config/dask that contains it."
        )
