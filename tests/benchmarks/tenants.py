"""Many tenants: the effect of a dead and a slow tenant, the cost of a tenant, the gain of a second core."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from tests.benchmarks import common
from tests.benchmarks.table import Table

HEALTHY, KEYS = 6, 200
TENANTS, FEW = 50, 100
SPREAD, EACH = 8, 2_500


def measure(table: Table, rounds: int | None = None, long: bool = False) -> None:
    """Measure one line for each documented promise."""
    _neighbours(table, rounds or 3)
    _cost(table, rounds or 3)
    _spread(table, rounds or 2)
    _killed(table, rounds or 1)


# ------------------------------------------------------------------------------ a run of several tenants


@contextmanager
def served(count: int, keys: int, **changes: Any) -> Iterator[list[common.Tenant]]:
    """Start new tenants, each in a process of its own."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(common.tenant(actions=keys, seed=seed, keep_log=False, **changes))
            for seed in range(1, count + 1)
        ]


class At(Protocol):
    """The part of a tenant that the command needs."""

    folder: Path
    keys: Path
    environment: dict[str, str]


class Job:
    """A file of tenants, a table of their keys, and the command that stops them."""

    def __init__(self, tenants: Mapping[str, At], limits: Mapping[str, str] | None = None) -> None:
        first = next(iter(tenants.values()))
        self.folder = first.folder
        self.environment: dict[str, str] = {}
        tables, rows = [], ["bulk_key,tenant"]
        for name, at in tenants.items():
            self.environment[f"{name.upper()}_SECRET"] = at.environment["ZUORA_CLIENT_SECRET"]
            tables.append(
                f'[tenants.{name}]\nbase_url = "{at.environment["ZUORA_BASE_URL"]}"\n'
                f'client_id = "{at.environment["ZUORA_CLIENT_ID"]}"\nclient_secret_env = "{name.upper()}_SECRET"\n'
                f"{(limits or {}).get(name, '')}\n"
            )
        keys = [at.keys.read_text().splitlines()[1:] for at in tenants.values()]
        for turn in zip(*keys, strict=True):
            rows += [f"{line.split(',')[0]},{name}" for name, line in zip(tenants, turn, strict=True)]
        (self.folder / "tenants.toml").write_text("\n".join(tables))
        (self.folder / "all.csv").write_text("\n".join(rows) + "\n")

    def command(self, *options: str) -> list[str]:
        return [
            common.MASS_STOP, "run", str(self.folder / "all.csv"), "--tenants", str(self.folder / "tenants.toml"),
            "--yes", "--headroom", "0", "--quiet", "--out", str(self.folder / "run"), *options,
        ]  # fmt: skip

    def run(self, *options: str, good: tuple[int, ...] = (0,)) -> tuple[float, float]:
        """Run to the end. Return wall time, and CPU with all child processes, in seconds."""
        with self.start(*options) as process:
            launched = time.monotonic()
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.monotonic() - launched
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in good:
            raise SystemExit(
                f"ended with {process.returncode}: {(self.folder / 'stderr').read_text()[-2000:]}"
            )
        return wall, usage.ru_utime + usage.ru_stime

    def start(self, *options: str) -> "subprocess.Popen[bytes]":
        with (self.folder / "stderr").open("wb") as errors:
            return subprocess.Popen(
                self.command(*options),
                env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **self.environment},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stderr=errors,
            )

    @property
    def report(self) -> dict[str, Any]:
        import json

        found: dict[str, Any] = json.loads((self.folder / "run" / "report.json").read_text())
        return found


# ------------------------------------------------------------------------------ the measures


def _neighbours(table: Table, rounds: int) -> None:
    table.head(
        f"tenants: {HEALTHY} healthy ones x {KEYS} keys, 10 slots, 100 ms a call, beside a dead and a slow one"
    )
    alone, beside = [], []
    for _ in range(rounds):
        alone.append(_last_stop(beside=False))
        beside.append(_last_stop(beside=True))
    table.row("last stop of the six, by themselves", alone, "s")
    table.row("last stop of the six, beside the two", beside, "s")
    table.ratio("beside : by themselves", beside, alone, "<= 1.05")


def _last_stop(*, beside: bool) -> float:
    """Return the seconds from the first stop of the healthy six to their last."""
    with served(HEALTHY + 2 * beside, KEYS, **common.PATIENT | {"latency": 0.1}) as tenants:
        named = {f"t{number}": at for number, at in enumerate(tenants)}
        limits = dict.fromkeys(
            named, "concurrency = 10"
        )  # the capacity of two cores, including the simulated tenants
        if beside:
            dead, slow = list(named)[-2:]
            limits[slow] = "concurrency = 1"
            named[dead].stop()
        job = Job(named, limits)
        job.run("--no-results", "--wait-for-tenant", "3s", "--deadline", "60s", good=(0, 4))
        timing = [
            one["timing"]
            for name, one in job.report["summary"]["by_tenant"].items()
            if int(name[1:]) < HEALTHY
        ]
        return max(one["last_stop_seconds"] for one in timing) - min(
            one["first_stop_seconds"] for one in timing
        )


def _cost(table: Table, rounds: int) -> None:
    table.head(f"tenants: {TENANTS} x {FEW} keys in one process against 1 x {TENANTS * FEW}, no latency")
    many, one = [], []
    for _ in range(rounds):
        # All tenants are entities of one server. Several servers would take the cores from the measured process.
        many.append(_cpu(TENANTS))
        one.append(_cpu(1))
    table.row(f"CPU a key, {TENANTS} tenants", many, "us", 0)
    table.row("CPU a key, 1 tenant", one, "us", 0)
    table.ratio(f"{TENANTS} tenants : 1", many, one, "<= 1.20")


def _cpu(tenants: int) -> float:
    keys = TENANTS * FEW
    with common.tenant(actions=keys, keep_log=False, concurrency=4_000, **common.AT_ONCE) as at:
        names = [f"t{number}" for number in range(tenants)]
        job = Job({"t0": at})
        tables = [
            f'[tenants.{name}]\nbase_url = "{at.environment["ZUORA_BASE_URL"]}"\nentity_id = "{name}"\n'
            f'client_id = "{at.environment["ZUORA_CLIENT_ID"]}"\nclient_secret_env = "T0_SECRET"\nconcurrency = 40\n'
            for name in names
        ]
        (job.folder / "tenants.toml").write_text("\n".join(tables))
        lines = at.keys.read_text().splitlines()[1:]
        rows = [f"{line.split(',')[0]},{names[number % tenants]}" for number, line in enumerate(lines)]
        (job.folder / "all.csv").write_text("bulk_key,tenant\n" + "\n".join(rows) + "\n")
        return job.run()[1] / keys * 1e6


def _spread(table: Table, rounds: int) -> None:
    table.head(
        f"tenants: {SPREAD} x {EACH} keys, canned answers, one process against two dask workers on two cores"
    )
    at_work: dict[str, list[float]] = {"local": [], "dask": []}
    whole: dict[str, list[float]] = {"local": [], "dask": []}
    for _ in range(rounds):
        for engine in at_work:
            seconds, wall = _seconds("--engine", engine)
            at_work[engine].append(SPREAD * EACH / seconds)
            whole[engine].append(SPREAD * EACH / wall)
    table.row("keys a second at work, one process", at_work["local"], "/s", 0)
    table.row("keys a second at work, two dask workers", at_work["dask"], "/s", 0)
    table.ratio("two workers : one process, at work", at_work["dask"], at_work["local"], ">= 1.60")
    table.ratio("two workers : one process, with start and report", whole["dask"], whole["local"])


def _seconds(*options: str) -> tuple[float, float]:
    """Return the seconds from the first stop to the last completed key, and of the whole command."""
    # In memory: on a shared disk, the journals would wait for the disk and not for the core.
    with (
        tempfile.TemporaryDirectory(prefix="mass-stop-bench-", dir=_MEMORY) as folder,
        _canned(SPREAD) as ports,
    ):
        tenants = {f"t{number}": _Canned(Path(folder), number, port) for number, port in enumerate(ports)}
        job = Job(tenants)
        wall, _ = job.run(*options)
        timing = job.report["summary"]["timing"]
        return timing["settled_seconds"] - timing["first_stop_seconds"], wall


_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


class _Canned:
    """A tenant of :mod:`tests.benchmarks.raw`."""

    def __init__(self, folder: Path, number: int, port: int) -> None:
        self.folder = folder
        self.keys = folder / f"{number}.csv"
        self.keys.write_text("bulk_key\n" + "".join(f"{number:016x}{key:016x}\n" for key in range(EACH)))
        self.environment = {
            "ZUORA_BASE_URL": f"http://127.0.0.1:{port}",
            "ZUORA_CLIENT_ID": "client",
            "ZUORA_CLIENT_SECRET": "secret",
        }


@contextmanager
def _canned(count: int) -> Iterator[list[int]]:
    process = subprocess.Popen(
        [common.PYTHON, str(common.HERE / "raw.py"), str(count)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield [int(port) for port in process.stdout.readline().split()]
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _killed(table: Table, rounds: int) -> None:
    table.head(
        "tenants: 4 x 100 keys, 4 slots, 100 ms a call, on two dask workers, one of them killed half way"
    )
    undisturbed, killed = [], []
    for _ in range(rounds):
        undisturbed.append(_with_worker_killed(kill=False))
        killed.append(_with_worker_killed(kill=True))
    table.row("the run, undisturbed", undisturbed, "s")
    table.row("the run, a worker killed", killed, "s")
    table.ratio("killed : undisturbed", killed, undisturbed, "<= 1.50")


def _with_worker_killed(*, kill: bool) -> float:
    with served(4, 100, **common.PATIENT | {"latency": 0.1}) as tenants:
        named = {f"t{number}": at for number, at in enumerate(tenants)}
        job = Job(named, dict.fromkeys(named, "concurrency = 4"))
        launched = time.monotonic()
        process = job.start("--engine", "dask")
        if kill:
            while tenants[0].facts()["calls"].get("stop", 0) < 50:
                time.sleep(0.02)
            os.kill(_worker(job.folder), signal.SIGKILL)
        status = process.wait()
        wall = time.monotonic() - launched
        if status:
            raise SystemExit(f"ended with {status}: {(job.folder / 'stderr').read_text()[-2000:]}")
        actions = job.report["actions"]
        rows = {(action["tenant"], action["bulk_key"]) for action in actions}
        if len(rows) != len(actions) or {action["outcome"] for action in actions} != {"stopped"}:
            raise SystemExit("a row is missing, doubled or untrue")
        return wall


def _worker(folder: Path) -> int:
    """Return the id of the process that works on the first tenant's shard."""
    import re

    (log,) = folder.glob("run/shards/*/*/t0/run.log")
    return int(re.findall(r"process (\d+)", log.read_text())[-1])
