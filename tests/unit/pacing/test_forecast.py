"""The forecast: calls of a run, the calls that the windows allow, and the time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model import Limits, Window
from orchestrator.pacing.forecast import Calls, Quota, forecast, keys_within, polls_per_key, quotas
from orchestrator.settings import Rate

MINUTE, HOUR, DAY = Window(2_500, 60), Window(5_000, 3_600), Window(10_000, 86_400)


def sandbox(remaining: int | None, reset: float | None = 1_200.0) -> Limits:
    """An API sandbox, of which the hour is nearest to exhaustion."""
    return Limits(windows=(DAY, MINUTE, HOUR), nearest=5_000, remaining=remaining, reset=reset)


def seconds(calls: Calls, *windows: Quota, slots: int = 10, rate: Rate | None = None) -> tuple[float, float]:
    """Until the last stop, and until every key is completed."""
    ahead = forecast(
        calls, windows, slots=slots, call_seconds=0.1, headroom=0.0, rate=rate, stopping_seconds=5.0
    )
    return ahead.last_stop, ahead.completed


@pytest.mark.parametrize(
    ("longest", "polls"),
    [(0.25, 1.0), (0.5, 1.5), (1.0, 1.0 + 0.75 + 0.25), (2.0, 1.0 + 0.875 + 0.625 + 0.225)],
)
def test_the_forecast_polls_as_often_as_a_journey(longest: float, polls: float):
    """Polls are due after 0.25, 0.75, 1.55 and 2.83 seconds. A second one is needed if the action stops later."""
    assert polls_per_key(0.25, 0.5, 15.0, 1.6, round_trip=0.0, longest=longest) == pytest.approx(polls)


def test_actions_that_stop_while_other_stops_are_sent_are_polled_once():
    assert polls_per_key(0.25, 0.5, 15.0, 1.6, round_trip=0.1, others=3.0, longest=2.0) == 1.0


def test_every_window_in_the_headers_is_a_quota_and_the_shortest_is_first():
    assert [quota.seconds for quota in quotas(sandbox(1_000))] == [60, 3_600, 86_400]


def test_the_remaining_count_of_the_nearest_window_is_the_one_in_the_header():
    (hour,) = [quota for quota in quotas(sandbox(1_000)) if quota.reported]
    assert (hour.calls, hour.left, hour.resets_in) == (5_000, 1_000, 1_200.0)


def test_no_other_window_was_used_by_a_larger_share():
    assert [quota.left for quota in quotas(sandbox(1_000)) if not quota.reported] == [500, 2_000]


def test_without_a_remaining_count_no_use_is_assumed():
    assert [(quota.left, quota.reported) for quota in quotas(sandbox(None))] == [
        (2_500, False),
        (5_000, False),
        (10_000, False),
    ]


def test_a_window_without_a_reset_is_assumed_to_have_just_begun():
    assert quotas(sandbox(1_000, reset=None)) == (
        Quota(2_500, 60, 500, 60.0, reported=False),
        Quota(5_000, 3_600, 1_000, 3_600.0, reported=True),
        Quota(10_000, 86_400, 2_000, 86_400.0, reported=False),
    )


def test_windows_without_a_count_are_assumed_to_have_just_begun():
    assert quotas(sandbox(None)) == (
        Quota(2_500, 60, 2_500, 60.0, reported=False),
        Quota(5_000, 3_600, 5_000, 3_600.0, reported=False),
        Quota(10_000, 86_400, 10_000, 86_400.0, reported=False),
    )


def test_no_more_is_left_of_a_window_than_it_holds():
    """A header may show a higher remaining count than the quota."""
    assert [quota.left for quota in quotas(sandbox(6_000)) if not quota.reported] == [2_500, 10_000]


def test_a_tenant_without_windows_has_no_quota():
    assert quotas(Limits(concurrency=40)) == ()


def test_without_quotas_the_slots_determine_the_time():
    assert seconds(Calls(stop=100, status=100, file=50)) == (1.0, 6.0)


def test_settling_takes_all_calls_where_they_take_longer_than_an_action_takes_to_stop():
    assert seconds(Calls(stop=100, status=900, file=0))[1] == 10.0


def test_the_operators_own_rate_counts():
    assert seconds(Calls(stop=100, status=0, file=0), rate=Rate(60, 60))[0] == 100.0


def test_calls_beyond_a_window_wait_for_its_reset():
    window = Quota(calls=100, seconds=60, left=40, resets_in=20.0, reported=True)
    assert seconds(Calls(stop=41, status=0, file=0), window)[0] == 20.0


def test_each_further_window_allows_as_many_calls_again():
    window = Quota(calls=100, seconds=60, left=40, resets_in=20.0, reported=True)
    assert seconds(Calls(stop=141, status=0, file=0), window)[0] == 80.0


@pytest.mark.parametrize(("stops", "wait"), [(49, 20.0), (50, 20.0), (51, 3_620.0), (75, 3_620.0)])
def test_a_reset_window_allows_its_calls_less_the_headroom(stops: int, wait: float):
    empty = Quota(calls=100, seconds=3_600, left=0, resets_in=20.0, reported=True)
    ahead = forecast(Calls(stops, 0, 0), (empty,), slots=1, call_seconds=0.0, headroom=0.5)
    assert ahead.last_stop == wait


def test_a_quota_of_one_call_gives_one_call_a_window():
    window = Quota(calls=1, seconds=10, left=0, resets_in=5.0, reported=True)
    assert seconds(Calls(stop=3, status=0, file=0), window)[0] == 25.0


def test_calls_that_a_window_just_allows_do_not_wait():
    hour = Quota(calls=100, seconds=3_600, left=10, resets_in=20.0, reported=True)
    assert seconds(Calls(stop=10, status=0, file=0), hour)[0] == 0.1


def test_the_first_call_waits_for_an_empty_window():
    hour = Quota(calls=100, seconds=3_600, left=0, resets_in=0.5, reported=True)
    ahead = forecast(Calls(1, 0, 0), (hour,), slots=1, call_seconds=0.1, headroom=0.0)
    assert (ahead.last_stop, ahead.short) == (0.5, (hour,))


def test_a_forecast_names_the_number_of_calls():
    calls = Calls(3, 2, 1)
    assert forecast(calls, (), slots=1, call_seconds=0.1, headroom=0.0).calls == calls


def test_a_window_too_small_for_the_run_is_named():
    short = Quota(calls=100, seconds=3_600, left=40, resets_in=20.0, reported=True)
    wide = Quota(calls=1_000, seconds=86_400, left=1_000, resets_in=20.0, reported=False)
    ahead = forecast(Calls(30, 30, 0), (short, wide), slots=1, call_seconds=0.1, headroom=0.0)
    assert ahead.short == (short,)


def test_headroom_is_held_back_in_windows_of_minutes_only():
    minute = Quota(calls=100, seconds=60, left=100, resets_in=60.0, reported=True)
    hour = Quota(calls=100, seconds=3_600, left=100, resets_in=60.0, reported=True)
    ahead = forecast(Calls(95, 0, 0), (minute, hour), slots=1, call_seconds=0.0, headroom=0.1)
    assert ahead.short == (minute,)


def test_the_narrowest_quota_limits_the_number_of_keys():
    assert keys_within(quotas(sandbox(1_000)), 5.0, 0.0) == 100


def test_without_a_quota_the_number_of_keys_is_unknown():
    assert keys_within((), 5.0, 0.1) is None


@given(
    stops=st.integers(0, 10_000),
    more=st.integers(0, 10_000),
    left=st.integers(0, 5_000),
    quota=st.integers(1, 5_000),
    reset=st.floats(0, 3_600),
    slots=st.integers(1, 100),
)
def test_more_calls_never_take_less_time(
    stops: int, more: int, left: int, quota: int, reset: float, slots: int
):
    window = Quota(quota, 3_600, min(left, quota), reset, reported=True)
    few = seconds(Calls(stops, 0, 0), window, slots=slots)
    many = seconds(Calls(stops + more, 0, 0), window, slots=slots)
    assert few[0] <= many[0]
    assert few[1] <= many[1]
    assert few[0] <= few[1]
