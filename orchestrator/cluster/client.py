"""The connection to a dask cluster. Dask is imported here, and only when a run asks for it."""

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import anyio

from orchestrator.cluster import shard
from orchestrator.cluster.local import LONGEST_CLOSE, loaded_dask, local_cluster
from orchestrator.errors import MassStopError, UsageError
from orchestrator.version import VERSION

if TYPE_CHECKING:
    from distributed import Client, Future

LONGEST_WAIT = 60
"""Seconds to wait for a worker if there is none."""

LONGEST_JOINING = 35
"""Seconds to wait for the scheduler's first answer. Dask's own time-out, of 30, ends only the wait for a connection."""

LONGEST_SENDING = 5
"""Seconds to wait until every worker has received a control message."""

RETRIES = 3
"""How often a shard is tried again that ended in an error. If its worker died, dask itself tries it again."""


class ClusterLost(MassStopError):
    """The scheduler, and with it every task, is lost."""

    exit_status = 5


@asynccontextmanager
async def connect(
    scheduler: str | None, shards: int, environment: Mapping[str, str]
) -> AsyncIterator["Cluster"]:
    """Connect to the scheduler at the address ``scheduler``, or start a cluster for ``shards`` on this machine.

    Certificates for a scheduler come from dask's own configuration (``distributed.comm.tls``), as for every client of
    dask. The workers of a cluster on this machine get ``environment``.

    Raises UsageError if dask is not installed, or if no scheduler can be reached or started.
    """
    async with AsyncExitStack() as stack:
        address, security = scheduler, None
        if address is None:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4
            # A shard's thread only waits. One event loop in each process does the work of all its shards.
            local = local_cluster(max(1, min(cores, shards)), threads=shards, environment=environment)
            address, security = await stack.enter_async_context(local)
        else:
            await stack.enter_async_context(loaded_dask())
        from distributed import Client

        client = Client(address, security=security, asynchronous=True, set_as_default=False)
        stack.push_async_callback(_close, client)
        try:
            with anyio.fail_after(LONGEST_JOINING):
                await client
        except Exception as error:  # noqa: BLE001 - dask names no types
            raise UsageError(
                f"The dask scheduler {scheduler or 'of this machine'} cannot be reached ({_on_one_line(error)}). Is it "
                "a dask scheduler of about this version? Does its address start with its own protocol (tls:// or "
                "tcp://)? tls:// also needs certificates in dask's own configuration (distributed.comm.tls)."
            ) from None
        yield Cluster(client)


async def _close(client: "Client") -> None:
    with anyio.move_on_after(LONGEST_CLOSE, shield=True):
        await client.close()


def _on_one_line(error: Exception) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".removesuffix(": ")


class Cluster:
    """A dask cluster to which this process is connected."""

    def __init__(self, client: "Client") -> None:
        self._client = client
        self.address: str = client.scheduler.address

    def on_progress(self, topic: str, receive: Callable[[dict[str, Any]], None]) -> None:
        """Call ``receive`` with each progress message that a worker sends under ``topic``."""
        self._client.subscribe_topic(topic, lambda event: receive(event[1]))

    async def workers(self) -> list[str]:
        """Return the addresses of all workers. Raises OSError if the scheduler is lost."""
        identity = await self._client.scheduler.identity(n_workers=-1)
        return list(identity["workers"])

    async def checked_workers(self, on_wait: Callable[[], None]) -> list[str]:
        """Return the addresses of all workers, each of which has this version. Call ``on_wait`` if there is none yet.

        Raises UsageError if none comes, if one has no mass-stop or another version, or if the scheduler is lost.
        """
        late = f"The dask scheduler {self.address} has no worker: start one with dask worker."
        try:
            if not await self.workers():
                on_wait()
            await self._client.wait_for_workers(1, timeout=LONGEST_WAIT)
            late = "A dask worker does not report its version. Is it busy with other work?"
            with anyio.fail_after(LONGEST_WAIT):
                found = await self._client.run(
                    resolve_name, "orchestrator.version:VERSION", on_error="return"
                )
        except TimeoutError:
            raise UsageError(late) from None
        except OSError as error:
            raise UsageError(f"The dask scheduler was lost before anything was sent: {error}.") from None
        for worker, version in found.items():
            # Such a worker would die of the first shard, and dask would give the shard to the next.
            if isinstance(version, (ImportError, AttributeError)):
                raise UsageError(
                    f"The dask worker {worker} has no mass-stop: install version {VERSION} on every worker, beside "
                    "dask."
                )
            if isinstance(version, str) and version != VERSION:
                raise UsageError(f"The dask worker {worker} has mass-stop {version}, and this is {VERSION}.")
        return list(found)

    async def send_control(self, session: str, message: bytes) -> None:
        """Send a control message, in JSON, to the shards of ``session``. Raises OSError if the scheduler is lost."""
        with anyio.move_on_after(LONGEST_SENDING):  # a worker that does not answer delays no other
            await self._client.run(shard.receive, session, message, on_error="ignore")

    async def work(self, key: str, data: bytes, worker: str | None, priority: int) -> bytes:
        """Return what :func:`orchestrator.cluster.shard.work` returns for ``data`` on ``worker``.

        If that worker is lost, another one continues. The waiting shard with the largest ``priority`` starts first.
        ``key`` is the name of the task.

        Raises ClusterLost if the scheduler is lost, and whatever dask raises if the task did not complete.
        """
        from distributed.client import FutureCancelledError

        try:
            future = self._client.submit(
                shard.work, data, key=key, retries=RETRIES, pure=False, priority=priority,
                workers=worker and [worker], allow_other_workers=worker is not None,
            )  # fmt: skip
            if worker is not None:
                await self._allow_any_worker(future)
            result: bytes = await future
        except FutureCancelledError as error:
            raise ClusterLost("the connection to the dask scheduler was lost") from error
        return result

    async def _allow_any_worker(self, future: "Future") -> None:
        """Let a task run anywhere once it has its first worker.

        If no worker is left, dask keeps a task for the worker that it was meant for, even if others are allowed. A
        worker that comes later would never get it.
        """
        with suppress(OSError):  # the wait for the task reports that the scheduler is lost
            while not future.done():
                states = await self._client.scheduler.get_task_status(keys=[future.key])
                if states[future.key] not in (None, "released", "waiting"):
                    await self._client.scheduler.set_restrictions(worker={future.key: []})
                    return
                await anyio.sleep(0.05)
