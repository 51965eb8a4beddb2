"""When a status is read next, with a quota that lasts and with one that does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.polling import FIRST_READ, NARROWEST, TRIPLED, WIDENING, WIDEST, interval

PLENTY = float("inf")


def highest(low: float, high: float) -> float:
    return high


def lowest(low: float, high: float) -> float:
    return low


def polls(share: float, settle: float = 600.0) -> list[float]:
    """The poll times of an endless action with a number of calls, from its first poll on."""
    at, found = 0.0, [0.0]
    while at < settle:
        at += interval(len(found) - 1, at, settle - at, share - len(found) + 1, highest)
        found.append(at)
    return found


@pytest.mark.parametrize(
    ("polls", "seconds"), [(0, NARROWEST), (1, NARROWEST * WIDENING), (8, WIDEST), (10**6, WIDEST)]
)
def test_poll_intervals_grow_up_to_a_maximum(polls, seconds):
    assert interval(polls, 0.0, 600.0, PLENTY, highest) == seconds


def test_poll_intervals_have_jitter():
    assert interval(0, 0.0, 600.0, PLENTY, lowest) == 0.8 * NARROWEST


def test_the_last_poll_is_at_the_end_of_the_settle_time():
    assert interval(20, 590.0, 3.0, PLENTY, highest) == 3.0


@pytest.mark.parametrize("share", [1.0, 2.5, 4.0, 8.0, 20.0])
def test_an_endless_action_exceeds_a_quota_by_at_most_three_polls(share):
    assert len(polls(share)) - 1 <= share + 4


@pytest.mark.parametrize("share", [1.0, 2.5, 4.0])
def test_a_scarce_quota_still_polls_short_actions_early(share):
    assert interval(0, 1.0, 599.0, share, highest) == pytest.approx((TRIPLED - 1) * 1.0)


def test_the_first_poll_under_a_scarce_quota_is_as_early_as_usual():
    assert interval(0, 0.0, 600.0, 4.0, highest) == FIRST_READ * (TRIPLED - 1) == NARROWEST


def test_with_less_than_one_call_per_key_each_poll_is_nine_times_as_late():
    """Actions without a call left must not wait to the end: others may need fewer than forecast."""
    assert interval(3, 10.0, 590.0, 0.5, highest) == 80.0


def test_a_sufficient_quota_changes_no_poll_interval():
    assert interval(3, 2.0, 598.0, 598.0 / WIDEST + 12, highest) == interval(3, 2.0, 598.0, PLENTY, highest)


@given(
    polls=st.integers(0, 10**6),
    elapsed=st.floats(0, 1e6),
    left=st.floats(0.001, 1e6),
    share=st.floats(-1e6, 1e6),
)
def test_the_next_poll_is_never_after_the_end_nor_earlier_than_usual(polls, elapsed, left, share):
    seconds = interval(polls, elapsed, left, share, lowest)
    assert min(left, 0.8 * NARROWEST) <= seconds <= left
