"""The figures that pacing must reach, from their trials."""

from collections.abc import Iterable
from random import Random

from tests.simulation.lab.controllers import CONTROLLERS, ours
from tests.simulation.lab.days import ALONE, CAREFUL, HERD, SILENT, STEADY, STEPS
from tests.simulation.lab.scenario import Scenario, trace
from tests.simulation.lab.trial import Make, Result, Trial

Figures = dict[str, list[float]]

SETTLED = 10.0
"""Seconds after a step of the limit in which refusals count as its effect."""


def trials(scenario: Scenario, seeds: Iterable[int], make: Make = ours) -> list[Result]:
    """One trial a seed."""
    return [Trial(trace(scenario, seed), make, seed).run() for seed in seeds]


def compared(scenario: Scenario, seeds: Iterable[int]) -> dict[str, list[Result]]:
    """Every controller on the same traces."""
    kept = list(seeds)
    return {name: trials(scenario, kept, make) for name, make in CONTROLLERS.items()}


def ideal(scenario: Scenario) -> float:
    """Seconds for all stops if every free slot is used from first to last."""
    assert scenario.stops is not None
    return scenario.stops * scenario.call / (scenario.limit[0][1] - scenario.held)


def sharing(seeds: Iterable[int]) -> Figures:
    """Steady production: our use of free slots, our refusals and those of others, at two headrooms."""
    kept = list(seeds)
    usual, careful = trials(STEADY, kept), trials(CAREFUL, kept)
    return {
        "use": [result.use for result in usual],
        "our 429s": [1000 * result.our_loss for result in usual],
        "others' 429s": [100 * result.others_loss for result in usual],
        "others' 429s, careful": [100 * result.others_loss for result in careful],
        "use, careful": [result.use for result in careful],
    }


def steps(seeds: Iterable[int]) -> Figures:
    """A limit that falls and rises again: seconds until the estimate is within a tenth; refusals of each step."""
    found: Figures = {"seconds": [], "our 429s": []}
    for result in trials(STEPS, seeds):
        for at, limit in STEPS.limit[1:]:
            after = [point for point in result.points if at <= point.at < at + SETTLED]
            wrong = [point.at for point in after if not 0.9 * limit <= point.slots <= 1.1 * limit]
            found["seconds"].append(max(wrong, default=at) - at)
            found["our 429s"].append(sum(at <= moment < at + SETTLED for moment in result.refused_at))
    return found


def silent(seeds: Iterable[int]) -> Figures:
    """No headers, and 12 of 40 slots free."""
    results = trials(SILENT, seeds)
    return {
        "our 429s": [100 * result.our_loss for result in results],
        "time": [result.ended / ideal(SILENT) for result in results],
    }


def herd(seeds: Iterable[int]) -> Figures:
    """300 calls thrown out at once: how often each is sent until it is taken, and how many before their time."""
    assert HERD.refuses is not None
    start, end = HERD.refuses
    found: Figures = {"sends a call": [], "too early": [], "thrown out": []}
    for result in trials(HERD, seeds):
        again = [at for at, call in result.sent_at if at >= start and call in result.thrown_out]
        found["thrown out"].append(len(result.thrown_out))
        found["sends a call"].append(len(again) / len(result.thrown_out))
        found["too early"].append(sum(start < at < end for at, _ in result.sent_at))
    return found


def alone(seeds: Iterable[int]) -> Figures:
    """No other traffic, and no headroom."""
    return {"time": [result.ended / ideal(ALONE) for result in trials(ALONE, seeds)]}


def order(seeds: Iterable[int], keys: int = 1_200) -> Figures:
    """Records processed until all are stopped, the fastest first: against first come, and against the best assignment.

    Each action processes as many records a second as a lognormal draw of σ = 1 says. The best assignment gives the
    moments at which stops are accepted to the actions by their speed, as if every call's length were known.
    """
    found: Figures = {"first come": [], "oracle": []}
    for seed in seeds:
        result = Trial(trace(Scenario("order", stops=keys, seconds=300.0), seed), ours, seed).run()
        moments = [result.accepted_at[call] for call in range(keys)]
        dice = Random(seed)
        speeds = [dice.lognormvariate(0, 1) for _ in range(keys)]
        fastest = sorted(speeds, reverse=True)
        processed = _processed(fastest, moments)
        found["first come"].append(processed / _processed(speeds, moments))
        found["oracle"].append(processed / _processed(fastest, sorted(moments)))
    return found


def _processed(speeds: list[float], moments: list[float]) -> float:
    return sum(speed * moment for speed, moment in zip(speeds, moments, strict=True))
