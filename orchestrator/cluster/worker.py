"""A worker process of a local cluster, started by the caller.

The caller sends its setup, which contains the private key, as one line on standard input. The process prints one line
once it has joined the cluster, and ends when standard input is closed.
"""

import asyncio
import logging
import os
import resource
import signal
import sys
import threading

import msgspec
from msgspec import Struct

from orchestrator import collector


class Setup(Struct, frozen=True):
    """All that a worker needs to join the cluster. ``certificate`` and ``key`` are PEM texts."""

    scheduler: str
    certificate: str
    key: str
    threads: int
    folder: str


def main() -> None:
    """Run the worker until the cluster closes."""
    # Ctrl-C and a lost terminal reach every process of the terminal. Only the caller reacts: it lets the shards drain.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would contain tokens
    import distributed  # noqa: F401 - while the caller prepares the setup

    setup = msgspec.json.decode(sys.stdin.buffer.readline(), type=Setup)
    threading.Thread(target=_exit_with_the_caller, daemon=True).start()
    asyncio.run(_work(setup))
    os._exit(0)  # the threads of shards that did not end in time do not delay the exit


def _exit_with_the_caller() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


async def _work(setup: Setup) -> None:
    import dask.config
    from distributed import Security, Worker

    class WithoutHttp(Worker):  # type: ignore[misc] # distributed has no types
        def start_http_server(self, *_: object, **__: object) -> None:
            pass

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    dask.config.set(
        {"distributed.worker.profile.enabled": False}
    )  # it samples all threads 100 times a second
    security = Security(
        require_encryption=True,
        tls_ca_file=setup.certificate,
        tls_worker_cert=setup.certificate,
        tls_worker_key=setup.key,
    )
    worker = await WithoutHttp(
        setup.scheduler, host="127.0.0.1", protocol="tls://", security=security, nthreads=setup.threads,
        local_directory=setup.folder, memory_limit=0, dashboard=False,
    )  # fmt: skip
    collector.collect_rarely()
    print(worker.address, flush=True)  # noqa: T201 - the caller waits for this line
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    await worker.finished()
