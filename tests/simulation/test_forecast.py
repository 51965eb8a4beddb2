"""The forecast of ``plan`` and ``check``, compared with the calls of the run, in virtual time."""

from random import Random

import pytest

from orchestrator.cli.quotas import status_calls
from tests.simulation.tenant import Action, VirtualTenant, bulk_key
from tests.simulation.watched import watched
from tests.simulation.world import World, settings

STOPPING = (0.2, 1.5)
"""Seconds that an action is Stopping, as in the simulated tenant of ``simulate``."""


@pytest.mark.parametrize("latency", [0.02, 0.1, 0.5])
@pytest.mark.parametrize(("keys", "slots"), [(5, 36), (12, 36), (200, 36), (200, 9), (1_000, 36)])
def test_a_run_makes_at_most_a_third_more_or_fewer_calls_than_forecast(keys: int, slots: int, latency: float):
    random = Random(keys)
    actions = [
        Action(bulk_key(number), stopping_for=random.uniform(*STOPPING)) for number in range(1, keys + 1)
    ]
    world = World(VirtualTenant(actions, latency=lambda: latency), settings(concurrency=slots))
    watched(world, keys)
    calls = world.report().summary.calls
    forecast = keys + status_calls(keys, keys, slots, latency, guards=False) + keys
    assert forecast / 1.3 <= calls.stop + calls.status + calls.file <= forecast * 1.3
