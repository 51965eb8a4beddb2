"""A picture of each day: limit, calls in flight, others' load and refusals. The same seeds give the same bytes."""

from pathlib import Path

import matplotlib as mpl

from tests.simulation.lab.controllers import ours
from tests.simulation.lab.days import DAYS
from tests.simulation.lab.scenario import Scenario, trace
from tests.simulation.lab.trial import Trial

SEED = 1


def draw(folder: Path) -> None:
    """Write ``pace-DAY.svg`` for each day into ``folder``."""
    mpl.use("svg")
    mpl.rcParams.update(
        {"svg.hashsalt": "mass-stop", "svg.fonttype": "none", "font.size": 9, "path.simplify": True}
    )
    folder.mkdir(parents=True, exist_ok=True)
    for day in DAYS:
        _draw(day, folder / f"pace-{day.name.replace(' ', '-')}.svg")


def _draw(day: Scenario, path: Path) -> None:
    from matplotlib import pyplot

    trial = Trial(trace(day, SEED), ours, SEED)
    points = trial.run().points
    at = [point.at for point in points]
    figure, (slots, refusals) = pyplot.subplots(2, 1, sharex=True, figsize=(8, 4.2), height_ratios=(3, 1))
    slots.step(
        at, [point.limit for point in points], "k-", linewidth=1.2, where="post", label="the tenant's limit"
    )
    slots.step(
        at, [point.slots for point in points], "C0--", linewidth=1, where="post", label="slots, as believed"
    )
    slots.plot(at, [point.ours for point in points], "C0-", linewidth=1, label="ours in flight")
    slots.plot(
        at, [point.others for point in points], "C1-", linewidth=0.6, alpha=0.7, label="others in flight"
    )
    known = [(point.at, point.estimate) for point in points if point.estimate is not None]
    if known:
        slots.plot(*zip(*known, strict=True), "C3-", linewidth=1.4, label="others' load, as estimated")
    slots.set_ylabel("calls at once")
    slots.set_title(f"{day.name} (headroom {day.headroom:g} %)", loc="left")
    slots.legend(loc="upper right", fontsize=7, ncols=3)
    slots.set_ylim(0, 1.35 * max(max(point.limit, point.ours) for point in points))
    refusals.step(at, [point.ours_refused for point in points], "C0-", where="post", label="ours")
    refusals.step(at, [point.others_refused for point in points], "C1-", where="post", label="others'")
    refusals.set_ylabel("429s so far")
    refusals.set_xlabel("seconds")
    refusals.legend(loc="upper left", fontsize=7)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


if __name__ == "__main__":
    draw(Path(__file__).parents[2] / "docs" / "pictures")
