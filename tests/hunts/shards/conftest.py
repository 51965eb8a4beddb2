"""Fixtures of the hunts on real workers. The command is the one beside this Python, which has dask."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.cluster import Cluster, Host
from tests.acceptance.conftest import here, make_tenant, tenants
from tests.acceptance.support import PROCESSING, MassStop, Tenant
from tests.acceptance.tenants import Tenants

__all__ = ["here", "make_tenant", "tenants"]

MakeTenant = Callable[..., Tenant]


@pytest.fixture
def make_tenants(here: MassStop, make_tenant: MakeTenant) -> Callable[..., Tenants]:
    """Create tenants whose stops take some seconds in total."""

    def make(*names: str, **changes: Any) -> Tenants:
        slowly = PROCESSING | {
            "latency": 0.1,
            "stopping_time": (0.0, 0.0),
            "speed": (1.0, 2.0),  # no action completes before its stop, even on a busy machine
            "actions": 30,
        }
        slowly |= changes
        named = {name: make_tenant(**slowly) for name in names}
        return Tenants(here.home, named, dict.fromkeys(named, "concurrency = 2"), in_files=True)

    return make


@pytest.fixture
def one(make_tenants: Callable[..., Tenants]) -> Tenants:
    return make_tenants("north")


@pytest.fixture
def two(make_tenants: Callable[..., Tenants]) -> Tenants:
    return make_tenants("north", "south")


@pytest.fixture
def start_cluster(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    """Start a cluster with ``workers`` workers, each started behind the words ``enter``."""
    clusters: list[Cluster] = []

    def start(workers: int, enter: tuple[str, ...] = ()) -> Cluster:
        clusters.append(Cluster(tmp_path, hosts=[Host(), Host(enter=enter)]))
        clusters[-1].complete(workers)
        return clusters[-1]

    yield start
    for cluster in clusters:
        cluster.__exit__(None, None, None)
