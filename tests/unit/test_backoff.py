"""Exponential backoff: how long to wait before the next attempt."""

import pytest

from orchestrator.backoff import full_jitter, half_jitter


def highest(low: float, high: float) -> float:
    return high


def lowest(low: float, high: float) -> float:
    return low


@pytest.mark.parametrize("jitter", [full_jitter, half_jitter])
@pytest.mark.parametrize(("failures", "longest"), [(1, 0.5), (2, 1.0), (5, 8.0), (6, 10.0), (10_000, 10.0)])
def test_the_longest_wait_doubles_with_each_failure_up_to_its_cap(jitter, failures, longest):
    assert jitter(failures, 0.5, 10.0, highest) == longest


def test_full_jitter_reaches_down_to_nothing():
    assert full_jitter(5, 0.5, 10.0, lowest) == 0.0


def test_half_jitter_waits_at_least_half_of_the_longest_wait():
    assert half_jitter(5, 0.5, 10.0, lowest) == 4.0
