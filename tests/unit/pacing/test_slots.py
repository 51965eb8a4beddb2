"""How many calls may be in flight: the tenant's limit, headroom, room for others, and the effect of a refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model import Answered, Limits
from orchestrator.pacing.erlang import room_for
from orchestrator.pacing.search import CUT, START
from orchestrator.pacing.slots import MOST_PERMITTED, MOST_SLOTS, OWN_LOSS, TenantSlots, wanted_loss

TRIP = 0.3
"""Seconds that one call takes."""


def report_limit(
    slots: TenantSlots, now: float, in_flight: int, permitted: int | None = None, remaining: int | None = None
) -> None:
    """A call is accepted."""
    limits = Limits(concurrency=permitted, concurrency_remaining=remaining)
    slots.answered(now, in_flight, Answered(limits, 200, False, None, TRIP))


def refuse(slots: TenantSlots, now: float, in_flight: int, permitted: int | None = None) -> None:
    """A call is refused."""
    slots.answered(now, in_flight, Answered(Limits(concurrency=permitted), 429, True, None, TRIP))


def first_report(
    headroom: float, permitted: int, remaining: int | None = None, most: int | None = None
) -> TenantSlots:
    """After the first answer, which came to one call."""
    slots = TenantSlots(headroom, most)
    report_limit(slots, 0.0, 1, permitted, remaining)
    return slots


def steady(headroom: float, others: int, permitted: int = 40, ours: int = 10) -> TenantSlots:
    """After half a minute of the same load of others."""
    slots = TenantSlots(headroom)
    for second in range(10):
        report_limit(slots, second * 3.0, ours, permitted, permitted - others - ours)
    return slots


# ------------------------------------------------------------------------------------------ what is permitted


def test_without_a_limit_a_few_calls_leave():
    assert TenantSlots(0.1).limit == START


def test_with_no_headroom_a_run_starts_with_the_usual_limit():
    assert TenantSlots(0.0).limit == 40


@pytest.mark.parametrize(("headroom", "limit"), [(0.8, 8), (0.95, 2), (0.99, 1)])
def test_headroom_is_left_before_anything_is_known(headroom, limit):
    assert TenantSlots(headroom).limit == limit


@pytest.mark.parametrize(
    ("headroom", "limit"), [(0.0, 40), (0.1, 36), (0.25, 30), (0.3, 28), (0.5, 20), (0.8, 8), (0.99, 1)]
)
def test_the_slots_jump_to_the_limit_of_the_first_answer_less_headroom(headroom, limit):
    assert first_report(headroom, 40).limit == limit


@pytest.mark.parametrize(("permitted", "limit"), [(80, 72), (10, 9), (1, 1), (MOST_PERMITTED, MOST_SLOTS)])
def test_the_tenants_own_number_counts(permitted, limit):
    assert first_report(0.1, permitted).limit == limit


@pytest.mark.parametrize("permitted", [0, -1, MOST_PERMITTED + 1, 10**12])
def test_an_impossible_number_is_not_used(permitted):
    assert first_report(0.1, permitted, 0).limit == START


def test_a_configured_number_is_the_start():
    assert TenantSlots(0.1, most=25).limit == 25


@pytest.mark.parametrize(("most", "limit"), [(5, 5), (500, 36)])
def test_without_a_limit_a_configured_number_is_bounded_by_the_usual_one(most, limit):
    assert TenantSlots(0.1, most=most).limit == limit


def test_the_operators_own_limit_is_kept_when_the_tenant_permits_more():
    assert first_report(0.1, 80, 79, most=5).limit == 5


def test_an_operator_may_go_beyond_the_usual_limit_once_the_tenant_permits_it():
    assert first_report(0.0, 500, most=400).limit == 400


def test_another_limit_is_used_when_it_is_sent_twice():
    slots = first_report(0.1, 40)
    report_limit(slots, 1.0, 30, 20)
    assert slots.limit == 36
    report_limit(slots, 1.1, 30, 20)
    assert slots.limit == 18


def test_a_limit_that_is_sent_once_is_ignored():
    slots = first_report(0.1, 40)
    for n in range(20):
        report_limit(slots, n / 10, 30, 40 if n % 2 else 1)
    assert slots.limit == 36


def test_the_slots_jump_to_a_higher_limit():
    slots = first_report(0.1, 20)
    for n in range(2):
        report_limit(slots, n / 10, 18, 40)
    assert slots.limit == 36


def test_an_answer_without_headers_changes_nothing():
    slots = first_report(0.1, 40)
    report_limit(slots, 1.0, 36)
    assert slots.limit == 36


def test_a_count_of_all_slots_as_free_is_a_count():
    assert first_report(0.1, 40, 40).others == pytest.approx(0, abs=1)


def test_what_remains_is_ignored_where_it_is_more_than_permitted():
    slots = first_report(0.1, 40, 4_000)
    assert (slots.limit, slots.others) == (36, None)


# ------------------------------------------------------------------------------------------ room for others


@pytest.mark.parametrize(
    ("headroom", "loss"), [(0.0, 0.5), (0.1, 0.05), (0.2, 0.005), (0.3, 0.001), (0.9, 0.001)]
)
def test_each_ten_percent_of_headroom_divide_the_loss_by_ten(headroom, loss):
    assert wanted_loss(headroom) == pytest.approx(loss)


def test_others_keep_their_load_and_room_for_its_variation():
    """All but a twentieth of a load of ten need 15 slots; of one of nine 14, of one of eleven 16."""
    assert 24 <= steady(0.1, others=10).limit <= 27


@pytest.mark.parametrize("others", [3, 5, 8, 12, 17, 20])
def test_the_room_for_others_is_rounded_to_the_nearest_slot(others):
    slots = steady(0.1, others)
    room = room_for(slots._load.loads, wanted_loss(0.1), 40)
    assert abs(40 - room - slots.limit) <= 0.5


def test_a_tenant_without_other_callers_is_used_up_to_the_headroom():
    assert steady(0.1, others=0).limit == 36


def test_without_headroom_an_idle_tenant_is_used_completely():
    assert steady(0.0, others=0).limit == 40


def test_more_headroom_leaves_more_room_to_others():
    limits = [steady(headroom, others=9).limit for headroom in (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)]
    assert limits == sorted(limits, reverse=True)
    assert len(set(limits)) == len(limits)


def test_the_first_count_already_leaves_room_to_others():
    """Ten of ours have left since the tenant counted, or not: either way 31 were free."""
    slots = TenantSlots(0.1)
    report_limit(slots, 0.3, 10, 40, 31)
    assert 20 <= slots.limit <= 30


def test_slots_return_when_others_are_done():
    slots = steady(0.1, others=10)
    for second in range(10, 20):
        report_limit(slots, second * 3.0, slots.limit, 40, 40 - slots.limit)
    assert slots.limit == 36


def test_the_load_of_others_is_available():
    assert steady(0.1, others=10).others == pytest.approx(10, abs=1)


def test_one_slot_remains_however_many_others_there_are():
    assert steady(0.1, others=39, ours=1).limit == 1


# ------------------------------------------------------------------------------------------ refusals


def test_a_refusal_cuts_the_slots():
    slots = first_report(0.1, 40)
    refuse(slots, 10.0, 36)
    assert slots.limit == int(36 * CUT)


def test_a_refusal_of_an_idle_tenant_has_a_short_effect():
    slots = first_report(0.1, 40)
    refuse(slots, 10.0, 36)
    for n in range(2_000):
        report_limit(slots, 10.0 + n / 100, slots.limit, 40)
    assert slots.limit >= 35


def test_each_refusal_costs_a_slot_until_enough_calls_are_accepted():
    """One in a thousand of our own calls may be refused."""
    slots, unrefused = steady(0.1, others=9), steady(0.1, others=9)
    for n in range(3):
        refuse(slots, 40.0 + n, slots.limit)
    for each in (slots, unrefused):
        report_limit(each, 50.0, 10, 40, 20)
    assert slots._reported == unrefused._reported - 3
    for n in range(round(3 / OWN_LOSS)):
        report_limit(slots, 60.0 + n / 1000, 10)
    assert slots._margin == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("before", ["answer", "refusal", "pause"])
def test_a_repeated_limit_without_a_count_clears_no_refusal(before):
    """Only a count of free slots, or the first answer after a pause, shows that there is room."""
    slots = TenantSlots(0.1)
    if before == "refusal":
        refuse(slots, 0.0, 1, permitted=40)
    else:
        report_limit(slots, 0.0, 1, 40)
    if before == "pause":
        slots.paused()
        report_limit(slots, 1.0, 1, 40)
    refuse(slots, 10.0, 36)
    report_limit(slots, 10.1, 1, 40)
    assert slots.limit == int(36 * CUT)


def test_refusals_of_one_round_trip_cost_one_slot():
    slots = first_report(0.1, 40)
    for n in range(30):
        refuse(slots, 10.0 + n / 200, 36)
    assert slots._margin == 1


def test_another_limit_of_the_tenant_clears_refusals():
    slots = first_report(0.1, 40)
    refuse(slots, 10.0, 36)
    for n in range(2):
        report_limit(slots, 11.0 + n, 20, 80)
    assert slots.limit == 72


def test_a_refusal_has_the_new_limit_too():
    slots = first_report(0.1, 40)
    refuse(slots, 10.0, 36, permitted=20)
    refuse(slots, 10.0, 35, permitted=20)
    assert slots.limit <= 18


def test_without_headers_only_refusals_count():
    slots = TenantSlots(0.1)
    refuse(slots, 10.0, 10)
    assert slots.limit == int(10 * CUT)


def test_without_headers_the_slots_rise_to_the_usual_limit_less_headroom():
    slots = TenantSlots(0.1)
    for n in range(5_000):
        report_limit(slots, n / 100, slots.limit)
    assert slots.limit == 36


def test_after_a_pause_a_few_calls_leave():
    slots = first_report(0.1, 40)
    slots.paused()
    assert slots.limit == START


def test_after_a_pause_the_slots_jump_to_the_first_answer():
    slots = first_report(0.1, 40)
    slots.paused()
    report_limit(slots, 30.0, 10)
    assert slots.limit == START
    report_limit(slots, 30.1, 10, 40)
    assert slots.limit == 36


def test_after_a_pause_another_limit_is_not_taken_for_the_old_one():
    slots = first_report(0.1, 300, most=300)
    slots.paused()
    report_limit(slots, 30.0, 10, 40)
    assert slots.limit == START


def test_without_headers_a_pause_is_followed_by_a_slow_start():
    slots = TenantSlots(0.1)
    for n in range(5_000):
        report_limit(slots, n / 100, slots.limit)
    slots.paused()
    report_limit(slots, 60.0, 10)
    assert slots.limit == START


answers = st.tuples(
    st.booleans(), st.none() | st.integers(-1, 10**6), st.none() | st.integers(0, 10**6), st.floats(0, 2)
)


@given(
    headroom=st.floats(0, 0.99),
    most=st.none() | st.integers(1, 300),
    steps=st.lists(answers, max_size=60),
)
def test_the_slots_stay_between_one_and_the_configured_maximum(headroom, most, steps):
    slots, now = TenantSlots(headroom, most), 0.0
    for refused, permitted, remaining, seconds in steps:
        now += seconds
        limits = Limits(concurrency=permitted, concurrency_remaining=remaining)
        slots.answered(now, slots.limit, Answered(limits, 200, refused, None, TRIP))
        assert 1 <= slots.limit <= (most or MOST_SLOTS)
