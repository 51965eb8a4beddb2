"""Common steps of the hunts: start and end a run on a cluster."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.cluster import Cluster
from tests.acceptance.support import Going, MassStop
from tests.acceptance.tenants import Tenants, all_stopped, is_true


def start(
    here: MassStop, tenants: Tenants, cluster: Cluster, *more: str, keys: Path | None = None, out: str = "run"
) -> Going:
    """Start a run of ``keys``, or of all keys of the tenants."""
    given = keys or tenants.keys()
    return here.start("run", given, "--tenants", tenants.file, "--yes", "--out", out, *more, *cluster.options)


def some_stops(tenants: Tenants) -> bool:
    return all(tenant.answered("stop") >= 4 for tenant in tenants.named.values())


def stops_of_each_key(tenants: Tenants) -> set[int]:
    """Return the numbers of stops that single keys received."""
    return {len(tenant.truth(key).stops_received) for tenant in tenants.named.values() for key in tenant.keys}


def resumed(here: MassStop, tenants: Tenants) -> None:
    """Resume the run without the cluster, and assert that every action is over and reported correctly."""
    ended = here("resume", "run", "--engine", "local")
    assert ended.status == 0, ended
    is_true(tenants, ended)
    assert all_stopped(tenants, ended)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Callable[[str], None]]:
    """Mount a disk of ``size`` at ``folder``. The yielded function changes its size."""

    def mount(*words: str | Path) -> None:
        made = subprocess.run(["mount", *words], capture_output=True, check=False)
        if made.returncode:
            pytest.skip(f"a small disk: {made.stderr.decode().strip()}")

    mount("-t", "tmpfs", "-o", f"size={size},mode=700", "mass-stop", folder)
    try:
        yield lambda size: mount("-o", f"remount,size={size}", folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
