"""Common parts of the benchmarks: a tenant in its own process, a measured command, the other programs to compare."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks import contenders

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PYTHON = sys.executable
MASS_STOP = os.environ.get("MASS_STOP") or str(Path(sys.executable).parent / "mass-stop")
UVLOOP = "1"
"""The command uses uvloop if it is installed, so the compared scripts use it as well."""

PATIENT: dict[str, Any] = {"records": (400, 400), "speed": (1.0, 1.0), "mix": {"Processing": 1}}
"""Actions with minutes of work left, so that none completes without a stop."""

AT_ONCE: dict[str, Any] = {
    "latency": 0.0,
    "mix": {"Pending": 1},
    "start_delay": (86_400.0, 86_400.0),
    "stopping_time": (0.0, 0.0),
    "quotas": ((1_000_000_000, 60),),
}
"""A tenant without latency, where a stop takes effect at once. Each key needs one stop, one status and no file."""


@dataclass(frozen=True)
class Ended:
    """A process with exit status 0: start (monotonic clock), wall time and CPU in seconds, peak memory in MB."""

    launched: float
    wall: float
    cpu: float
    peak_mb: float


class Tenant:
    """A simulated tenant in a process of its own, with its keys in a file."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path, hello: dict[str, Any]) -> None:
        self._process = process
        self.folder = folder
        self.keys = folder / "keys.csv"
        self.environment: dict[str, str] = hello["environment"]
        self.token: str = hello["token"]

    def facts(self) -> dict[str, Any]:
        """Return the calls that the tenant received, see :func:`tests.benchmarks.tenant.facts`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("facts\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def stop(self) -> None:
        """Kill the tenant, which is then unreachable."""
        self._process.kill()
        self._process.wait()

    @property
    def urls(self) -> list[str]:
        """The address of each stop, in order."""
        keys = self.keys.read_text().split()[1:]
        return [f"{self.environment['ZUORA_BASE_URL']}/v1/bulk/{key}/stop" for key in keys]


@contextmanager
def tenant(**changes: Any) -> Iterator[Tenant]:
    """Start a new tenant, so that no program finds actions that another one stopped."""
    folder = Path(tempfile.mkdtemp(prefix="mass-stop-bench-"))
    process = subprocess.Popen(
        [PYTHON, "-m", "tests.benchmarks.tenant", json.dumps({**changes, "keys": str(folder / "keys.csv")})],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert process.stdout is not None
        yield Tenant(process, folder, json.loads(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):
                stream and stream.close()
        shutil.rmtree(folder, ignore_errors=True)


def start(command: Sequence[str], at: Tenant, stderr: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
    """Start ``command`` with the environment of ``at``. ``stderr`` is the descriptor of its standard error."""
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command,
        env=environment | at.environment | {"BENCH_TOKEN": at.token},
        cwd=at.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    )


def run(command: Sequence[str], at: Tenant) -> Ended:
    """Run ``command`` against ``at`` to its end. CPU and memory include the child processes that it waited for."""
    with (at.folder / "stderr").open("wb") as errors:
        launched = time.monotonic()
        process = start(command, at, errors.fileno())
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - launched
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = (at.folder / "stderr").read_text("utf-8", "replace")[-2000:]
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{said}")
    return Ended(launched, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


# ------------------------------------------------------------------------------ who is measured


def mass_stop(at: Tenant, *options: str) -> list[str]:
    """Return the product's command, which stops every key without headroom."""
    return [
        MASS_STOP,
        "run",
        str(at.keys),
        "--yes",
        "--headroom",
        "0",
        "--out",
        str(at.folder / "run"),
        *options,
    ]


def curl_parallel(at: Tenant) -> list[str]:
    """Return a single curl command with the stops only, the fastest common tool."""
    lines = ["silent", "fail", 'request = "PUT"', 'header = "Accept-Encoding: gzip"']
    lines += ["parallel", "parallel-immediate", "parallel-max = 40"]
    lines.append(f'header = "Authorization: Bearer {at.token}"')
    for url in at.urls:
        lines += [f'url = "{url}"', "output = /dev/null"]
    config = at.folder / "curl.config"
    config.write_text("\n".join(lines))
    return ["curl", "--config", str(config)]


def xargs_curl(at: Tenant) -> list[str]:
    """Return the one-liner with a curl process for every key, forty at a time."""
    addresses = at.folder / "urls.txt"
    addresses.write_text("\n".join(at.urls))
    one = f"curl -sf -o /dev/null -X PUT -H 'Accept-Encoding: gzip' -H 'Authorization: Bearer {at.token}'"
    return ["sh", "-c", f"xargs -P 40 -n 1 {one} < {addresses}"]


def script(which: str, at: Tenant) -> list[str]:
    """Return the command of a script in :mod:`tests.benchmarks.contenders`."""
    assert hasattr(contenders, which)
    return [PYTHON, str(HERE / "contenders.py"), which, str(at.keys), UVLOOP]
