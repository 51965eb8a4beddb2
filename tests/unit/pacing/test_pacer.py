"""One tenant's slots, gate and outages together, with times given by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.model import Limits, Window
from orchestrator.pacing.circuit import FAILURES, FIRST_PROBE, MOST_PROBES, PROBE_EVERY
from orchestrator.pacing.pacer import LONGEST_GATE, OPENING, Pacer
from orchestrator.pacing.slots import TenantSlots
from tests.unit.pacing.pacers import a_pacer, answer


def test_the_first_call_leaves_at_once():
    opens_at = a_pacer().opens_at(0.0)
    assert opens_at is not None
    assert opens_at <= 0.0


@pytest.mark.parametrize(("headroom", "slots"), [(0.1, 36), (0.0, 40)])
def test_headroom_is_kept_of_the_slots(headroom, slots):
    pacer = a_pacer(headroom)
    pacer.answered(answer(Limits(concurrency=40)), 0.0)
    taken = 0
    while pacer.opens_at(0.0) is not None:
        pacer.take(0.0)
        taken += 1
    assert taken == slots


def test_with_every_slot_used_the_next_time_is_unknown():
    pacer = a_pacer(most=1)
    pacer.take(0.0)
    assert pacer.opens_at(0.0) is None


def test_a_released_slot_is_free_again():
    pacer = a_pacer(most=1)
    pacer.release(pacer.take(0.0))
    assert pacer.opens_at(0.0) is not None


steps = st.one_of(
    st.tuples(st.just("ask"), st.floats(0, 2)),
    st.tuples(st.just("answer"), st.floats(0, 2)),
    st.tuples(st.just("refusal"), st.floats(0, 2)),
    st.tuples(st.just("gate"), st.floats(0, 1000)),
)


@given(
    steps=st.lists(steps, max_size=200),
    headroom=st.sampled_from([0.0, 0.1, 0.5]),
    permitted=st.none() | st.integers(1, 60),
)
def test_calls_in_flight_stay_between_none_and_the_limit(steps, headroom, permitted):
    """The law of every grant; a limit that falls later does not call back what is under way."""
    pacer = a_pacer(headroom)
    now = 0.0
    calls: list[int] = []
    for what, amount in steps:
        if what == "gate":
            pacer.close(now, amount)
            continue
        now += amount
        opens_at = pacer.opens_at(now)
        if what == "ask" and opens_at is not None and opens_at <= now:
            calls.append(pacer.take(now))
            assert pacer.in_flight <= pacer.limit
        elif what != "ask" and pacer.in_flight:
            limits = Limits(concurrency=permitted)
            pacer.answered(answer(limits, throttled=what == "refusal"), now)
            pacer.release(calls.pop())
        assert pacer.in_flight >= 0


@given(now=st.floats(0, 1e6), seconds=st.floats(0.01, 10_000))
def test_a_closed_gate_opens_in_the_future(now, seconds):
    pacer = a_pacer()
    pacer.close(now, seconds)
    opens_at = pacer.opens_at(now)
    assert opens_at is not None
    assert now < opens_at <= now + LONGEST_GATE


def test_a_retry_after_closes_the_gate_for_all():
    """Forty separate waits would end at the same moment."""
    pacer = a_pacer()
    pacer.answered(answer(throttled=True, retry_after=2.0), 100.0)
    assert pacer.opens_at(101.9) == 102.0


def test_a_shorter_wait_does_not_open_the_gate_earlier():
    pacer = a_pacer()
    pacer.close(100.0, 10.0)
    pacer.close(101.0, 1.0)
    assert pacer.opens_at(103.0) == 110.0


def test_an_absurd_retry_after_closes_the_gate_no_longer_than_the_clamp():
    pacer = a_pacer()
    pacer.answered(answer(throttled=True, retry_after=86_400.0), 0.0)
    assert pacer.opens_at(1.0) == LONGEST_GATE


def test_a_refusal_costs_slots():
    pacer = a_pacer()
    pacer.answered(answer(throttled=True), 10.0)
    assert pacer.limit < 40


def test_a_day_used_less_than_the_hour_delays_no_call():
    """An API sandbox: of 10,000 calls a day half may be made at once, as long as the hour has some left."""
    pacer = a_pacer()
    windows = (Window(2_500, 60), Window(5_000, 3600), Window(10_000, 86_400))
    for used in range(4_900):
        now = used * 0.1
        opens_at = pacer.opens_at(now)
        assert opens_at is not None
        assert opens_at <= now, used
        pacer.release(pacer.take(now))
        pacer.answered(
            answer(Limits(windows, nearest=5_000, remaining=5_000 - used - 1, reset=3600 - now)), now
        )
    assert pacer.spare(490.0, 500.0) == 100


def in_outage(now: float) -> Pacer:
    """A tenant of one slot that has answered before and no longer does. Random pauses are the longest."""
    pacer = Pacer(TenantSlots(0.0, 1), 0.0, uniform=lambda low, high: high)
    pacer.answered(answer(), now)
    for _ in range(FAILURES):
        pacer.circuit.failed(now)
    return pacer


def test_a_probe_needs_no_free_slot():
    pacer = in_outage(50.0)
    hanging = pacer.opens_at(50.0)
    assert hanging == 50.0 + FIRST_PROBE[1]
    pacer.take(hanging)
    assert pacer.opens_at(hanging) == hanging + PROBE_EVERY[1]


def test_the_number_of_hanging_probes_is_limited():
    pacer = in_outage(50.0)
    for number in range(1 + MOST_PROBES):
        assert pacer.opens_at(100.0 + number) is not None
        pacer.take(100.0 + number)
    assert pacer.opens_at(200.0) is None


def test_calls_that_hang_since_an_outage_need_no_slot_after_it():
    pacer = in_outage(50.0)
    hanging = [pacer.take(51.0), pacer.take(53.0)]
    probe = pacer.take(55.0)
    pacer.answered(answer(seconds=0.5), 55.5)
    pacer.release(probe)
    assert pacer.in_flight == 0
    for call in hanging:
        pacer.release(call)
    assert pacer.in_flight == 0


def test_outages_in_a_row_do_not_add_up_to_ever_more_open_calls():
    pacer, opened = a_pacer(most=2), 0
    pacer.answered(answer(), 0.0)
    for outage in range(100):
        now = 100.0 * outage
        for _ in range(FAILURES):
            pacer.circuit.failed(now)
        while (opens_at := pacer.opens_at(now)) is not None:
            now = max(now, opens_at)
            pacer.take(now)
            opened += 1
        pacer.answered(answer(seconds=0.1), now + 1.0)
    assert opened <= 2 * (2 + MOST_PROBES)


def test_calls_that_started_after_the_answered_one_keep_their_slots():
    pacer = in_outage(50.0)
    probe, later = pacer.take(51.0), pacer.take(53.0)
    pacer.answered(answer(seconds=5.0), 56.0)
    pacer.release(probe)
    assert pacer.in_flight == 1
    pacer.release(later)
    assert pacer.in_flight == 0


def test_a_gateway_page_ends_no_outage():
    pacer = in_outage(50.0)
    pacer.answered(answer(by_api=False), 51.0)
    assert pacer.circuit.open


def test_a_retry_after_of_a_gateway_does_not_delay_the_probes():
    pacer = in_outage(50.0)
    pacer.answered(answer(by_api=False, retry_after=300.0), 51.0)
    assert pacer.opens_at(51.0) == 51.0 + PROBE_EVERY[1]


def test_an_answer_to_a_probe_ends_the_outage():
    pacer = in_outage(50.0)
    pacer.release(pacer.take(51.0))
    pacer.answered(answer(), 51.0)
    assert not pacer.circuit.open
    assert pacer.opens_at(51.0) is not None


def refused_alone(pacer: Pacer, now: float) -> float:
    """Seconds for which the gate is closed after a refusal without a time, with no other call of ours."""
    call = pacer.take(now)
    pacer.answered(answer(throttled=True), now)
    pacer.release(call)
    return pacer.paused_until - now


@pytest.mark.parametrize(("share", "waits"), [(1.0, [0.5, 1, 2, 4, 8, 16, 30, 30]), (0.0, [0.25, 0.5, 1, 2])])
def test_repeated_refusals_of_a_single_call_close_the_gate_for_longer(share, waits):
    pacer = Pacer(TenantSlots(0.0), 0.0, uniform=lambda low, high: low + share * (high - low))
    assert [refused_alone(pacer, 1_000.0 * n) for n in range(len(waits))] == waits


def test_an_accepted_call_shortens_the_wait_again():
    pacer = Pacer(TenantSlots(0.0), 0.0, uniform=lambda low, high: high)
    for n in range(4):
        refused_alone(pacer, 1_000.0 * n)
    pacer.answered(answer(), 5_000.0)
    assert refused_alone(pacer, 6_000.0) == 0.5


def test_a_refusal_beside_other_calls_of_ours_closes_no_gate():
    pacer = a_pacer()
    pacer.take(0.0)
    pacer.take(0.0)
    pacer.answered(answer(throttled=True), 0.0)
    assert pacer.paused_until == float("-inf")


def test_a_pause_longer_than_the_gate_ends_with_the_gate():
    pacer = a_pacer()
    pacer.answered(answer(throttled=True, retry_after=3_600.0), 0.0)
    assert pacer.closed_until == LONGEST_GATE


def drawn(share: float) -> Pacer:
    """A pacer behind a gate that opens at 10.0, and whose random numbers lie at that ``share`` of their range."""
    pacer = Pacer(TenantSlots(0.0), 0.0, uniform=lambda low, high: low + share * (high - low))
    pacer.close(0.0, 10.0)
    return pacer


def next_after(pacer: Pacer, now: float) -> float:
    """When the next call may leave after one that leaves at ``now``."""
    pacer.release(pacer.take(now))
    opens_at = pacer.opens_at(now)
    assert opens_at is not None
    return opens_at


def test_waiting_calls_leave_gradually_when_the_gate_opens():
    """Each at a random distance from the one before, which is on average the moment's even share."""
    pacer, now, left = drawn(0.5), 10.0, 0
    while now < 10.0 + OPENING * (1 - 1e-9):
        now, left = next_after(pacer, now), left + 1
    assert left == pacer.limit


@pytest.mark.parametrize(("share", "distance"), [(0.0, 0.0), (1.0, 2.0)])
def test_calls_after_the_gate_are_spread_with_jitter(share, distance):
    pacer = drawn(share)
    assert next_after(pacer, 10.1) == pytest.approx(10.1 + distance * OPENING / pacer.limit, abs=1e-12)


def test_later_calls_leave_as_slots_are_free():
    assert next_after(drawn(1.0), 10.0 + OPENING) == 10.0


def test_a_long_wait_ends_when_a_later_call_is_accepted():
    pacer = a_pacer()
    pacer.answered(answer(throttled=True, retry_after=86_400.0), 10.0)
    pacer.answered(answer(), 10.05)
    assert pacer.paused_until <= 10.05


def test_a_long_wait_holds_when_only_earlier_calls_are_accepted():
    pacer = a_pacer()
    pacer.answered(answer(throttled=True, retry_after=86_400.0), 10.0)
    pacer.answered(answer(), 9.99)
    assert pacer.paused_until == 10.0 + LONGEST_GATE


def test_a_short_wait_holds_whatever_other_calls_are_answered():
    pacer = a_pacer()
    pacer.answered(answer(throttled=True, retry_after=2.0), 10.0)
    pacer.answered(answer(), 10.05)
    assert pacer.paused_until == 12.0
