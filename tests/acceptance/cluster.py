"""A real dask scheduler and real worker processes on this machine."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.acceptance.support import until

UNWATCHED = {"DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "false"}
"""dask's profiler, which samples every worker a hundred times per second, is off."""


class Host(NamedTuple):
    """The host of a process: its address, and the words before each command that runs on it."""

    address: str = "127.0.0.1"
    enter: tuple[str, ...] = ()


class Cluster:
    """A scheduler and two workers, each a process. A killed worker can be replaced.

    The scheduler runs on the first of ``hosts``. The workers run on the others in turn.
    """

    def __init__(
        self,
        home: Path,
        *options: str,
        env: Mapping[str, str] | None = None,
        hosts: Sequence[Host] = (Host(), Host()),
    ) -> None:
        """``options`` and ``env`` apply to the scheduler and to the workers."""
        self.home = home
        self._options = options
        self._environment = {**os.environ, **UNWATCHED, **(env or {})}
        self.shared = home / "shared"
        self.shared.mkdir()
        self._file = home / "scheduler.json"
        self._errors = (home / "cluster.err").open("ab")
        self.workers: list[subprocess.Popen[bytes]] = []
        self._places = cycle(hosts[1:])
        self.scheduler = self._start(hosts[0], "dask_scheduler", "--port", "0", "--no-dashboard")
        self._address: str = until(self._read_address, "the scheduler's address")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()
        self._errors.close()

    @property
    def options(self) -> list[str]:
        insecure = ["--insecure-scheduler"] if self._address.startswith("tcp://10.") else []
        return ["--engine", "dask", "--scheduler", self._address, "--shared-dir", str(self.shared), *insecure]

    def _read_address(self) -> str | None:
        """Return the address, or None. The file exists before its content is complete."""
        try:
            address: str = json.loads(self._file.read_text())["address"]
        except (OSError, ValueError):
            return None
        return address

    def complete(self, workers: int = 2) -> None:
        """Start workers up to this number."""
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < workers:
            options = ("--no-nanny", "--nthreads", "4", "--no-dashboard")
            self.workers.append(self._start(next(self._places), "dask_worker", *options))

    def worker_of(self, tenant: str) -> int:
        """Return the id of the process that works on the shard of ``tenant``."""

        def found() -> int | None:
            for log in self.shared.glob(f"mass-stop-*/*/{tenant}/run.log"):
                if numbers := re.findall(r'"worker":"[^"]*process (\d+)', log.read_text()):
                    return int(numbers[-1])
            return None

        number: int = until(found, f"a shard of {tenant}")
        return number

    def kill(self, number: int) -> None:
        """Kill the worker with this process id with SIGKILL."""
        (worker,) = [one for one in self.workers if one.pid == number]
        worker.kill()
        worker.wait()

    def _start(self, host: Host, module: str, *arguments: str) -> "subprocess.Popen[bytes]":
        words = [
            *host.enter,
            sys.executable,
            "-m",
            f"distributed.cli.{module}",
            "--scheduler-file",
            str(self._file),
            *self._options,
            "--host",
            host.address,
            *arguments,
        ]
        return subprocess.Popen(
            words, cwd=self.home, stdout=self._errors, stderr=self._errors, env=self._environment
        )
