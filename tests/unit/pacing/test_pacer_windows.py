"""One tenant's windows: what the tenant permits, counts and refuses, and the operator's own rate."""

import pytest

from orchestrator.model import Limits, Window
from orchestrator.settings import Rate
from tests.unit.pacing.pacers import DAY, HOUR, MINUTE, a_pacer, answer, busiest, let_through, sent_within


@pytest.mark.parametrize("rate", [Rate(1, 60), Rate(2, 60), Rate(600, 60), Rate(10, 1), Rate(100, 1)])
def test_the_operators_own_rate_is_never_passed(rate):
    times = sent_within(a_pacer(rate=rate), 3 * rate.seconds)
    assert busiest(times, rate.seconds) <= rate.calls


@pytest.mark.parametrize(
    "rate", [Rate(1, 60), Rate(2, 60), Rate(600, 60), Rate(1, 1), Rate(10, 1), Rate(100, 1), Rate(5000, 3600)]
)
def test_the_operators_own_rate_is_used(rate):
    """--rate 10/s must not become one call every two seconds."""
    times = sent_within(a_pacer(rate=rate), 10 * rate.seconds)
    assert len(times) >= 0.9 * 10 * rate.calls


def test_own_rate_and_tenant_windows_hold_together():
    pacer = a_pacer(rate=Rate(120, 60))
    pacer.answered(answer(Limits(windows=(Window(1000, 60), Window(300, 3600)))), 0.0)
    times = sent_within(pacer, 2 * 3600)
    assert busiest(times, 60) <= 120
    assert busiest(times, 3600) <= 300


@pytest.mark.parametrize(("headroom", "quota"), [(0.0, 100), (0.1, 90), (0.3, 70)])
def test_headroom_is_kept_of_each_window(headroom, quota):
    pacer = a_pacer(headroom)
    pacer.answered(answer(Limits(windows=(Window(100, 60),))), 0.0)
    assert busiest(sent_within(pacer, 180), 60) <= quota


def test_repeated_headers_do_not_restart_the_windows():
    pacer = a_pacer()
    repeated = answer(Limits(windows=(Window(100, 60),)))
    sent = 0
    for _ in range(10):
        pacer.answered(repeated, 0.0)
        sent += let_through(pacer, 0.0)
    assert sent <= 100


def test_a_changed_window_keeps_the_counts_of_the_others():
    """A header whose hour changes on every answer must not give the minute a burst each time."""
    pacer = a_pacer()
    sent = 0
    for number in range(10):
        pacer.answered(answer(Limits(windows=(Window(100, 60), Window(10_000 + number, 3600)))), 0.0)
        sent += let_through(pacer, 0.0)
    assert sent <= 100


def test_the_count_of_the_nearest_window_in_the_headers_is_used():
    pacer = a_pacer()
    pacer.answered(answer(Limits((MINUTE, HOUR, DAY), nearest=50_000, remaining=7, reset=30.0)), 0.0)
    assert let_through(pacer, 1.0) == 7


def test_an_exhausted_window_holds_until_it_resets():
    pacer = a_pacer()
    pacer.answered(answer(Limits((MINUTE, HOUR, DAY), nearest=50_000, remaining=0, reset=30.0)), 0.0)
    assert pacer.opens_at(1.0) == 30.0


def test_calls_in_flight_are_not_yet_in_the_count_of_the_tenant():
    pacer = a_pacer()
    calls = [pacer.take(0.0) for _ in range(5)]
    pacer.answered(answer(Limits((MINUTE,), nearest=50_000, remaining=7, reset=30.0)), 0.0)
    pacer.release(calls[0])
    assert let_through(pacer, 1.0) == 2


def test_headroom_is_kept_of_the_count_of_a_minute():
    pacer = a_pacer(0.1)
    limits = Limits((MINUTE,), nearest=50_000, remaining=5_004, reset=30.0)
    pacer.answered(answer(limits), 0.0)
    assert let_through(pacer, 1.0) == 4


def test_headroom_is_not_kept_of_the_count_of_an_hour():
    """An action left running for an hour costs more than the headroom is worth."""
    pacer = a_pacer(0.1)
    pacer.answered(answer(Limits((HOUR,), nearest=2_250_000, remaining=50, reset=1800.0)), 0.0)
    assert let_through(pacer, 1.0) == 50


def test_a_count_of_an_unknown_window_changes_nothing():
    pacer = a_pacer()
    pacer.answered(answer(Limits((MINUTE,), nearest=77, remaining=0, reset=30.0)), 0.0)
    assert let_through(pacer, 1.0, most=10) == 10


def test_a_count_alone_changes_nothing():
    pacer = a_pacer()
    pacer.answered(answer(Limits(nearest=50_000, remaining=0, reset=30.0)), 0.0)
    assert let_through(pacer, 1.0, most=10) == 10


def test_an_answer_without_windows_keeps_those_known():
    """Any header may be missing, often on a 500."""
    pacer = a_pacer()
    pacer.answered(answer(Limits(windows=(Window(100, 60),))), 0.0)
    pacer.answered(answer(), 0.0)
    assert busiest(sent_within(pacer, 180), 60) <= 100


def test_without_a_window_any_number_of_calls_is_spare():
    assert a_pacer().spare(0.0, 1.0) == float("inf")


def test_the_narrowest_window_or_own_rate_limits_the_spare_calls():
    pacer = a_pacer(rate=Rate(10, 10))
    assert pacer.spare(0.0, 0.0) == 1
    pacer.answered(answer(Limits(windows=(MINUTE, HOUR), nearest=MINUTE.quota, remaining=0, reset=30.0)), 0.0)
    assert pacer.spare(0.0, 1.0) == 0


def test_calls_at_an_own_rate_without_burst_are_spaced_evenly():
    pacer = a_pacer(rate=Rate(100, 60))
    pacer.release(pacer.take(0.0))
    assert pacer.opens_at(0.0) == pytest.approx(0.6)


@pytest.mark.parametrize(("remaining", "in_flight", "calls"), [(80, 0, 8), (80, 2, 6), (200, 0, 10)])
def test_an_uncounted_window_was_used_no_more_than_the_nearest(remaining, in_flight, calls):
    """Ours under way may not be in the count yet; and no window holds more than its quota."""
    pacer = a_pacer()
    for _ in range(in_flight):
        pacer.take(0.0)
    windows = (Window(10, 60), Window(100, 3_600))
    pacer.answered(answer(Limits(windows=windows, nearest=100, remaining=remaining, reset=1_800.0)), 0.0)
    assert let_through(pacer, 0.0) == calls


@pytest.mark.parametrize(("quota", "at_once", "next_at"), [(1, 1, 60.0), (2, 1, 30.0), (9, 4, 10.0)])
def test_half_a_window_may_leave_at_once_and_the_rest_evenly(quota, at_once, next_at):
    pacer = a_pacer()
    pacer.answered(answer(Limits(windows=(Window(quota, 60),))), 0.0)
    assert let_through(pacer, 0.0) == at_once
    assert pacer.opens_at(0.0) == pytest.approx(next_at)


@pytest.mark.parametrize(("remaining", "reset"), [(0, None), (None, 30.0), (None, None)])
def test_a_count_that_lacks_a_part_changes_nothing(remaining, reset):
    pacer = a_pacer()
    limits = Limits(windows=(MINUTE,), nearest=MINUTE.quota, remaining=remaining, reset=reset)
    pacer.answered(answer(limits), 0.0)
    assert let_through(pacer, 0.0, most=10) == 10


def test_a_window_that_is_used_up_is_closed_until_its_reset():
    pacer = a_pacer()
    pacer.answered(answer(Limits((MINUTE,), MINUTE.quota, remaining=0, reset=30.0)), 5.0)
    assert pacer.closed_until == 35.0


def test_a_window_with_calls_left_again_is_not_closed():
    pacer = a_pacer()
    pacer.answered(answer(Limits((MINUTE,), MINUTE.quota, remaining=0, reset=30.0)), 5.0)
    pacer.answered(answer(Limits((MINUTE,), MINUTE.quota, remaining=9, reset=29.0)), 6.0)
    assert pacer.closed_until == float("-inf")


def test_nothing_left_for_a_day_on_a_good_answer_delays_the_next_call_by_a_minute():
    pacer = a_pacer()
    pacer.answered(answer(Limits((DAY,), DAY.quota, remaining=0, reset=86_400.0)), 0.0)
    assert pacer.opens_at(0.0) == 60.0


def test_nothing_left_for_a_day_on_a_refused_call_is_honoured():
    pacer = a_pacer()
    pacer.answered(answer(Limits((DAY,), DAY.quota, remaining=0, reset=80_000.0), throttled=True), 0.0)
    assert pacer.opens_at(0.0) == 80_000.0
