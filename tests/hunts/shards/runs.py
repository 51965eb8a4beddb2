"""A run on a cluster, as the hunts start it and end it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

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


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "mass-stop", folder],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"a small disk: {made.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
