"""What leaves next: lanes by hand, without a loop."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.lanes import Delayed, Lanes
from orchestrator.engine.retry import FLOOR, MOST_SAVED, SHARE, RetryBudget


def no() -> bool:
    return False


def yes() -> bool:
    return True


def out(lanes: Lanes[str], now: float = 100.0, coming=no) -> list[str]:
    """All that may leave at ``now``, in order."""
    found = []
    while (take := lanes.next(now, coming)) is not None:
        found.append(take())
    return found


def spent(lanes: Lanes[str]) -> Lanes[str]:
    """With no retry left in its budget."""
    while lanes.budget.spend():
        pass
    return lanes


def test_a_stop_leaves_before_a_guard_a_guard_before_a_cold_stop_and_that_before_a_result():
    lanes = spent(Lanes())
    lanes.results.push(0.0, "result")
    lanes.again(0.0, "cold")
    lanes.guards.append("guard")
    lanes.stops.append("stop")
    assert out(lanes) == ["stop", "guard", "cold", "result"]


def test_a_retry_within_the_budget_joins_the_stops_at_their_end():
    lanes: Lanes[str] = Lanes()
    lanes.again(0.0, "again")
    lanes.guards.append("guard")
    lanes.stops.append("stop")
    assert out(lanes) == ["stop", "again", "guard"]


def test_a_retry_waits_for_its_time():
    lanes: Lanes[str] = Lanes()
    lanes.again(200.0, "again")
    assert (out(lanes, 199.9), out(lanes, 200.0)) == ([], ["again"])


def test_a_cold_retry_waits_for_its_time():
    lanes = spent(Lanes())
    lanes.again(200.0, "cold")
    assert (out(lanes, 199.9), out(lanes, 200.0)) == ([], ["cold"])


def test_what_comes_after_stops_waits_for_those_that_are_coming():
    lanes = spent(Lanes())
    lanes.results.push(0.0, "result")
    lanes.again(0.0, "cold")
    assert (out(lanes, coming=yes), out(lanes)) == ([], ["cold", "result"])


def test_a_silent_tenant_is_probed_with_what_failed_before_not_with_a_fresh_stop():
    lanes = spent(Lanes())
    lanes.stops.append("stop")
    lanes.again(0.0, "cold")
    take = lanes.next(100.0, no, probing=True)
    assert take is not None
    assert take() == "cold"
    assert out(lanes) == ["stop"]


def test_a_silent_tenant_is_probed_with_a_fresh_stop_while_no_other_is_due():
    lanes = spent(Lanes())
    lanes.stops.append("stop")
    lanes.again(200.0, "cold")
    take = lanes.next(100.0, no, probing=True)
    assert take is not None
    assert take() == "stop"


def test_nothing_is_dropped_whatever_the_budget():
    lanes: Lanes[str] = Lanes()
    for n in range(1_000):
        lanes.again(0.0, str(n))
    assert sorted(out(lanes)) == sorted(map(str, range(1_000)))


def test_both_kinds_of_retries_are_counted():
    lanes: Lanes[str] = Lanes()
    for n in range(100):
        lanes.again(0.0, str(n))
    assert lanes.retries == 100


def test_stops_and_guards_are_fresh_work():
    lanes: Lanes[str] = Lanes()
    lanes.stops.append("stop")
    lanes.guards.append("guard")
    lanes.results.push(0.0, "result")
    assert lanes.ready == 2


def test_once_the_stops_are_closed_only_results_leave():
    lanes: Lanes[str] = Lanes()
    lanes.again(0.0, "again")
    lanes.guards.append("guard")
    lanes.stops.append("stop")
    lanes.results.push(0.0, "result")
    lanes.close_stops()
    assert out(lanes) == ["result"]


@pytest.mark.parametrize("closed", [False, True])
def test_the_next_due_time_is_the_earliest_of_what_may_still_leave(closed):
    lanes: Lanes[str] = Lanes()
    assert lanes.due() == inf
    lanes.results.push(7.0, "result")
    lanes.again(6.0, "again")
    spent(lanes).again(5.0, "cold")
    if closed:
        lanes.close_stops()
    assert lanes.due() == (7.0 if closed else 5.0)


# The budget


def test_a_few_retries_are_free():
    budget = RetryBudget()
    assert [budget.spend() for _ in range(FLOOR + 1)] == [True] * FLOOR + [False]


def test_retries_are_a_share_of_the_stops():
    budget, tried = RetryBudget(), 0
    for _ in range(1_000):
        budget.earn()
        tried += budget.spend()
    assert tried == pytest.approx(FLOOR + 1_000 * SHARE, abs=1)


def test_no_great_number_of_retries_is_saved_up():
    budget = RetryBudget()
    for _ in range(10_000):
        budget.earn()
    assert sum(budget.spend() for _ in range(1_000)) == MOST_SAVED


# Delayed


@given(st.lists(st.integers(0, 5)))
def test_delayed_things_come_out_by_time_and_then_by_arrival(dues):
    delayed: Delayed[int] = Delayed()
    for n, due in enumerate(dues):
        delayed.push(due, n)
    assert [delayed.pop() for _ in dues] == sorted(range(len(dues)), key=lambda n: (dues[n], n))


def test_the_due_time_is_that_of_the_earliest():
    delayed: Delayed[str] = Delayed()
    assert delayed.due == inf
    for due in (5.0, 2.0, 9.0):
        delayed.push(due, "job")
    assert delayed.due == 2.0
    delayed.pop()
    assert delayed.due == 5.0


def test_where_nothing_is_left_nothing_is_due():
    delayed: Delayed[str] = Delayed()
    delayed.push(5.0, "job")
    delayed.pop()
    assert delayed.due == inf


@pytest.mark.parametrize(("now", "leaves"), [(4.9, False), (5.0, True)])
def test_a_result_leaves_from_its_time_on(now, leaves):
    lanes: Lanes[str] = Lanes()
    lanes.results.push(5.0, "result")
    assert (lanes.next(now, stops_are_coming=no) is not None) is leaves
