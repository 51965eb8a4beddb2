"""A run over several hosts, each with a network of its own, and one of them loses it."""

import asyncio
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pytest
import trustme

from tests.acceptance.cluster import Cluster
from tests.acceptance.support import LONGEST, PROCESSING, Ended, Going, MassStop, Tenant, until
from tests.acceptance.tenants import Tenants, all_stopped, is_true
from tests.hunts.network.hosts import Network, NotHere

pytestmark = pytest.mark.hunt

QUICKER = {
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "12s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
    "DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "10s",
}
"""Dask's own settings: the time after which a silent peer counts as dead."""


class Remote(Tenant):
    """A tenant that serves on a host of the network."""

    def __init__(self, network: Network, host: str, **changes: Any) -> None:
        super().__init__(**changes)
        self._network, self._host = network, host

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(LONGEST)
        return self

    async def _serve(self) -> None:
        self._network.move_here(self._host)
        await self.simulated.start(self._network.host(self._host).address)


@pytest.fixture
def network() -> Iterator[Network]:
    with ExitStack() as stack:
        try:
            network = stack.enter_context(Network("caller", "middle", "one", "two", "north", "south"))
        except NotHere as error:
            pytest.skip(f"hosts of their own: {error}")
        yield network


class Group:
    """Two tenants, a scheduler, two workers and a caller, each on a host of its own."""

    def __init__(
        self,
        network: Network,
        tenants: Tenants,
        cluster: Cluster,
        command: MassStop,
        timeouts: dict[str, str],
    ) -> None:
        self.network = network
        self.tenants = tenants
        self.cluster = cluster
        self._command = command
        self._timeouts = timeouts

    def start(self, *words: str | Path) -> Going:
        """Starts the command on the caller's host; without ``words``, it runs all keys."""
        file = self.tenants.file
        return self._command.start(
            *(words or ("run", self.tenants.keys(), "--tenants", file, "--yes", "--out", "run")),
            *self.cluster.options,
            shell=f'exec {" ".join(self.network.host("caller").enter)} "$@"',
            env=self._timeouts,
        )

    def host_of(self, tenant: str) -> str:
        """The host of the worker that works on ``tenant``."""
        number = self.cluster.worker_of(tenant)
        return {worker.pid: name for worker, name in zip(self.cluster.workers, ("one", "two"), strict=True)}[
            number
        ]


@pytest.fixture
def timeouts() -> dict[str, str]:
    return QUICKER


@pytest.fixture
def group(network: Network, tmp_path: Path, timeouts: dict[str, str]) -> Iterator[Group]:
    authority = trustme.CA()
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(bundle))
    command = MassStop(Path(sys.executable).parent / "mass-stop", tmp_path)
    with ExitStack() as stack:
        stack.callback(command.close)
        named: dict[str, Tenant] = {}
        for name in ("north", "south"):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(network.host(name).address).configure_cert(context)
            slowly = PROCESSING | {
                "latency": 0.1,
                "stopping_time": (0.0, 0.0),
                "speed": (1.0, 2.0),  # no action is through before its worker is replaced
                "actions": 40,
            }
            named[name] = stack.enter_context(Remote(network, name, tls=context, **slowly))
        limits = dict.fromkeys(named, "concurrency = 2")
        tenants = Tenants(tmp_path, named, limits, in_files=True)
        hosts = [network.host(name) for name in ("middle", "one", "two")]
        environment = timeouts | {"SSL_CERT_FILE": str(bundle)}
        cluster = stack.enter_context(Cluster(tmp_path, env=environment, hosts=hosts))
        cluster.complete()
        yield Group(network, tenants, cluster, command, timeouts)


def test_a_run_over_several_hosts_is_finished_and_true(group: Group) -> None:
    ended = group.start().end()
    assert ended.status == 0, ended
    is_true(group.tenants, ended)
    assert all_stopped(group.tenants, ended)


def stops_of(group: Group, tenant: str, count: int) -> Callable[[], bool]:
    return lambda: group.tenants.named[tenant].answered("stop") >= count


def ended_without_the_first_worker_of_north(group: Group) -> Ended:
    """The end of a run in which the worker of north loses its link for good, in the middle of its stops."""
    going = group.start()
    until(stops_of(group, "north", 6), "stops of north")
    host = group.host_of("north")
    group.network.cut(host)
    until(lambda: group.host_of("north") != host, "another worker for north", 3 * LONGEST)
    ended = going.end()
    assert ended.status == 0, ended
    is_true(group.tenants, ended)
    return ended


def test_a_worker_whose_link_is_cut_for_good_is_replaced_by_the_other(group: Group) -> None:
    ended = ended_without_the_first_worker_of_north(group)
    assert all_stopped(group.tenants, ended)


@pytest.mark.parametrize("timeouts", [{}])
def test_every_action_is_over_with_the_default_timeouts_of_dask_too(group: Group) -> None:
    """It takes half a minute until dask misses the worker, in which slow actions may complete: not all are stopped."""
    ended_without_the_first_worker_of_north(group)


def test_a_worker_whose_link_returns_late_does_no_harm(group: Group) -> None:
    going = group.start()
    until(stops_of(group, "north", 6), "stops of north")
    host = group.host_of("north")
    group.network.cut(host)
    until(stops_of(group, "south", 40), "all stops of south")
    group.network.restore(host)
    ended = going.end(3 * LONGEST)
    assert ended.status == 0, ended
    is_true(group.tenants, ended)
    assert all_stopped(group.tenants, ended)


def test_a_caller_whose_link_is_cut_ends_truly_and_resume_does_the_rest(group: Group) -> None:
    going = group.start()
    until(stops_of(group, "north", 6), "stops of north")
    group.network.cut("caller")
    ended = going.end(3 * LONGEST)
    assert ended.status == 5, ended
    is_true(group.tenants, ended)
    group.network.restore("caller")
    again = group.start("resume", "run").end()
    assert again.status == 0, again
    is_true(group.tenants, again)
