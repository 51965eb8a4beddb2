"""The way to dask: the one place that imports it on the caller's side, and only once it is asked for."""

import heapq
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import anyio

from orchestrator.cluster.local import LONGEST_CLOSE, local_cluster
from orchestrator.errors import MassStopError, UsageError
from orchestrator.version import VERSION

if TYPE_CHECKING:
    from distributed import Client, Future, Security

LONGEST_WAIT = 60
"""Seconds to wait for a worker, where there is none: the first, or one in the place of those that were lost."""

LONGEST_JOINING = 35
"""Seconds to wait for a scheduler to answer as one; dask's own time-out, of 30, ends only the wait for a connection."""

LONGEST_TELLING = 5
"""Seconds to wait until every worker has said that it heard."""

LEAST_TIMEOUT = 11
"""Seconds: dask makes no connection where its own setting ``distributed.comm.timeouts.tcp`` is less."""

RETRIES = 3
"""Times that a shard is tried again which ended in an error; one whose worker died is tried again by dask itself."""


@asynccontextmanager
async def connected(
    scheduler: str | None, shards: int, environment: Mapping[str, str]
) -> AsyncIterator["Client"]:
    """Connect to the scheduler at the address ``scheduler``, or start a cluster for ``shards`` on this machine.

    Certificates for a scheduler come from dask's own configuration (``distributed.comm.tls``), as for every client of
    dask. The workers of a cluster on this machine get ``environment``.

    Raises UsageError if dask is not installed, or if no scheduler can be reached or started.
    """
    try:
        from distributed import Client
    except ImportError:
        raise UsageError("--engine dask needs dask: pip install 'mass-stop[dask]'.") from None
    _check_timeout()
    async with AsyncExitStack() as stack:
        stack.enter_context(_quiet())
        address, security = scheduler, None
        if address is None:
            address, security = await stack.enter_async_context(_local_cluster(shards, environment))
        client = Client(address, security=security, asynchronous=True, set_as_default=False)
        stack.push_async_callback(_close, client)
        try:
            with anyio.fail_after(LONGEST_JOINING):
                await client
        except Exception as error:  # noqa: BLE001 - whatever dask raises, there is no connection
            raise UsageError(
                f"The dask scheduler {scheduler or 'of this machine'} cannot be reached ({_told(error)}). Is it a dask "
                "scheduler of about this version? Does its address start with its own protocol (tls:// or tcp://)? "
                "tls:// also needs certificates in dask's own configuration (distributed.comm.tls)."
            ) from None
        yield client


def _local_cluster(
    shards: int, environment: Mapping[str, str]
) -> AbstractAsyncContextManager[tuple[str, "Security"]]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4
    # A shard's thread only waits. One event loop in each process does the work of all its shards.
    return local_cluster(max(1, min(cores, shards)), threads=shards, environment=environment)


async def _close(client: "Client") -> None:
    with anyio.move_on_after(LONGEST_CLOSE, shield=True):
        await client.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Turn off dask's own log messages while the block runs: the run reports what matters in its own words."""
    every = logging.root.manager.loggerDict.items()
    loggers = [
        one
        for name, one in every
        if f"{name}.".startswith("distributed.") and isinstance(one, logging.Logger)
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
    """Raises UsageError for a setting with which dask would try to connect for ever, and say so to nobody."""
    import dask.config
    from dask.utils import parse_timedelta

    name = "distributed.comm.timeouts.tcp"
    told = dask.config.get(name)
    try:
        good = parse_timedelta(told, default="seconds") >= LEAST_TIMEOUT
    except (KeyError, TypeError, ValueError):
        good = False
    if not good:
        raise UsageError(
            f"dask's own setting {name} is {told!r}, and dask makes no connection with less than {LEAST_TIMEOUT}s. Set "
            "it to 30s, as it is by default, here and for scheduler and workers: in "
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP, or in the file below ~/.config/dask that holds it."
        )


def _told(error: Exception) -> str:
    """What dask says, on one line."""
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".removesuffix(": ")


def subscribe(client: "Client", topic: str, on_counts: Callable[[dict[str, Any]], None]) -> None:
    """Shows ``on_counts`` what the workers tell under ``topic``."""
    client.subscribe_topic(topic, lambda event: on_counts(event[1]))


class ClusterGone(MassStopError):
    """The scheduler, and with it every task, is lost."""

    exit_status = 5


async def workers_of(client: "Client") -> list[str]:
    """The addresses of all workers that are there now. Raises OSError where the scheduler is lost."""
    known = await client.scheduler.identity(n_workers=-1)
    return list(known["workers"])


async def fit_workers(client: "Client", on_wait: Callable[[], None]) -> list[str]:
    """The addresses of all workers, each of which has this version. Where there is none, ``on_wait`` is told first.

    Raises UsageError where none comes, where one has no mass-stop or another version (a task of ours would be the end
    of it), or where the scheduler is lost by now.
    """
    try:
        if not await workers_of(client):
            on_wait()
        await client.wait_for_workers(1, timeout=LONGEST_WAIT)
    except TimeoutError:
        raise UsageError(
            f"The dask scheduler {client.scheduler.address} has no worker: start one with dask worker."
        ) from None
    except OSError as error:
        raise _lost_early(error) from None
    try:
        with anyio.fail_after(LONGEST_WAIT):
            found = await client.run(resolve_name, "orchestrator.version:VERSION", on_error="return")
    except TimeoutError:
        raise UsageError(
            "A dask worker does not say which mass-stop it has: is it at work on something else?"
        ) from None
    except OSError as error:
        raise _lost_early(error) from None
    for worker, version in found.items():
        if isinstance(version, (ImportError, AttributeError)):
            raise UsageError(
                f"The dask worker {worker} has no mass-stop: install version {VERSION} on every worker, beside dask."
            )
        if isinstance(version, str) and version != VERSION:
            raise UsageError(f"The dask worker {worker} has mass-stop {version}, and this is {VERSION}.")
    return list(found)


def _lost_early(error: OSError) -> UsageError:
    return UsageError(f"The dask scheduler was lost before anything was sent: {error}.")


async def tell(client: "Client", home: str, orders: bytes) -> None:
    """Has the workers follow ``orders`` for the shards below ``home``. Raises OSError where the scheduler is lost."""
    from orchestrator.cluster.shard import hear

    with anyio.move_on_after(LONGEST_TELLING):  # one that does not answer keeps nobody from hearing it again
        await client.run(hear, home, orders, on_error="ignore")


def spread(shards: Mapping[str, int], workers: Iterable[str]) -> dict[str, str]:
    """A worker for each of ``shards``, which are told with their keys; none where there is no worker.

    The largest shard first, each to the worker that has the fewest keys so far (LPT, Graham 1969): at most a third
    above the best there is. Dask itself counts tasks, and would put eight that start at once on one worker of many
    threads, whose single core then does the work of all.
    """
    loads = [(0, number, worker) for number, worker in enumerate(workers)]
    if not loads:
        return {}
    chosen = {}
    for name in sorted(shards, key=lambda name: -shards[name]):
        keys, number, worker = loads[0]
        chosen[name] = worker
        heapq.heapreplace(loads, (keys + shards[name], number, worker))
    return chosen


async def submit(client: "Client", key: str, data: bytes, worker: str | None, weight: int) -> bytes:
    """What :func:`orchestrator.cluster.shard.work` makes of ``data`` on ``worker``, or on another should that be lost.

    Of those that wait for a thread there, the one of the largest ``weight`` goes first.

    Raises ClusterGone where the scheduler is lost, and whatever dask raises where the task came to no end.
    """
    from distributed.client import FutureCancelledError

    from orchestrator.cluster.shard import work

    try:
        future = client.submit(
            work, data, key=key, retries=RETRIES, pure=False, priority=weight,
            workers=worker and [worker], allow_other_workers=worker is not None,
        )  # fmt: skip
        if worker is not None:
            await _let_go(client, future)
        result: bytes = await future
    except FutureCancelledError as error:
        raise ClusterGone("the connection to the dask scheduler was lost") from error
    return result


async def _let_go(client: "Client", future: "Future") -> None:
    """Lets a task go anywhere, once it has its first worker.

    Where no worker is left, dask keeps a task for the one that it was meant for, even if others are allowed: those
    that come later would never get it.
    """
    with suppress(OSError):  # that the scheduler is lost is told to whoever waits for the task
        while not future.done():
            states = await client.scheduler.get_task_status(keys=[future.key])
            if states[future.key] not in (None, "released", "waiting"):
                await client.scheduler.set_restrictions(worker={future.key: []})
                return
            await anyio.sleep(0.05)
