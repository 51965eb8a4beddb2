"""The laws of every day of the laboratory, for any tenant."""

from dataclasses import replace

import pytest

from tests.simulation.lab.controllers import ours
from tests.simulation.lab.days import ALONE, BURSTY, DAYS, HERD, SILENT, STEPS, UNTOLD
from tests.simulation.lab.scenario import Scenario, trace
from tests.simulation.lab.trial import Result, Trial

SHORT = [replace(day, seconds=min(day.seconds, 24.0)) for day in DAYS]
days = pytest.mark.parametrize("day", SHORT, ids=lambda day: day.name)


def watched(day: Scenario, seed: int) -> tuple[Trial, list[str]]:
    """A trial, and the laws it broke at a grant."""
    broken: list[str] = []

    def watch(trial: Trial) -> None:
        pacer = trial.pacer
        if pacer.in_flight > pacer.limit:
            broken.append(f"{trial.now}: {pacer.in_flight} in flight of {pacer.limit}")
        if trial.now < pacer.paused_until:
            broken.append(f"{trial.now}: the tenant asked for a pause until {pacer.paused_until}")

    trial = Trial(trace(day, seed), ours, seed, watch=watch)
    trial.run()
    return trial, broken


@days
def test_no_call_leaves_beyond_the_limit_or_through_a_closed_gate(day, run_seed):
    assert watched(day, run_seed)[1] == []


@days
def test_no_slot_is_idle_while_a_stop_is_due_and_everything_allows_it(day, run_seed):
    """After every event the queue is empty, or the pacer says that nothing may leave now."""
    idle: list[float] = []

    class Watched(Trial):
        def _pump(self) -> None:
            super()._pump()
            opens_at = self.pacer.opens_at(self.now)
            if opens_at is None or opens_at > self.now:
                return
            if self.queue.ready or self.queue.due() <= self.now:
                idle.append(self.now)

    Watched(trace(day, run_seed), ours, run_seed).run()
    assert idle == []


@days
def test_every_stop_is_accepted_waiting_or_in_flight(day, run_seed):
    trial, _ = watched(day, run_seed)
    result = trial.result
    sent = {call for _, call in result.sent_at}
    under_way = trial.pacer.in_flight
    assert len(sent) == result.accepted + trial.queue.retries + under_way + _back_in_the_queue(trial, sent)


def _back_in_the_queue(trial: Trial, sent: set[int]) -> int:
    return len(sent.intersection(trial.queue.stops))


@pytest.mark.parametrize("day", [SILENT, HERD, ALONE], ids=lambda day: day.name)
def test_a_finite_day_ends_with_every_stop_accepted(day, run_seed):
    trial, _ = watched(day, run_seed)
    assert trial.result.accepted == day.stops


@pytest.mark.parametrize("day", [BURSTY, STEPS, UNTOLD], ids=lambda day: day.name)
def test_one_seed_always_gives_the_same_day(day, run_seed):
    def result() -> Result:
        return Trial(trace(day, run_seed), ours, run_seed).run()

    assert result() == result()
