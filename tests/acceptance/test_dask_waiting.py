"""A run that waits for its dask cluster, or for its keys, can be ended."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.cluster import Cluster
from tests.acceptance.support import PROCESSING, Going, MassStop, Tenant, until
from tests.acceptance.tenants import Tenants, report_of

MakeTenant = Callable[..., Tenant]

NO_SCHEDULER = ["--engine", "dask", "--scheduler", "tcp://127.0.0.1:9", "--shared-dir", "shared"]


@pytest.fixture
def tenants(here: MassStop, make_tenant: MakeTenant) -> Tenants:
    return Tenants(here.home, {"north": make_tenant(**PROCESSING, actions=4)}, in_files=True)


@pytest.fixture
def without_workers(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as cluster:
        yield cluster


def not_one_sent(tenants: Tenants, ended_report: dict[str, object]) -> bool:
    nothing = all(tenant.nothing_sent() for tenant in tenants.named.values())
    return nothing and tenants.outcomes(ended_report)["north"] <= {"not_attempted"}


def fed(here: MassStop, tenants: Tenants, *options: str) -> Going:
    """A run that has read all but the end of its keys."""
    going = here.start(
        "run", "-", "--tenants", tenants.file, "--tenant", "north", "--yes", "--out", "run", *NO_SCHEDULER, *options,
        stdin=subprocess.PIPE,
    )  # fmt: skip
    going.feed(tenants.named["north"].keys)
    return going


def test_the_deadline_ends_the_wait_for_the_first_worker(here, tenants, without_workers):
    ended = here.run(
        None, tenants.keys(), "--tenants", tenants.file, "--deadline", "2s", *without_workers.options,
    )  # fmt: skip
    assert ended.status == 4, ended
    assert "The deadline was reached" in ended.err
    assert not_one_sent(tenants, report_of(ended))


def test_the_deadline_ends_the_wait_for_keys_that_do_not_come(here, tenants):
    ended = fed(here, tenants, "--deadline", "2s").end()
    assert ended.status == 4, ended
    assert not_one_sent(tenants, report_of(ended))


def test_an_interrupt_ends_the_wait_for_keys_that_do_not_come(here, tenants):
    going = fed(here, tenants)
    log = going.directory / "run.log"
    until(lambda: log.exists() and "run.started" in log.read_text(), "the run")
    going.signal(signal.SIGINT)
    ended = going.end()
    assert ended.status == 130, ended
    assert all(tenant.nothing_sent() for tenant in tenants.named.values())
