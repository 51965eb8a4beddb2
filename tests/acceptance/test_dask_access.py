"""Other users of the machine can reach no port, no file and no secret of a run with dask."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.cluster import Cluster
from tests.acceptance.support import LONGEST, PROCESSING, Going, MassStop, Tenant, family, until
from tests.acceptance.tenants import Tenants, all_stopped, is_true

MakeTenant = Callable[..., Tenant]

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="ports and environments of processes come from /proc"),
]

ATTACK = """
import asyncio, json, os, socket, sys
from distributed import Client, Security

if os.getuid() == 0:  # only now: another user may not be able to read this Python
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)

LONGEST = float(sys.argv[1])

async def runs_code(port, protocol, security):
    try:
        async with Client(
            f"{protocol}://127.0.0.1:{port}", security=security, asynchronous=True, timeout=LONGEST
        ) as client:
            return await asyncio.wait_for(client.run_on_scheduler(os.getuid), LONGEST)
    except Exception:
        return None

def speaks_http(port):
    with socket.create_connection(("127.0.0.1", port), LONGEST) as connection:
        connection.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        try:
            return connection.recv(4) == b"HTTP"
        except OSError:
            return False

async def main():
    found = {"user": os.getuid(), "reached": []}
    for port in map(int, sys.argv[2:]):
        ways = {"tcp": Security(require_encryption=False), "tls": Security.temporary()}
        for protocol, security in ways.items():
            if await runs_code(port, protocol, security) is not None:
                found["reached"].append([port, protocol])
        if speaks_http(port):
            found["reached"].append([port, "http"])
    print(json.dumps(found))

asyncio.run(main())
"""
"""Tries every way into each port that a program without the certificate has."""


def attacked(ports: list[int], longest: float) -> dict[str, Any]:
    """The data that another user reads at ``ports``, each attempt within ``longest`` seconds.

    It is this user if only root can become another one.
    """
    done = subprocess.run(
        [sys.executable, "-c", ATTACK, str(longest), *map(str, ports)],
        cwd="/", capture_output=True, text=True, timeout=LONGEST, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def listening(pids: list[int]) -> list[int]:
    """The TCP ports at which processes listen."""
    every = (one for pid in pids for one in psutil.Process(pid).net_connections("inet"))
    return sorted({one.laddr.port for one in every if one.status == psutil.CONN_LISTEN})


class Running:
    """A run with a cluster of its own, whose shards are at work."""

    def __init__(self, tenants: Tenants, going: Going, temporary: Path) -> None:
        self.tenants = tenants
        self.going = going
        self.temporary = temporary
        self.pids = [int(process.name) for process in family(going.process.pid)]
        self.children = [pid for pid in self.pids if pid != going.process.pid]


@contextmanager
def running_in(home: Path) -> Iterator[Running]:
    """A long run of two tenants whose secrets are in the environment."""
    slowly = PROCESSING | {"latency": 0.1, "stopping_time": (0.0, 0.0), "actions": 400}
    here = MassStop(Path(sys.executable).parent / "mass-stop", home)
    temporary = home / "tmp"
    temporary.mkdir()
    with Tenant(**slowly) as north, Tenant(**slowly) as south:
        named = {"north": north, "south": south}
        tenants = Tenants(home, named, dict.fromkeys(named, "concurrency = 2"))
        going = here.start(
            "run", tenants.keys(), "--tenants", tenants.file, "--yes", "--out", "run", "--engine", "dask",
            env={**tenants.environment, "TMPDIR": str(temporary)},
        )  # fmt: skip
        try:
            until(lambda: all(one.answered("stop") >= 2 for one in named.values()), "some stops")
            yield Running(tenants, going, temporary)
        finally:
            here.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_in(tmp_path_factory.mktemp("running")) as running:
        yield running


@pytest.fixture
def quick(here: MassStop, make_tenant: MakeTenant) -> Tenants:
    """One tenant with little to stop, whose secret is in the environment."""
    tenant = make_tenant(**PROCESSING | {"stopping_time": (0.0, 0.0)}, actions=4)
    return Tenants(here.home, {"north": tenant})


def test_another_user_runs_no_code_on_a_cluster_of_this_machine(running: Running):
    ports = listening(running.pids)
    assert len(ports) >= 2, "a scheduler and a worker"
    assert attacked(ports, 2.0)["reached"] == []


def test_the_same_attack_succeeds_on_a_scheduler_without_tls(tmp_path: Path):
    with Cluster(tmp_path) as cluster:
        port = int(cluster.options[3].rpartition(":")[2])
        assert [port, "tcp"] in attacked([port], LONGEST / 3)["reached"]


def test_no_process_of_a_cluster_listens_beyond_this_machine(running: Running):
    every = (one for pid in running.pids for one in psutil.Process(pid).net_connections("inet"))
    assert {one.laddr.ip for one in every if one.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_no_child_process_of_a_run_has_a_secret_in_its_environment(running: Running):
    assert len(running.children) >= 2
    held = b"".join(
        Path(f"/proc/{pid}/{name}").read_bytes()
        for pid in running.children
        for name in ("environ", "cmdline")
    )
    assert [name for name, secret in running.tenants.environment.items() if secret.encode() in held] == []


def test_other_users_can_read_no_file_of_a_run_and_its_cluster(running: Running):
    places = (running.temporary, running.going.directory)
    paths = [path for place in places for path in place.rglob("*")]
    assert any(path.name == "journal.db" for path in paths)
    (private,) = running.temporary.iterdir()
    open_to_others = [path for path in (private, running.going.directory) if path.stat().st_mode & 0o077]
    assert open_to_others == []


def test_secrets_from_the_environment_reach_the_shards(here: MassStop, quick: Tenants):
    ended = here.run(
        None, quick.keys(), "--tenants", quick.file, "--engine", "dask", env=quick.environment,
    )  # fmt: skip
    assert ended.status == 0, ended
    is_true(quick, ended)
    assert all_stopped(quick, ended)
    written = [path.read_bytes() for path in ended.directory.rglob("*") if path.is_file()]
    assert not [data for data in written if quick.environment["NORTH_SECRET"].encode() in data]


def test_workers_end_when_the_caller_is_killed(tmp_path: Path):
    with running_in(tmp_path) as running:
        running.going.process.kill()
        until(lambda: not any(psutil.pid_exists(pid) for pid in running.children), "the end of the workers")


@pytest.mark.parametrize(
    "address", ["tcp://scheduler.example:8786", "scheduler.example:8786", "ws://127.0.0.1:8786"]
)
def test_a_scheduler_without_tls_is_refused(here: MassStop, quick: Tenants, address: str):
    ended = here.run(
        None, quick.keys(), "--tenants", quick.file, "--engine", "dask", "--scheduler", address,
        "--shared-dir", "shared", env=quick.environment,
    )  # fmt: skip
    assert ended.status == 2, ended
    assert f"--scheduler {address} is not encrypted" in ended.err
    assert len(ended.sentences) == 1


def test_a_scheduler_without_tls_on_this_machine_causes_a_warning(here, quick, tmp_path):
    with Cluster(tmp_path, env=quick.environment) as cluster:
        cluster.complete(1)
        ended = here.run(
            None, quick.keys(), "--tenants", quick.file, *cluster.options, env=quick.environment,
        )  # fmt: skip
    assert ended.status == 0, ended
    assert "every user of this machine" in ended.err
