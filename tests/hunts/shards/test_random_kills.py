"""kill -9 of caller, workers and scheduler, at random moments."""

import json
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.simulator import FaultPlan
from tests.acceptance.cluster import Cluster
from tests.acceptance.support import LONGEST, Going, MassStop, until
from tests.acceptance.tenants import Tenants, is_true
from tests.hunts.shards.runs import resumed, start

pytestmark = pytest.mark.hunt

CALLS = 330
"""A run of two times 40 keys makes about as many."""

KILLED = ("caller", "worker", "worker", "both workers", "scheduler")


class Chaos:
    """A run and the kills during it. Every report of it must be true."""

    def __init__(self, here: MassStop, tenants: Tenants, cluster: Cluster, dice: random.Random) -> None:
        self._here = here
        self._tenants = tenants
        self._cluster = cluster
        self._dice = dice
        self._going = start(here, tenants, cluster)
        self.over = False

    def kill(self, victim: str) -> None:
        match victim:
            case "caller":
                self._going.signal(signal.SIGKILL)
                self._going.process.wait()
                self._check_report()
                self._going = self._resume()
            case "scheduler":
                self._cluster.scheduler.kill()
                self.end()
            case _:
                count = 2 if victim == "both workers" else 1
                for worker in self._dice.sample(self._cluster.workers, count):
                    self._cluster.kill(worker.pid)
                self._cluster.complete()

    def end(self) -> None:
        ended = self._going.end(2 * LONGEST)
        assert "Traceback" not in ended.err, ended
        assert ended.status in (0, 2, 5), ended  # 2: a resume whose scheduler was killed before it came to it
        if ended.status != 2:
            is_true(self._tenants, ended)
        self._check_report()
        self.over = True

    def calls(self) -> int:
        return sum(len(tenant.log) for tenant in self._tenants.named.values())

    def wait_for(self, calls: int) -> None:
        until(lambda: self.calls() >= calls or self._going.process.poll() is not None, "calls")

    def _check_report(self) -> None:
        reported = self._here("report", "run", "--report", "-")
        if reported.out:  # a caller may die before its journal has a run
            assert self._tenants.lies(json.loads(reported.out)) == []

    def _resume(self) -> Going:
        engine = self._dice.choice([("--engine", "local"), ()])
        return self._here.start("resume", "run", *engine)


def test_a_run_killed_at_any_moment_is_reported_truly_and_finished_by_resume(
    here: MassStop, make_tenants: Callable[..., Tenants], tmp_path: Path, run_seed: int
) -> None:
    dice = random.Random(run_seed)
    faults = FaultPlan({"lock": 0.05, "reset": 0.02, "answer_lost": 0.03})
    tenants = make_tenants("north", "south", seed=run_seed, latency=0.05, actions=40, faults=faults)
    with Cluster(tmp_path) as cluster:
        cluster.complete()
        chaos = Chaos(here, tenants, cluster, dice)
        for calls in sorted(dice.sample(range(1, CALLS), dice.randint(1, 4))):
            chaos.wait_for(calls)
            chaos.kill(dice.choice(KILLED))
            if chaos.over:
                break
        else:
            chaos.end()
        resumed(here, tenants)
