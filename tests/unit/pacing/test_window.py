"""The laws of one rate window, with times given by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.pacing.window import RateWindow

AT_ONCE = "at the first moment allowed"

quotas = st.integers(1, 40)
lengths = st.sampled_from([1.0, 7.5, 60.0, 3600.0, 86_400.0])
steps = st.lists(st.just(AT_ONCE) | st.floats(0, 1.5), max_size=120)
starts = st.floats(0, 1e6)


def calls_let_through(window: RateWindow, start: float, steps: list[str | float]) -> list[float]:
    """When calls left: each asks after a step of its own (in windows), or at the very moment it may."""
    now, left = start, []
    for step in steps:
        now = max(now, window.opens_at(now)) if isinstance(step, str) else now + step * window.seconds
        if window.opens_at(now) <= now:
            window.take(now)
            left.append(now)
    return left


def busiest(times: list[float], seconds: float) -> int:
    """The most calls in any ``seconds``, but for the rounding of floats."""
    length = seconds * (1 - 1e-6)
    return max((sum(start <= time < start + length for time in times) for start in times), default=0)


@given(quota=quotas, seconds=lengths, burst=st.integers(-3, 60), start=starts, steps=steps)
def test_no_window_ever_sees_more_than_the_quota(quota, seconds, burst, start, steps):
    window = RateWindow(quota, seconds, burst)
    assert busiest(calls_let_through(window, start, steps), seconds) <= quota


@given(quota=quotas, seconds=lengths)
def test_without_a_burst_the_whole_quota_is_used(quota, seconds):
    """A limit of one call a minute must not become one every two."""
    window = RateWindow(quota, seconds, burst=1)
    times = calls_let_through(window, 0.0, [AT_ONCE] * (3 * quota + 1))
    assert times[-1] == pytest.approx(3 * seconds)


@given(quota=st.integers(2, 1000), seconds=lengths, share=st.floats(0, 1))
def test_a_burst_leaves_at_once_and_the_rest_later(quota, seconds, share):
    burst = max(1, int(quota * share))
    window = RateWindow(quota, seconds, burst)
    left = 0
    while window.opens_at(5.0) <= 5.0:
        window.take(5.0)
        left += 1
    assert burst - 1 <= left <= burst  # one may be lost to the rounding of floats


@given(quota=quotas, seconds=lengths, burst=st.integers(1, 60), start=starts, steps=steps)
def test_a_call_may_leave_at_its_announced_time(quota, seconds, burst, start, steps):
    window = RateWindow(quota, seconds, burst)
    calls_let_through(window, start, steps)
    opens_at = window.opens_at(start)
    assert window.opens_at(max(start, opens_at)) <= max(start, opens_at)


@given(quota=quotas, seconds=lengths, burst=st.integers(1, 60), start=starts, steps=steps)
def test_no_call_waits_longer_than_a_window(quota, seconds, burst, start, steps):
    window = RateWindow(quota, seconds, burst)
    times = calls_let_through(window, start, steps)
    now = times[-1] if times else start
    assert window.opens_at(now) - now <= seconds * (1 + 1e-6)


def test_a_fresh_window_is_open():
    assert RateWindow(10, 60, burst=1).opens_at(0.0) == -math.inf


def test_a_quota_of_nothing_still_lets_one_call_through_a_window():
    """A header may show 0; a run that could never send again would hang without a message."""
    window = RateWindow(0, 60, burst=0)
    assert calls_let_through(window, 0.0, [AT_ONCE] * 3) == [0.0, 60.0, 120.0]


@given(left=st.integers(-50, 50), reset=st.floats(0.01, 1e5), start=starts)
def test_a_count_in_the_headers_decides_until_its_reset(left, reset, start):
    window = RateWindow(1000, 60, burst=1000)
    window.counted(left, reset, start)
    through = 0
    while window.opens_at(start) <= start:
        window.take(start)
        through += 1
    assert through == max(0, left)


def test_an_exhausted_window_opens_at_its_reset():
    window = RateWindow(1000, 60, burst=1000)
    window.counted(0, 12.0, 100.0)
    assert window.opens_at(111.9) == 112.0


def test_a_count_in_the_headers_overrides_the_spacing():
    window = RateWindow(60, 60, burst=1)
    window.take(100.0)
    window.counted(5, 30.0, 100.0)
    assert window.opens_at(100.0) <= 100.0


def test_after_the_reset_the_spacing_applies_again():
    window = RateWindow(60, 60, burst=1)
    window.counted(5, 30.0, 100.0)
    window.take(131.0)
    assert window.opens_at(131.0) == pytest.approx(132.0)


def test_the_newest_count_of_the_tenant_is_used():
    window = RateWindow(60, 60, burst=1)
    window.counted(0, 30.0, 100.0)
    window.counted(3, 29.0, 101.0)
    assert window.opens_at(101.0) <= 101.0


def test_the_minimum_remaining_calls_may_leave_regardless_of_the_spacing():
    window = RateWindow(10_000, 86_400, burst=1)
    window.take(100.0)
    window.counted_at_least(2)
    assert window.spare(100.0, 101.0) == 2
    for _ in range(2):
        assert window.opens_at(100.0) == 100.0
        window.take(100.0)
    assert window.opens_at(100.0) > 100.0


def test_a_counted_window_is_not_opened_by_another_window():
    window = RateWindow(1000, 60, burst=1000)
    window.counted(0, 12.0, 100.0)
    window.counted_at_least(500)
    assert window.opens_at(100.0) == 112.0


@pytest.mark.parametrize(
    ("until", "calls"),
    [(100.0, 5), (111.9, 5), (112.0, 65), (171.9, 65), (172.0, 125), (200.0, 125)],
)
def test_a_counted_window_spares_its_rest_and_the_following_windows(until, calls):
    window = RateWindow(60, 60, burst=1)
    window.counted(5, 12.0, 100.0)
    assert window.spare(100.0, until) == calls


def test_a_late_reset_spares_only_the_remaining_calls():
    window = RateWindow(60, 60, burst=1)
    window.counted(5, 300.0, 100.0)
    assert window.spare(100.0, 101.0) == 5


def test_an_exhausted_window_spares_nothing_until_its_reset():
    window = RateWindow(60, 60, burst=1)
    window.counted(-3, 12.0, 100.0)
    assert window.spare(100.0, 111.0) == 0


@pytest.mark.parametrize(("until", "calls"), [(100.0, 1), (100.9, 1), (101.0, 2), (109.5, 10)])
def test_a_spaced_window_spares_as_many_calls_as_it_allows(until, calls):
    window = RateWindow(60, 60, burst=1)
    assert window.spare(100.0, until) == calls


def test_calls_that_left_are_spared_no_more():
    window = RateWindow(60, 60, burst=1)
    for _ in range(3):
        window.take(100.0)
    assert (window.spare(100.0, 101.0), window.spare(100.0, 105.0)) == (0, 3)


def test_a_burst_is_spared_too():
    assert RateWindow(100, 100, burst=51).spare(0.0, 0.0) == 51


def test_after_the_reset_of_a_window_the_spacing_limits_the_spare_calls():
    window = RateWindow(60, 60, burst=1)
    window.counted(40, 10.0, 100.0)
    assert window.spare(110.0, 110.0) == 1


def test_a_call_at_the_reset_counts_in_the_next_window():
    window = RateWindow(10, 60, burst=1)
    window.counted(0, 30.0, 0.0)
    window.take(30.0)
    assert window.opens_at(30.0) == pytest.approx(36.0)


def test_the_remaining_count_is_dropped_at_the_reset():
    window = RateWindow(10, 60, burst=1)
    window.take(28.0)
    window.counted(5, 2.0, 28.0)
    assert window.opens_at(30.0) == pytest.approx(34.0)


RETRY = 60.0


def an_hour(left: int = 0, reset: float = 3600.0, *, refused: bool = False) -> RateWindow:
    """A window of an hour whose limit only headers state, with the tenant's count at time 0."""
    window = RateWindow(1000, 3600, burst=500, retry_after=RETRY)
    window.counted(left, reset, 0.0, refused=refused)
    return window


@pytest.mark.parametrize("reset", [3600.0, 86_400.0, 1e12])
def test_a_reset_beyond_the_window_counts_as_its_length(reset):
    window = RateWindow(10, 60, burst=1)
    window.counted(0, reset, 100.0, refused=True)
    assert window.opens_at(100.0) == 160.0


def test_after_an_unconfirmed_count_of_zero_one_call_probes():
    assert an_hour().opens_at(0.0) == RETRY


def test_a_repeated_count_of_zero_does_not_move_the_next_probe():
    window = an_hour()
    window.counted(0, 3590.0, 10.0)
    assert window.opens_at(10.0) == RETRY


def test_a_refused_call_confirms_a_count_of_zero():
    window = an_hour()
    window.take(RETRY)
    window.counted(0, 3500.0, RETRY, refused=True)
    assert window.opens_at(RETRY) == RETRY + 3500


def test_a_call_accepted_against_the_count_shows_that_the_count_is_wrong():
    window = an_hour()
    window.take(RETRY)
    window.counted(0, 3500.0, RETRY)
    assert window.opens_at(RETRY) <= RETRY


def test_a_positive_count_is_used_again_after_a_wrong_count():
    window = an_hour()
    window.take(RETRY)
    window.counted(0, 3500.0, RETRY)
    window.counted(1, 3400.0, RETRY)
    window.take(RETRY)
    assert window.opens_at(RETRY) == 2 * RETRY


def test_only_one_call_probes_at_a_time():
    window = an_hour()
    window.take(RETRY)
    assert window.opens_at(RETRY) == 2 * RETRY


def test_an_impossibly_small_quota_delays_no_call_for_long():
    window = RateWindow(1, 86_400, burst=1, retry_after=RETRY)
    window.take(0.0)
    assert window.opens_at(0.0) == RETRY
