"""A dask cluster on this machine that no other user can reach: a scheduler in this process, and worker processes.

All connections use mutual TLS with a certificate that only these processes know. There is no HTTP server. The workers
get no secret through their environment.
"""

import asyncio
import logging
import os
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import msgspec

from orchestrator.cluster.worker import Setup
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from distributed import Scheduler, Security

LONGEST_START = 60
"""Seconds that a worker process may take to start."""

LONGEST_CLOSE = 15
"""Seconds that scheduler and workers may take to close. After that the workers are killed."""

PAUSE = 1.0
"""Seconds between the end of a worker process and the start of its replacement."""

LEAST_TIMEOUT = 11
"""Seconds: dask makes no connection if its own setting ``distributed.comm.timeouts.tcp`` is less."""


@asynccontextmanager
async def loaded_dask() -> AsyncIterator[None]:
    """Load dask in a thread (about a second), and turn off its own log messages until the block ends.

    The run reports what matters.

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


@asynccontextmanager
async def local_cluster(
    workers: int, threads: int, environment: Mapping[str, str]
) -> AsyncIterator[tuple[str, "Security"]]:
    """Start a scheduler and ``workers`` processes of ``threads`` each. Yield the address and a client's credentials.

    A worker that dies is replaced. ``environment`` is the environment of the workers.

    Raises UsageError if the cluster cannot be started.
    """
    async with AsyncExitStack() as stack:
        # Dask puts its folders on the import path. Its default is one in /tmp that all users share; this one is 0700.
        folder = tempfile.TemporaryDirectory(prefix="mass-stop-", ignore_cleanup_errors=True)
        processes = _WorkerProcesses(Path(stack.enter_context(folder)), environment)
        stack.push_async_callback(processes.kill)
        for _ in range(workers):
            await processes.spawn()  # they load dask meanwhile
        await stack.enter_async_context(loaded_dask())
        security = await anyio.to_thread.run_sync(_temporary_security)
        scheduler = await _start_scheduler(security, folder.name)
        stack.push_async_callback(_close, scheduler, processes)
        await processes.join(
            Setup(
                scheduler=scheduler.address,
                certificate=security.tls_worker_cert,
                key=security.tls_worker_key,
                threads=threads,
                folder=folder.name,
            )
        )
        yield scheduler.address, security


async def _close(scheduler: "Scheduler", processes: "_WorkerProcesses") -> None:
    processes.stop_starting()
    with anyio.move_on_after(LONGEST_CLOSE, shield=True):
        await scheduler.close()  # also closes the workers
        await processes.wait()


def _temporary_security() -> "Security":
    from distributed import Security

    try:
        return Security.temporary()
    except ImportError:
        raise UsageError(
            "--engine dask needs the package cryptography, for the certificate of its own connections: "
            "pip install 'mass-stop[dask]'."
        ) from None


async def _start_scheduler(security: "Security", folder: str) -> "Scheduler":
    from distributed import Scheduler

    class WithoutHttp(Scheduler):  # type: ignore[misc] # distributed has no types
        def start_http_server(self, *_: object, **__: object) -> None:
            pass

    try:
        return await WithoutHttp(
            host="127.0.0.1",
            port=0,
            protocol="tls://",
            security=security,
            local_directory=folder,
            dashboard=False,
        )
    except Exception as error:  # noqa: BLE001 - dask names no types
        raise _not_started(f"{type(error).__name__}: {error}") from None


def _not_started(reason: str) -> UsageError:
    return UsageError(
        f"A dask cluster could not be started on this machine ({reason}). Use --engine local instead."
    )


class _WorkerProcesses:
    """The worker processes of the cluster. Their files are in ``folder``."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        # The current folder is no place to import from: other users may write there.
        path = os.pathsep.join(path for path in sys.path if Path(path).is_absolute())
        self._environment = {**environment, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
        self._errors = folder / "worker.err"
        self._setup = b""
        self._processes: set[Process] = set()
        self._joined: set[Process] = set()
        self._replacing: list[asyncio.Task[None]] = []

    async def join(self, setup: Setup) -> None:
        """Let all processes join the cluster, and from then on replace each that ends.

        Raises UsageError if one does not join.
        """
        self._setup = msgspec.json.encode(setup) + b"\n"
        processes = list(self._processes)
        results = await asyncio.gather(*map(self._join, processes), return_exceptions=True)
        for process, result in zip(processes, results, strict=True):
            if result is not None:
                raise result
            self._replacing.append(asyncio.create_task(self._replace(process)))

    async def _replace(self, process: Process) -> None:
        while True:
            await process.wait()
            await asyncio.sleep(PAUSE)
            with suppress(UsageError, OSError):
                process = await self.spawn()
                await self._join(process)

    async def spawn(self) -> Process:
        """Start a process, which waits for its setup. Raises UsageError."""
        with self._errors.open("ab") as errors:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-P", "-c", "from orchestrator.cluster.worker import main; main()",
                    stdin=PIPE, stdout=PIPE, stderr=errors, env=self._environment,
                )  # fmt: skip
            except OSError as error:
                raise _not_started(f"{sys.executable}: {error.strerror}") from None
        self._processes.add(process)
        return process

    async def _join(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        # The worker reads its key from here. It ends when the other end is closed, also if this process is killed.
        process.stdin.write(self._setup)
        ready = b""
        with anyio.move_on_after(LONGEST_START):
            ready = await process.stdout.readline()
        if not ready:
            raise _not_started(self._last_error())
        self._joined.add(process)

    def _last_error(self) -> str:
        lines = self._errors.read_text(errors="replace").split("\n")
        return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "no answer in time")

    def stop_starting(self) -> None:
        """Start no further worker, and kill those that have not joined the cluster: it cannot close them."""
        for task in self._replacing:
            task.cancel()
        for process in self._processes - self._joined:
            with suppress(ProcessLookupError):
                process.kill()

    async def wait(self) -> None:
        """Wait until all processes have ended."""
        for process in self._processes:
            await process.wait()

    async def kill(self) -> None:
        """Kill the processes that still run, and close their pipes."""
        with anyio.CancelScope(shield=True):
            for process in self._processes:
                with suppress(ProcessLookupError):
                    process.kill()
                assert process.stdin is not None
                process.stdin.close()
            await self.wait()
