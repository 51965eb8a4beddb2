"""The load of others, estimated from counts that are late, capped or wrong."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.pacing.others import NO_OTHERS, NO_OTHERS_ANY_MORE, REFRESH, STEP, WRONG, OthersLoad


def counted(counts: list[int], *, ours: int = 20, permitted: int = 40) -> OthersLoad:
    """The load after one fresh count a second, with so many of others in flight."""
    load = OthersLoad()
    for second, count in enumerate(counts):
        load.seen(second * 3.0, ours, permitted, permitted - ours - count)
    return load


def mean(load: OthersLoad) -> float:
    assert load.mean is not None
    return load.mean


def test_before_the_first_count_nothing_is_known():
    assert (OthersLoad().mean, OthersLoad().loads) == (None, [])


@given(st.lists(st.integers(0, 20), min_size=1, max_size=30))
def test_the_probabilities_sum_to_one(counts):
    assert sum(share for share, _ in counted(counts).loads) == pytest.approx(1.0)


@pytest.mark.parametrize("count", [1, 4, 9, 15])
def test_a_steady_count_is_the_load(count):
    """The same count again and again is no random load's way, but its mean is plain."""
    assert mean(counted([count] * 20)) == pytest.approx(count, rel=0.15)


def test_an_idle_tenant_differs_from_a_busy_one():
    assert mean(counted([0] * 10)) < 0.1


@pytest.mark.parametrize("load", [3.0, 9.0, 14.0])
def test_a_random_load_is_found(load):
    dice = Random(1)
    counts = [sum(dice.random() < load / 1000 for _ in range(1000)) for _ in range(60)]
    assert mean(counted([min(count, 20) for count in counts])) == pytest.approx(load, rel=0.25)


def test_a_repeated_count_counts_once():
    load = OthersLoad()
    assert load.seen(0.0, 20, 40, 11)
    assert load.seen(1.0, 20, 40, 9)
    before = load.loads
    assert not load.seen(1.5, 20, 40, 9)
    assert load.loads == before


def test_an_unchanged_count_counts_again_after_its_lifetime():
    load = OthersLoad()
    load.seen(0.0, 20, 40, 11)
    assert not load.seen(2.9 * REFRESH, 20, 40, 11)
    assert load.seen(3.0 * REFRESH, 20, 40, 11)


def test_an_unchanged_count_while_our_calls_change_is_stale():
    load = OthersLoad()
    load.seen(0.0, 36, 40, 4)
    assert not load.seen(10.0, 5, 40, 4)


def test_different_counts_in_one_moment_come_from_several_machines():
    load = OthersLoad()
    for second, remaining in enumerate((11, 9)):
        load.seen(float(second), 20, 40, remaining)
    assert not load.seen(1.49, 20, 40, 11)
    assert load.seen(1.5, 20, 40, 11)


def test_the_second_count_may_follow_the_first_at_once():
    """The first may be older than our first call."""
    load = OthersLoad()
    load.seen(0.0, 10, 40, 31)
    assert load.seen(0.01, 10, 40, 21)


def test_the_first_count_is_not_extrapolated():
    first = OthersLoad()
    first.seen(0.0, 10, 40, 0)
    first.seen(1.0, 10, 40, 30)
    other = OthersLoad()
    other.seen(0.0, 10, 40, 30)
    other.seen(1.0, 10, 40, 29)
    other.seen(1.0, 10, 40, 29)
    assert mean(first) < 2


def test_our_own_calls_do_not_count_as_others():
    load = OthersLoad()
    for second in range(10):
        load.seen(second * 3.0, 30, 40, 10)
    assert mean(load) < 0.5


def test_calls_that_left_since_the_answer_before_may_not_be_in_the_count():
    """Ten in flight and 31 free: our first calls came after the count, and nine are others'."""
    load = OthersLoad()
    load.seen(0.0, 10, 40, 31)
    assert mean(load) == pytest.approx(9, abs=3)


def test_others_that_use_every_slot_may_want_more():
    """Eight others in eight slots say "eight at least"; eight in twenty say "eight"."""
    full, roomy = counted([8] * 10, ours=32), counted([8] * 10, ours=20)
    assert mean(full) > mean(roomy) + 2


def test_a_rising_load_is_detected_within_three_counts():
    assert mean(counted([3] * 20 + [18] * 3)) > 13


def test_a_falling_load_is_detected_within_three_counts():
    assert mean(counted([15] * 20 + [3] * 3)) < 7


def none_after(*moments: float) -> float:
    """The probability of no other traffic after counts without information: all slots were ours."""
    load = OthersLoad()
    for moment in moments:
        load.seen(moment, 40, 40, 0)
    (share, mean_of_others), *_ = load.loads
    assert mean_of_others == 0
    return share


def test_counts_without_information_keep_the_estimate():
    assert none_after(0.0, 10.0) == pytest.approx(NO_OTHERS)


def test_after_a_long_time_a_busy_tenant_seldom_turns_idle():
    assert none_after(0.0, 10.0, 1e9) == pytest.approx(NO_OTHERS_ANY_MORE)


@pytest.mark.parametrize("first", [0, 15, 39])
def test_the_second_count_does_not_depend_on_the_first(first):
    load, other = OthersLoad(), OthersLoad()
    load.seen(0.0, 10, 40, first)
    other.seen(0.0, 10, 40, 20)
    for each in (load, other):
        each.seen(1.0, 10, 40, 29)
    assert mean(load) == mean(other)


def test_later_counts_add_to_the_earlier_ones():
    assert mean(counted([5, 15, 9])) > mean(counted([5, 3, 9])) + 0.1


def test_our_completed_calls_are_not_in_the_count():
    load = OthersLoad()
    load.seen(0.0, 30, 40, 10)
    load.seen(3.0, 5, 40, 20)
    assert mean(load) > 5


def test_after_an_hour_the_earlier_estimate_is_dropped():
    few, many = counted([1] * 20), counted([18] * 20)
    for load in (few, many):
        load.seen(3_600.0, 20, 40, 40 - 20 - 6)
    assert mean(few) == pytest.approx(mean(many))


@pytest.mark.parametrize("nonsense", [0, 20])
def test_the_next_count_replaces_a_nonsense_count(nonsense):
    assert mean(counted([9] * 20 + [nonsense, 9])) == pytest.approx(9, abs=2)


def test_a_higher_limit_allows_higher_loads():
    load = counted([5] * 3)
    for second in range(10, 20):
        load.seen(second * 3.0, 20, 200, 80)
    assert mean(load) == pytest.approx(100, rel=0.1)


def test_a_higher_limit_restarts_the_estimate():
    load, other = counted([5] * 10), OthersLoad()
    other.seen(0.0, 20, 80, 33)
    for each in (load, other):
        each.seen(60.0, 20, 80, 50)
        each.seen(63.0, 20, 80, 40)
    assert mean(load) == mean(other)


def chance(count: int, load: float, room: int) -> float:
    """The probability of ``count`` others' calls, by definition: Poisson's distribution, cut off at their slots."""
    if not load:
        return float(count == 0)
    terms = [math.exp(k * math.log(load) - load - math.lgamma(k + 1)) for k in range(room + 1)]
    return terms[count] / sum(terms)


@pytest.mark.parametrize("before", [[], [1]], ids=["the first", "one that follows a call alone"])
@pytest.mark.parametrize(("permitted", "taken"), [(40, 5), (40, 40), (130, 111), (130, 2)])
def test_a_count_with_one_call_of_ours_in_it_is_weighed_by_bayes_rule(before, permitted, taken):
    """Used slots less our one are others', in the slots that our one leaves; one count in ``1 / WRONG`` is noise."""
    blank = OthersLoad()
    for moment in (0.0, 10.0):
        blank.seen(moment, permitted, permitted, 0)  # all slots are ours: no information
    load = OthersLoad()
    for in_flight in before:
        load.seen(0.0, in_flight, permitted, permitted - 1)
    load.seen(1.0, 10, permitted, permitted - taken)
    likely = [
        share * ((1 - WRONG) * chance(taken - 1, each, permitted - 1) + WRONG / permitted)
        for share, each in blank.loads
    ]
    assert [share for share, _ in load.loads] == pytest.approx(
        [one / sum(likely) for one in likely], rel=1e-9
    )


def test_loads_are_distinguished_up_to_the_limit():
    assert 40 <= counted([5]).loads[-1][1] < 40 * STEP


@given(st.integers(1, 500), st.integers(0, 500), st.integers(0, 256), st.floats(0, 1e6))
def test_the_mean_is_a_number_for_any_header(permitted, remaining, in_flight, now):
    load = OthersLoad()
    for moment in range(4):
        load.seen(now + moment, in_flight + moment, permitted, min(remaining, permitted))
    assert 0 <= mean(load) < math.inf
