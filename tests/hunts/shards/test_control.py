"""Ctrl-C while the shared folder takes no control message, and a worker whose clock is wrong."""

import signal
from contextlib import suppress
from pathlib import Path

import pytest

from tests.acceptance.support import until
from tests.acceptance.tenants import all_stopped, is_true
from tests.hunts.clocks import faked, needs_faketime
from tests.hunts.shards.runs import small_disk, some_stops, start

__all__ = ["faked"]

pytestmark = pytest.mark.hunt

LONG = 150
"""Keys that take longer than a test waits for an interrupted run."""


def fill(folder: Path) -> None:
    with suppress(OSError), (folder / "filling").open("wb", buffering=0) as file:
        while file.write(bytes(4096)) == 4096:
            pass


def test_an_interrupt_drains_shards_although_the_shared_folder_is_full(here, make_tenants, start_cluster):
    tenants = make_tenants("north", "south", actions=LONG)
    cluster = start_cluster(2)
    with small_disk(cluster.shared, "3m"):
        going = start(here, tenants, cluster)
        until(lambda: some_stops(tenants), "some stops")
        fill(cluster.shared)
        going.signal(signal.SIGINT)
        ended = going.end()
    assert ended.status in (5, 130), ended
    is_true(tenants, ended)
    assert all(tenant.sent("stop") < LONG for tenant in tenants.named.values())


def test_an_interrupt_drains_shards_although_the_shared_folder_is_gone(here, make_tenants, start_cluster):
    tenants = make_tenants("north", "south", actions=LONG)
    cluster = start_cluster(2)
    going = start(here, tenants, cluster)
    until(lambda: some_stops(tenants), "some stops")
    cluster.shared.rename(here.home / "away")
    going.signal(signal.SIGINT)
    ended = going.end()
    assert ended.status in (5, 130), ended
    is_true(tenants, ended)
    assert all(tenant.sent("stop") < LONG for tenant in tenants.named.values())


@needs_faketime
def test_a_worker_whose_clock_is_ahead_does_not_end_at_once(here, two, start_cluster, faked):
    ahead = (f"{name}={value}" for name, value in faked(FAKETIME="+10m").items())
    cluster = start_cluster(2, ("env", *ahead))
    ended = start(here, two, cluster, "--deadline", "5m").end()
    assert ended.status == 0, ended
    is_true(two, ended)
    assert all_stopped(two, ended)
    assert ended.report["summary"]["timing"]["settled_seconds"] < 600  # the worker's clock would add these
