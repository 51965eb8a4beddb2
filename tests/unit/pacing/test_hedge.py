"""When a slow call is sent a second time."""

from math import exp
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from orchestrator.pacing.hedge import (
    ENOUGH,
    FEW_FLOOR,
    FLOOR,
    FREE,
    LEAST_FACTOR,
    MOST_SHARE,
    OUTLIER,
    OVERTAKERS,
    PATIENCE,
    PATIENCE_WITH_ALL,
    PEERS,
    SHARE,
    UNKNOWN,
    CallLatency,
    HedgeBudget,
    StartOrder,
)

seconds = some.floats(0.001, 60.0)


def learned(latencies: list[float]) -> CallLatency:
    latency = CallLatency()
    for one in latencies:
        latency.ended(one)
    return latency


# The delay


def test_before_the_first_response_the_delay_is_long():
    assert CallLatency().delay == UNKNOWN


@given(some.lists(seconds, min_size=1, max_size=ENOUGH - 1))
def test_with_few_responses_no_call_like_them_is_slow(latencies):
    assert learned(latencies).delay >= max(FEW_FLOOR, *latencies)


@given(some.lists(seconds, min_size=ENOUGH, max_size=300))
def test_no_delay_is_below_its_floor(latencies):
    assert learned(latencies).delay >= FLOOR


@given(some.lists(seconds, min_size=ENOUGH, max_size=128))
def test_no_delay_is_below_a_multiple_of_the_median(latencies):
    median = sorted(latencies)[len(latencies) // 2]
    assert learned(latencies).delay >= LEAST_FACTOR * median


@given(some.floats(0.01, 5.0), some.integers(1, 17))
def test_hanging_calls_do_not_change_the_delay(usual, hanging):
    """Up to 15 % of the calls."""
    assert learned([usual] * 100 + [60.0] * hanging).delay == pytest.approx(learned([usual] * 100).delay)


@given(some.lists(some.floats(0.1, 60.0), min_size=ENOUGH, max_size=128), some.floats(1.0, 10.0))
def test_a_slower_tenant_has_a_longer_delay(latencies, factor):
    assert learned([one * factor for one in latencies]).delay >= learned(latencies).delay


@given(some.lists(seconds, min_size=128, max_size=128), some.lists(seconds, max_size=200))
def test_only_the_latest_responses_count(latest, earlier):
    assert learned(earlier + latest).delay == learned(latest).delay


@given(some.lists(seconds, max_size=50))
def test_a_fixed_delay_is_not_changed_by_responses(latencies):
    latency = CallLatency(2.0)
    for one in latencies:
        latency.ended(one)
    assert latency.delay == 2.0


def test_few_calls_of_a_log_normal_tenant_are_slow(run_seed):
    random = Random(run_seed)
    latencies = [exp(random.gauss(0.0, 1.0)) for _ in range(2_000)]
    delay = learned(latencies[:128]).delay
    assert sum(one >= delay for one in latencies) <= SHARE * len(latencies)


@given(some.lists(seconds, min_size=ENOUGH, max_size=128), seconds)
def test_an_outlier_exceeds_five_times_the_median(latencies, age):
    median = sorted(latencies)[len(latencies) // 2]
    assert learned(latencies).is_outlier(age) == (age >= OUTLIER * median)


# Peers


@given(seconds, some.booleans(), some.integers(1, 40), some.integers(1, 40))
def test_no_hedge_is_due_before_the_delay(age, overtaken, slow, in_flight):
    latency = learned([0.08] * 100)
    if latency.is_due(age, overtaken=overtaken, slow=slow, in_flight=in_flight):
        assert age >= latency.delay


@pytest.mark.parametrize(
    ("overtaken", "slow", "in_flight", "patience"),
    [
        (True, 1, 40, 1.0),
        (False, 1, 40, PATIENCE),
        (False, 1, 1, PATIENCE),
        (False, 30, 40, PATIENCE_WITH_ALL),
    ],
)
def test_a_hedge_waits_longer_if_the_tenant_may_be_slow_for_all(overtaken, slow, in_flight, patience):
    latency = learned([0.1] * 100)
    due = [
        latency.is_due(age, overtaken=overtaken, slow=slow, in_flight=in_flight)
        for age in (patience * latency.delay - 0.001, patience * latency.delay + 0.001)
    ]
    assert due == [False, True]


@given(some.sets(some.integers(2, 1 + PEERS)))
def test_a_call_is_overtaken_if_most_of_the_next_calls_ended(ended):
    order = StartOrder[None]()
    first, *_ = [order.start(None) for _ in range(1 + 2 * PEERS)]
    for number in ended:
        order.ended(number)
    assert order.is_overtaken(first) == (len(ended) >= OVERTAKERS)


def test_a_call_after_which_few_started_is_not_overtaken():
    order = StartOrder[None]()
    numbers = [order.start(None) for _ in range(OVERTAKERS)]
    for number in numbers[1:]:
        order.ended(number)
    assert not order.is_overtaken(numbers[0])


# The budget


@given(some.integers(0, 10_000), some.integers(0, 10_000))
def test_hedges_are_a_small_share_of_all_calls(calls, outliers):
    budget = HedgeBudget()
    budget.calls, budget.outliers = calls, min(outliers, calls)
    while budget.left > 0:
        budget.hedges += 1
    assert budget.hedges <= FREE + max(SHARE * calls, min(MOST_SHARE * calls, budget.outliers))


@given(some.integers(0, 10_000))
def test_without_outliers_hedges_are_five_percent_of_all_calls(calls):
    budget = HedgeBudget()
    budget.calls = calls
    assert budget.left == FREE + int(SHARE * calls)
