"""kill -9 at times chosen by dice over larger runs, the resumed ones too."""

import random
import signal
from collections.abc import Callable

import pytest

from orchestrator.simulator import FaultPlan
from tests.acceptance.support import LONGEST, MassStop, Tenant, until
from tests.hunts.crash.laws import hold_after_a_kill
from tests.hunts.crash.test_sweep import SMALL

MakeTenant = Callable[..., Tenant]

MOST_KILLS = 4
CALLS = 900
"""A run of 300 keys makes about as many."""


@pytest.mark.hunt
def test_a_run_killed_again_and_again_is_resumed_to_a_whole_and_true_report(
    mass_stop: MassStop, make_tenant: MakeTenant, run_seed: int
) -> None:
    dice = random.Random(run_seed)
    faults = FaultPlan({"lock": 0.05, "reset": 0.03, "answer_lost": 0.03})
    tenant = make_tenant(**SMALL | {"latency": 0.01}, actions=300, seed=run_seed, faults=faults)
    lines = [*tenant.keys, *dice.sample(tenant.keys, 5)]
    keys = mass_stop.keys(lines)
    kills = sorted(dice.sample(range(1, CALLS), dice.randint(1, MOST_KILLS)))
    for n, calls in enumerate(kills):
        command = ("resume", "run", keys) if n else ("run", "--yes", "--out", "run", keys)
        going = mass_stop.start(*command, tenant=tenant)
        until(lambda: len(tenant.log) >= calls or going.process.poll() is not None, "calls", LONGEST)  # noqa: B023
        going.signal(signal.SIGKILL)
        going.end()
    assert hold_after_a_kill(mass_stop, tenant, lines) == "journal"
