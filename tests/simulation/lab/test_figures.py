"""The figures that pacing must reach, on a few seeds; `make bench` prints it for twenty."""

from statistics import mean

import pytest

from tests.simulation.lab import figures
from tests.simulation.lab.controllers import aimd, ours
from tests.simulation.lab.days import BURSTY, FAR, LATE, LYING, STEADY

SEEDS = range(1, 4)


@pytest.fixture(scope="module")
def shared() -> figures.Figures:
    return figures.sharing(SEEDS)


def test_the_run_uses_the_slots_that_steady_production_leaves(shared):
    assert mean(shared["use"]) >= 0.84


def test_our_own_calls_are_hardly_refused(shared):
    assert mean(shared["our 429s"]) <= 1


def test_production_finds_room(shared):
    assert mean(shared["others' 429s"]) <= 6


def test_production_finds_more_room_at_a_careful_headroom(shared):
    assert mean(shared["others' 429s, careful"]) <= 2


def test_the_pace_follows_a_limit_that_falls_and_rises():
    stepped = figures.steps(SEEDS)
    assert (max(stepped["seconds"]) <= 3, max(stepped["our 429s"]) <= 5) == (True, True)


def test_the_limit_of_a_tenant_without_headers_is_found():
    silent = figures.silent(SEEDS)
    assert (max(silent["our 429s"]) <= 1, max(silent["time"]) <= 1.5) == (True, True)


def test_refused_calls_return_one_by_one():
    herd = figures.herd(SEEDS)
    assert (max(herd["sends a call"]) <= 1.05, max(herd["too early"]), min(herd["thrown out"]) > 290) == (
        True,
        0,
        True,
    )


def test_alone_on_the_tenant_every_slot_is_used():
    assert mean(figures.alone(SEEDS)["time"]) <= 1.035


def test_stopping_the_fastest_first_is_optimal():
    order = figures.order(SEEDS)
    assert (max(order["oracle"]) <= 1.05, mean(order["first come"]) <= 0.6) == (True, True)


@pytest.mark.parametrize("day", [STEADY, BURSTY, FAR, LATE, LYING], ids=lambda day: day.name)
def test_other_callers_are_never_worse_off_than_with_aimd(day):
    our_days, days_of_aimd = (figures.trials(day, SEEDS, make) for make in (ours, aimd))
    assert mean(one.others_loss for one in our_days) <= mean(one.others_loss for one in days_of_aimd)
