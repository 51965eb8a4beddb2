"""The limit of a tenant without headers: found by its refusals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.pacing.search import CUT, LATEST_PROBE, QUICKENING, REST, SOONEST_PROBE, START, Search

TRIP = 0.25
"""Seconds that one call takes."""


def trip(search: Search, now: float, most: int = 100) -> None:
    """As many accepted calls as there are slots."""
    for _ in range(search.limit):
        search.accepted(now, search.limit, most)


def limits(search: Search, trips: int, start: float = 0.0, most: int = 100) -> list[int]:
    """The limit after each of so many round trips."""
    found = []
    for number in range(trips):
        trip(search, start + number * TRIP, most)
        found.append(search.limit)
    return found


def refused(at: int, now: float = 10.0) -> Search:
    search = Search(at)
    search.refused(now, TRIP, at)
    return search


def test_each_round_trip_first_adds_a_slot():
    assert limits(Search(10), QUICKENING - 1) == [11, 12]


def test_the_limit_rises_faster_the_longer_nothing_is_refused():
    found = [10, *limits(Search(10), 12)]
    assert found[3] - found[0] == 3
    assert found[6] - found[3] in (4, 5, 6)
    assert found[12] - found[9] >= 9


def test_the_limit_rises_no_higher_than_useful():
    assert max(limits(Search(10), 50, most=17)) == 17


def test_after_a_pause_the_limit_rises_no_higher_than_useful():
    search = Search(10)
    limits(search, 60, most=10_000)
    search.restart()
    assert max(limits(search, 3, start=100.0, most=START + 1)) == START + 1


def test_an_unused_slot_proves_nothing():
    search = Search(10)
    for _ in range(100):
        search.accepted(0.0, 9, 100)
    assert search.limit == 10


def test_a_refusal_reduces_the_limit_by_its_share():
    assert refused(20).limit == int(20 * CUT)


def test_calls_that_left_before_a_cut_count_as_one_refusal():
    search = Search(40)
    lowered = [search.refused(10.0 + n * TRIP / 40, TRIP, 40) for n in range(40)]
    assert (lowered, search.limit) == ([True] + [False] * 39, int(40 * CUT))


def test_a_call_that_left_after_the_cut_cuts_again():
    search = refused(40)
    assert not search.refused(10.0 + TRIP, TRIP, 28)
    assert search.refused(10.0 + TRIP + 0.01, TRIP, 28)
    assert search.limit == int(28 * CUT)


def test_a_refusal_cuts_the_calls_in_flight():
    search = Search(40)
    search.refused(10.0, TRIP, 12)
    assert search.limit == int(12 * CUT)


def test_one_slot_remains_after_any_number_of_refusals():
    search = Search(40)
    for n in range(50):
        search.refused(float(n), TRIP, search.limit)
    assert search.limit == 1


def test_after_a_refused_single_call_two_are_tried_once_one_is_accepted():
    search = Search(1)
    search.refused(10.0, TRIP, 1)
    search.accepted(10.0 + TRIP, 1, 100)
    assert search.limit == 2


def test_after_a_pause_the_limit_rises_as_fast_as_before():
    slow, fast = Search(START), Search(START)
    limits(fast, 30, most=START + 30)
    fast.restart()
    assert limits(fast, 2, start=100.0)[-1] > limits(slow, 2, start=100.0)[-1]


def test_the_limit_returns_to_just_below_the_refusal_and_rests_there():
    search = refused(20)
    assert limits(search, 7, start=10.0)[-4:] == [int(20 * REST)] * 4


@pytest.mark.parametrize("at", range(2, 41))
def test_the_limit_rests_at_a_share_of_the_refused_number(at):
    assert limits(refused(at), 7, start=10.0)[-1] == max(1, int(at * REST + 1e-9))


def test_the_limit_rests_until_the_next_probe():
    search = refused(20)
    limits(search, 4, start=10.0)
    assert limits(search, 1, start=10.0 + 3 * TRIP + SOONEST_PROBE - 0.01) == [17]
    assert limits(search, 1, start=10.0 + 3 * TRIP + SOONEST_PROBE) == [18]


def probed_after(search: Search, now: float) -> float:
    """Seconds of rest until it tries more than where it rests."""
    limits(search, 10, start=now)
    resting, began = search.limit, now
    while search.limit == resting:
        now += TRIP
        trip(search, now)
    return now - began


def test_repeated_refusals_make_probes_rarer():
    search, now, waits = Search(20), 0.0, []
    for _ in range(7):
        search.refused(now, 0.0, 20)
        search._refused_at = 20.0
        waits.append(probed_after(search, now))
        now += 1_000
    assert waits[1] > 1.5 * waits[0]
    assert waits[-1] == pytest.approx(LATEST_PROBE, abs=4)


@pytest.mark.parametrize(("at", "longer"), [(18, 1), (19, 2), (20, 2), (21, 2), (22, 1)])
def test_a_refusal_within_a_slot_of_the_last_doubles_the_rest(at, longer):
    search = Search(40)
    search.refused(0.0, TRIP, 20)
    search._target = 40.0
    search.refused(1_000.0, TRIP, at)
    assert search._probe_in == longer * SOONEST_PROBE


def test_a_successful_probe_lets_the_limit_rise():
    search = refused(20)
    assert limits(search, 40, start=100.0)[-1] > 25


@pytest.mark.parametrize(("at", "reached", "forgotten"), [(19, 19, False), (19, 20, True), (1, 2, True)])
def test_one_slot_more_than_refused_clears_the_refusal(at, reached, forgotten):
    search = refused(at)
    now = 10.0
    while search.limit < reached:
        now += TRIP
        search.accepted(now, search.limit, 100)
    search.jump(90)
    assert (search.limit == 90) == forgotten


def test_the_limit_jumps_to_the_limit_of_the_tenant():
    search = Search(START)
    search.jump(36)
    assert search.limit == 36


def test_the_limit_of_the_tenant_does_not_lower_the_limit():
    search = Search(30)
    search.jump(20)
    assert search.limit == 30


def test_a_refusal_counts_beside_the_limit_of_the_tenant():
    search = refused(20)
    search.jump(20)
    assert search.limit == int(20 * REST)


def test_a_refusal_counts_less_with_each_limit_of_the_tenant():
    search, found = refused(20), []
    for _ in range(12):
        search.jump(36)
        found.append(search.limit)
    assert found == sorted(found)
    assert (found[0], found[1], found[-1]) == (19, 21, 29)


@pytest.mark.parametrize("limit", [8, 36])
def test_a_new_limit_of_the_tenant_is_the_start(limit):
    search = refused(20)
    search.begin(limit, 11.0)
    assert search.limit == limit


def test_a_new_limit_of_the_tenant_clears_refusals():
    search = refused(20)
    search.begin(10, 11.0)
    search.jump(36)
    assert search.limit == 36


def test_calls_from_before_the_new_limit_do_not_count():
    search = Search(36)
    search.begin(18, 11.0)
    assert not search.refused(11.0 + TRIP / 2, TRIP, 30)
    assert search.limit == 18


def test_after_a_pause_the_search_restarts():
    search = Search(36)
    search.restart()
    assert search.limit == START


def test_a_pause_raises_nothing():
    search = Search(3)
    search.restart()
    assert search.limit == 3


@given(st.lists(st.tuples(st.sampled_from(["yes", "no", "jump", "restart", "begin"]), st.floats(0, 5))))
def test_the_limit_is_between_one_and_the_useful_maximum(steps):
    search, now = Search(10), 0.0
    for what, seconds in steps:
        now += seconds
        match what:
            case "yes":
                trip(search, now, most=36)
            case "no":
                search.refused(now, 0.1, search.limit)
            case "jump":
                search.jump(36)
            case "restart":
                search.restart()
            case "begin":
                search.begin(30, now)
        assert 1 <= search.limit <= 37
