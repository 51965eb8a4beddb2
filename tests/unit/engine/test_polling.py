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


def looks(share: float, settle: float = 600.0) -> list[float]:
    """When an action that never ends is looked at, with so many calls for it, from its first look on."""
    at, found = 0.0, [0.0]
    while at < settle:
        at += interval(len(found) - 1, at, settle - at, share - len(found) + 1, highest)
        found.append(at)
    return found


@pytest.mark.parametrize(
    ("polls", "seconds"), [(0, NARROWEST), (1, NARROWEST * WIDENING), (8, WIDEST), (10**6, WIDEST)]
)
def test_looks_widen_up_to_a_widest(polls, seconds):
    assert interval(polls, 0.0, 600.0, PLENTY, highest) == seconds


def test_looks_are_spread_a_little():
    assert interval(0, 0.0, 600.0, PLENTY, lowest) == 0.8 * NARROWEST


def test_the_last_look_is_at_the_end_of_the_time():
    assert interval(20, 590.0, 3.0, PLENTY, highest) == 3.0


@pytest.mark.parametrize("share", [1.0, 2.5, 4.0, 8.0, 20.0])
def test_an_action_that_never_ends_overdraws_a_quota_by_three_looks_at_most(share):
    assert len(looks(share)) - 1 <= share + 4


@pytest.mark.parametrize("share", [1.0, 2.5, 4.0])
def test_a_scarce_quota_still_looks_soon_at_what_ends_soon(share):
    assert interval(0, 1.0, 599.0, share, highest) == pytest.approx((TRIPLED - 1) * 1.0)


def test_the_first_look_of_a_scarce_quota_is_as_soon_as_usual():
    assert interval(0, 0.0, 600.0, 4.0, highest) == FIRST_READ * (TRIPLED - 1) == NARROWEST


def test_with_less_than_a_call_a_key_each_look_is_nine_times_as_late():
    """What is left without a call must not wait to the last: others may need fewer than was thought."""
    assert interval(3, 10.0, 590.0, 0.5, highest) == 80.0


def test_a_quota_that_lasts_changes_nothing():
    assert interval(3, 2.0, 598.0, 598.0 / WIDEST + 12, highest) == interval(3, 2.0, 598.0, PLENTY, highest)


@given(
    polls=st.integers(0, 10**6),
    elapsed=st.floats(0, 1e6),
    left=st.floats(0.001, 1e6),
    share=st.floats(-1e6, 1e6),
)
def test_the_next_look_is_never_after_the_end_nor_sooner_than_usual(polls, elapsed, left, share):
    seconds = interval(polls, elapsed, left, share, lowest)
    assert min(left, 0.8 * NARROWEST) <= seconds <= left
