"""How much room others need, against the printed tables and the formula's definition."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.pacing.erlang import room_for


def blocked(load: float, slots: float) -> float:
    """B(m) = (a^m / m!) / (sum of a^k / k!), from its definition."""
    terms = [math.exp(k * math.log(load) - math.lgamma(k + 1)) for k in range(int(slots) + 1)]
    return terms[-1] / sum(terms)


@pytest.mark.parametrize(
    ("load", "loss", "slots"), [(1.0, 0.05, 4), (5.0, 0.01, 11), (10.0, 0.05, 15), (20.0, 0.05, 26)]
)
def test_the_room_follows_from_the_erlang_formula(load, loss, slots):
    """Figures of the printed tables of Erlang's formula, which round up."""
    assert math.ceil(room_for([(1.0, load)], loss, 1000)) == slots


@given(load=st.floats(0.1, 60), loss=st.floats(0.001, 0.5))
def test_the_room_lies_between_too_little_and_enough(load, loss):
    room = room_for([(1.0, load)], loss, 1000)
    assert blocked(load, math.ceil(room)) <= loss * (1 + 1e-9)
    assert blocked(load, math.ceil(room) - 1) >= loss * (1 - 1e-9)


@pytest.mark.parametrize("slots", [1, 5, 14, 40])
def test_a_loss_of_whole_slots_needs_exactly_those_slots(slots):
    assert room_for([(1.0, 9.0)], blocked(9.0, slots), 1000) == pytest.approx(slots)


def test_between_whole_slots_the_room_divides_the_loss_evenly():
    half_way = math.sqrt(blocked(9.0, 13) * blocked(9.0, 14))
    assert room_for([(1.0, 9.0)], half_way, 1000) == pytest.approx(13.5)


def test_without_other_callers_no_room_is_needed():
    assert room_for([(1.0, 0.0)], 0.05, 1000) == 0


def test_without_any_estimate_no_room_is_left():
    assert room_for([], 0.05, 1000) == 0


def test_a_loss_of_all_calls_needs_no_room():
    assert room_for([(1.0, 10.0)], 1.0, 1000) == 0


def test_the_room_is_bounded():
    assert room_for([(1.0, 1e6)], 0.05, 40) == 40


def test_the_mean_loss_of_several_loads_counts():
    both = 0.25 * blocked(4.0, 9) + 0.75 * blocked(12.0, 9)
    assert room_for([(0.25, 4.0), (0.75, 12.0)], both, 1000) == pytest.approx(9)


def test_a_possible_load_needs_less_room_than_a_certain_one():
    assert room_for([(0.5, 0.0), (0.5, 9.0)], 0.05, 1000) < room_for([(1.0, 9.0)], 0.05, 1000)
