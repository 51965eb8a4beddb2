"""The order in every run: stops before results, the greatest weight first."""

import pytest

from orchestrator.errors import Kind
from orchestrator.model import InputRow, Outcome
from tests.simulation.tenant import VirtualTenant, actions_of, bulk_key
from tests.simulation.virtual import virtually
from tests.simulation.watched import jittery, sometimes, stops, watched
from tests.simulation.world import World, entry, rows_of, settings

# Order


@pytest.mark.parametrize("guards", [{}, {"expect_action_type": ("MPU",)}], ids=["unguarded", "guarded"])
def test_no_result_is_given_a_slot_while_a_stop_waits_for_one(run_seed, guards):
    script = sometimes(run_seed, 0.2, Kind.LOCKED, Kind.TEMPORARY, Kind.WRONG_STATE)
    world = World(
        VirtualTenant(actions_of(200), latency=jittery(run_seed), script=script), settings(**guards)
    )
    session = watched(world, 200)
    assert [grant for grant in session.gate.grants if grant.to == "result" and grant.stops_waiting] == []


def test_no_result_is_given_a_slot_while_a_stop_waits_for_a_slow_disk(run_seed):
    script = sometimes(run_seed, 0.2, Kind.LOCKED, Kind.WRONG_STATE)
    world = World(VirtualTenant(actions_of(200), latency=jittery(run_seed), script=script), disk=1.0)
    session = watched(world, 200)
    assert [grant for grant in session.gate.grants if grant.to == "result" and grant.stops_waiting] == []


def test_with_nothing_failing_every_stop_is_sent_before_the_first_status():
    world = World(VirtualTenant(actions_of(200)))
    watched(world, 200)
    assert max(call.at for call in stops(world)) <= min(call.at for call in world.tenant.of("status"))


def test_results_are_read_while_the_input_is_slow():
    world = World(VirtualTenant(actions_of(2)))
    virtually(world.run([(0.0, rows_of(1)), (60.0, rows_of(1, first=2))]))
    assert entry(world.report(), 1).outcome is Outcome.STOPPED
    assert world.tenant.of("status", bulk_key(1))[-1].at < 30


def test_the_first_stop_leaves_when_the_first_key_is_read():
    world = World(VirtualTenant(actions_of(2)))
    virtually(world.run([(0.0, rows_of(1)), (60.0, rows_of(1, first=2))]))
    assert stops(world)[0].at == 0.0


def test_the_greater_weight_is_stopped_first_and_a_row_without_one_last():
    rows = [InputRow(n + 1, bulk_key(n), weight=weight) for n, weight in enumerate([3.0, None, 9.0, -1.0], 1)]
    world = World(VirtualTenant(actions_of(4)), settings(concurrency=1))
    virtually(world.run(rows))
    assert [call.bulk_key for call in stops(world)] == [bulk_key(n) for n in (3, 1, 4, 2)]


def test_the_report_has_input_order_whatever_the_order_of_the_stops():
    rows = [InputRow(n + 1, bulk_key(n), weight=float(n)) for n in range(1, 9)]
    world = World(VirtualTenant(actions_of(8)), settings(concurrency=1))
    virtually(world.run(rows))
    assert [action.row for action in world.report().actions] == [row.number for row in rows]
