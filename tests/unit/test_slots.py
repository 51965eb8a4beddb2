"""How many calls may be in flight: the tenant's word, headroom, others' use, and what follows a refusal."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.pacing.erlang import servers_for
from orchestrator.pacing.slots import CUT, MOST_SLOTS, NEAR, PROBE, TenantSlots

TRIP = 0.3
"""Seconds that one call takes."""


def a_round_trip(slots: TenantSlots, now: float, permitted: int | None = None) -> float:
    """As many answers as calls were in flight, one after the other; gives the time of the last."""
    in_flight = slots.limit
    for _ in range(in_flight):
        now += TRIP / in_flight
        slots.answered(now, in_flight, permitted, None)
    return now


def trips_until(slots: TenantSlots, limit: int, now: float) -> int:
    """Round trips without a refusal until the limit is ``limit``."""
    for trips in range(10_000):
        if slots.limit >= limit:
            return trips
        now = a_round_trip(slots, now)
    raise AssertionError(f"never reached {limit}, but {slots.limit}")


def after_a_refusal(headroom: float = 0.1) -> TenantSlots:
    slots = TenantSlots(headroom)
    slots.answered(10.0, 1, None, None)
    slots.throttled(10.0, TRIP)
    return slots


# ------------------------------------------------------------------------------------------ what is permitted


@pytest.mark.parametrize(
    ("headroom", "limit"), [(0.0, 40), (0.1, 36), (0.25, 30), (0.3, 28), (0.5, 20), (0.8, 8), (0.95, 2)]
)
def test_headroom_leaves_its_share_of_the_usual_limit_to_others(headroom, limit):
    assert TenantSlots(headroom).limit == limit


@pytest.mark.parametrize(("permitted", "limit"), [(80, 72), (40, 36), (10, 9), (1, 1), (10**12, MOST_SLOTS)])
def test_the_tenants_own_number_replaces_the_usual_one(permitted, limit):
    slots = TenantSlots(0.1)
    slots.answered(0.0, 1, permitted, None)
    assert slots.limit == limit


@pytest.mark.parametrize("permitted", [0, -1])
def test_a_tenant_that_permits_nothing_is_not_believed(permitted):
    slots = TenantSlots(0.1)
    slots.answered(0.0, 1, permitted, 0)
    assert slots.limit == 36


def test_the_operators_own_limit_is_kept():
    assert TenantSlots(0.1, most=5).limit == 5


def test_the_operators_own_limit_is_kept_when_the_tenant_permits_more():
    slots = TenantSlots(0.1, most=5)
    slots.answered(0.0, 1, 80, 79)
    assert slots.limit == 5


def test_an_operator_may_go_beyond_the_usual_limit_once_the_tenant_permits_it():
    slots = TenantSlots(0.0, most=500)
    slots.answered(0.0, 1, 1000, None)
    assert slots.limit == 500


# ------------------------------------------------------------------------------------------ room for others


@pytest.mark.parametrize(
    ("load", "loss", "servers"),
    [(1.0, 0.05, 4), (5.0, 0.01, 11), (10.0, 0.05, 15), (20.0, 0.05, 26), (0.0, 0.05, 0), (10.0, 1.0, 0)],
)
def test_the_room_for_others_is_erlangs(load, loss, servers):
    """Figures of the printed tables of Erlang's formula."""
    assert servers_for(load, loss, 1000) == servers


@given(load=st.floats(0.1, 60), loss=st.floats(0.001, 0.5))
def test_the_room_for_others_is_just_enough(load, loss):
    """B(m) = (a^m / m!) / (sum of a^k / k!), from its definition."""

    def blocked(servers: int) -> float:
        terms = [math.exp(k * math.log(load) - math.lgamma(k + 1)) for k in range(servers + 1)]
        return terms[-1] / sum(terms)

    servers = servers_for(load, loss, 1000)
    assert blocked(servers) <= loss * (1 + 1e-9)
    assert blocked(servers - 1) > loss * (1 - 1e-9)


def test_the_room_for_others_is_bounded():
    assert servers_for(1e12, 0.05, 40) == 40


def test_what_others_use_and_room_for_their_ups_and_downs_is_left_to_them():
    slots = TenantSlots(0.1)
    slots.answered(0.0, 20, 40, 10)  # 30 in use, 20 of them ours; all but a twentieth of 10 need 15
    assert slots.limit == 25


def test_a_tenant_used_by_nobody_else_is_used_up_to_the_headroom():
    slots = TenantSlots(0.1)
    slots.answered(0.0, 20, 40, 20)
    assert slots.limit == 36


def test_more_headroom_leaves_more_room_to_others():
    limits = []
    for headroom in (0.0, 0.1, 0.2, 0.3):
        slots = TenantSlots(headroom)
        slots.answered(0.0, 20, 40, 10)
        limits.append(slots.limit)
    assert limits == sorted(limits, reverse=True)


def test_slots_come_back_when_others_are_done():
    slots = TenantSlots(0.1)
    slots.answered(0.0, 20, 40, 10)
    for second in range(1, 30):
        slots.answered(float(second), 20, 40, 20)
    assert slots.limit == 36


def test_one_busy_moment_of_others_is_not_yet_their_habit():
    slots = TenantSlots(0.1)
    slots.answered(0.0, 20, 40, 20)
    slots.answered(2.0, 20, 40, 10)
    assert slots.limit > 25


def test_a_stale_count_does_not_take_our_own_calls_for_others():
    """The header is refreshed about once a second: 36 in use may be what was ours half a second ago."""
    slots = TenantSlots(0.1)
    slots.answered(0.0, 36, 40, 4)
    slots.answered(0.5, 5, 40, 4)
    assert slots.limit == 36


def test_others_that_hold_all_they_get_are_not_counted_down():
    """With no slot left the count is a lower bound: they may want more than they have."""
    slots = TenantSlots(0.1)
    slots.answered(0.0, 10, 40, 0)
    before = slots.limit
    slots.answered(2.0, 35, 40, 1)
    assert slots.limit == before


def test_one_slot_remains_however_many_others_there_are():
    slots = TenantSlots(0.1)
    slots.answered(0.0, 1, 40, 0)
    assert slots.limit == 1


def test_an_absurd_number_of_slots_costs_no_more_than_a_sound_one():
    """Twelve digits pass the header's reading; counting so many slots one by one would be the end of the run."""
    slots = TenantSlots(0.1)
    slots.answered(0.0, 1, 10**12 - 1, 0)
    assert 1 <= slots.limit <= MOST_SLOTS


# ------------------------------------------------------------------------------------------ refusals


def test_a_refusal_cuts_the_slots():
    assert after_a_refusal().limit == int(36 * CUT)


def test_forty_refusals_of_one_round_trip_cut_once():
    """They left before the first of them came back: all say the same."""
    slots = TenantSlots(0.1)
    for number in range(40):
        slots.throttled(10.0 + TRIP * number / 40, TRIP)
    assert slots.limit == int(36 * CUT)


def test_a_refusal_a_round_trip_later_cuts_again():
    slots = after_a_refusal()
    slots.throttled(10.0 + TRIP, TRIP)
    assert slots.limit == int(int(36 * CUT) * CUT)


def test_a_round_trip_without_a_refusal_gives_one_slot_back():
    slots = after_a_refusal()
    before = slots.limit
    a_round_trip(slots, 10.0)
    assert slots.limit == before + 1


def test_near_where_the_refusal_came_only_time_gives_slots_back():
    """Short round trips would otherwise run into the same limit again several times a second."""
    slots = after_a_refusal()
    near = math.ceil(36 * NEAR)
    trips = trips_until(slots, near, 10.0)
    now = 10.0 + trips * TRIP
    assert trips_until(slots, near + 1, now) * TRIP >= 0.5 * PROBE


def test_the_slots_recover_whole_and_no_further():
    slots = after_a_refusal()
    now = 10.0
    for _ in range(200):
        now = a_round_trip(slots, now)
    assert slots.limit == 36


def test_a_header_does_not_undo_a_cut():
    """The refusal says that something other than the permitted number is scarce."""
    slots = after_a_refusal()
    slots.answered(10.0, 36, 40, 4)
    assert slots.limit < 30


# ------------------------------------------------------------------------------------------ laws


@given(
    headroom=st.floats(0, 0.95),
    most=st.none() | st.integers(1, 1000),
    events=st.lists(
        st.tuples(
            st.floats(0, 5),
            st.integers(0, 60),
            st.none() | st.integers(-5, 200) | st.just(10**12 - 1),
            st.none() | st.integers(0, 200) | st.just(10**12 - 1),
            st.booleans(),
        ),
        max_size=60,
    ),
)
def test_there_is_always_a_slot_and_never_more_than_allowed(headroom, most, events):
    slots = TenantSlots(headroom, most)
    now = 0.0
    for step, in_flight, permitted, remaining, throttled in events:
        now += step
        if throttled:
            slots.throttled(now, TRIP)
        slots.answered(now, in_flight, permitted, remaining)
        assert 1 <= slots.limit <= (most or MOST_SLOTS)


@given(
    permitted=st.integers(1, 200),
    headroom=st.floats(0, 0.95),
    counts=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), max_size=30),
)
def test_the_headroom_stays_free_whatever_the_headers_tell(permitted, headroom, counts):
    """As far as one slot allows: one is always ours."""
    slots = TenantSlots(headroom)
    for second, (in_flight, remaining) in enumerate(counts):
        slots.answered(float(second), in_flight, permitted, remaining)
        assert slots.limit <= max(1, permitted * (1 - headroom) + 1e-6)
