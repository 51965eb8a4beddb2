"""The required figures of pacing, computed from trials."""

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
    """Run one trial per seed."""
    return [Trial(trace(scenario, seed), make, seed).run() for seed in seeds]


def compared(scenario: Scenario, seeds: Iterable[int]) -> dict[str, list[Result]]:
    """Run every controller on the same traces."""
    kept = list(seeds)
    return {name: trials(scenario, kept, make) for name, make in CONTROLLERS.items()}


def ideal(scenario: Scenario) -> float:
    """Return the seconds for all stops if every free slot is in use all the time."""
    assert scenario.stops is not None
    return scenario.stops * scenario.call / (scenario.limit[0][1] - scenario.held)


def sharing(seeds: Iterable[int]) -> Figures:
    """Measure steady production: our use of free slots, our refusals and others' refusals, at two headrooms."""
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
    """Measure a limit that falls and rises: seconds until the estimate is within a tenth, and refusals of each step."""
    found: Figures = {"seconds": [], "our 429s": []}
    for result in trials(STEPS, seeds):
        for at, limit in STEPS.limit[1:]:
            after = [point for point in result.points if at <= point.at < at + SETTLED]
            wrong = [point.at for point in after if not 0.9 * limit <= point.slots <= 1.1 * limit]
            found["seconds"].append(max(wrong, default=at) - at)
            found["our 429s"].append(sum(at <= moment < at + SETTLED for moment in result.refused_at))
    return found


def silent(seeds: Iterable[int]) -> Figures:
    """Measure a tenant without headers that has 12 of 40 slots free."""
    results = trials(SILENT, seeds)
    return {
        "our 429s": [100 * result.our_loss for result in results],
        "time": [result.ended / ideal(SILENT) for result in results],
    }


def herd(seeds: Iterable[int]) -> Figures:
    """Measure 300 calls that are refused at once: sends per call until it is accepted, and sends that are too early."""
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
    """Measure a run without other traffic and without headroom."""
    return {"time": [result.ended / ideal(ALONE) for result in trials(ALONE, seeds)]}


def order(seeds: Iterable[int], keys: int = 1_200) -> Figures:
    """Measure the records processed until all actions are stopped, with the fastest stopped first.

    They are compared with the order of arrival, and with the best assignment. Each action processes records at a
    lognormal speed (σ = 1). The best assignment gives the earliest acceptances to the fastest actions, as if the
    duration of every call were known.
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
