"""A run on a cluster, as the hunts start it and end it."""

from pathlib import Path

from tests.acceptance.cluster import LONGEST, Cluster
from tests.acceptance.support import Going, MassStop
from tests.acceptance.tenants import Tenants, all_stopped, is_true


def start(
    here: MassStop, tenants: Tenants, cluster: Cluster, keys: Path | None = None, out: str = "run"
) -> Going:
    """Starts a run of ``keys``, or of all that the tenants have."""
    given = keys or tenants.keys()
    return here.start("run", given, "--tenants", tenants.file, "--yes", "--out", out, *cluster.options)


def some_stops(tenants: Tenants) -> bool:
    return all(tenant.answered("stop") >= 4 for tenant in tenants.named.values())


def resumed(here: MassStop, tenants: Tenants) -> None:
    """The run is resumed without the cluster; then every action is over, and told as it is."""
    ended = here("resume", "run", "--engine", "local", longest=LONGEST)
    assert ended.status == 0, ended
    is_true(tenants, ended)
    assert all_stopped(tenants, ended)
