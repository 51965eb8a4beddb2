"""Pacing in virtual time: the required figures, and every controller on the same days. Seeds exclude noise."""

import time
from collections.abc import Callable, Iterable
from statistics import mean

from orchestrator.model import Answered, Limits, Window
from orchestrator.pacing.pacer import Pacer
from orchestrator.pacing.slots import TenantSlots
from tests.benchmarks.table import Table
from tests.simulation.lab import figures
from tests.simulation.lab.controllers import CONTROLLERS
from tests.simulation.lab.days import DAYS
from tests.simulation.lab.trial import Result

SEEDS, COMPARED = 20, 5
GRANTS = 20_000


def measure(table: Table, rounds: int | None = None, long: bool = False) -> None:
    """Measure with the seeds from 1 to ``rounds``."""
    seeds = range(1, (rounds or SEEDS) + 1)
    table.head(f"pacing: {len(seeds)} seeds in virtual time; mean (least - most)")
    _held_to(table, seeds)
    grants, answers = zip(*(_cost() for _ in range(5)), strict=True)
    table.row("a grant: asked, taken, given back", grants, "us of CPU", wanted="<= 3")
    table.row("  learning from its answer", answers, "us of CPU")
    _days(table, seeds if long else seeds[:COMPARED])


def _held_to(table: Table, seeds: Iterable[int]) -> None:
    seeds = list(seeds)
    shared = figures.sharing(seeds)
    _row(table, "steady 9 of 40: use of what is free", shared["use"], "", ">= 0.84")
    _row(table, "  our 429s in 1,000", shared["our 429s"], "", "<= 1")
    _row(table, "  production's 429s", shared["others' 429s"], "%", "<= 6")
    _row(table, "  production's 429s at headroom 20", shared["others' 429s, careful"], "%", "<= 2")
    _row(table, "  use at headroom 20", shared["use, careful"])
    stepped = figures.steps(seeds)
    _row(table, "40 to 20 to 40: within a tenth after", stepped["seconds"], "s", "<= 3")
    _row(table, "  our 429s a step", stepped["our 429s"], "", "<= 5")
    silent = figures.silent(seeds)
    _row(table, "no headers, 12 free: our 429s", silent["our 429s"], "%", "<= 1")
    _row(table, "  time : ideal", silent["time"], "x", "<= 1.5")
    herd = figures.herd(seeds)
    _row(table, "300 refused at once: sends a call until taken", herd["sends a call"], "", "<= 1.05")
    _row(table, "  sent before their time", herd["too early"], "", "0")
    _row(table, "alone, headroom 0: time : ideal", figures.alone(seeds)["time"], "x", "<= 1.03")
    order = figures.order(seeds)
    _row(table, "fastest first: records : best assignment", order["oracle"], "x", "<= 1.05")
    _row(table, "  records : first come", order["first come"], "x", "<= 0.60")


def _row(table: Table, name: str, values: list[float], unit: str = "", wanted: str = "") -> None:
    table.row(name, values, unit, digits=3, wanted=wanted, middle=mean)


def _cost() -> tuple[float, float]:
    """Return microseconds of CPU per grant (ask, take, release), and per response with every header."""
    pacer = Pacer(TenantSlots(0.1), 0.1)
    windows = (Window(50_000, 60), Window(2_250_000, 3600), Window(27_000_000, 86_400))
    responses = [
        Answered(Limits(windows, 2_250_000, 2_000_000, 1800.0, 40, 30 - n), 200, False, None, 0.3)
        for n in range(3)
    ]
    pacer.answered(responses[0], 0.0)

    def grants() -> None:
        for n in range(GRANTS):
            now = n / 100
            if pacer.opens_at(now) is not None:
                pacer.release(pacer.take(now))

    def answers() -> None:
        for n in range(GRANTS):
            now = n / 100  # a hundred responses per second, and a fresh count every second
            pacer.answered(responses[int(now) % 3], now)

    return _micros(grants), _micros(answers)


def _micros(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return (time.process_time() - began) / GRANTS * 1e6


def _days(table: Table, seeds: Iterable[int]) -> None:
    seeds = list(seeds)
    table.remark("")
    table.remark(f"each day under each controller, mean of {len(seeds)} seeds")
    titles = ("use of free", "our 429s/1,000", "others' 429s", "seconds", "stops")
    table.remark(f"{'':14} {'':7} " + " ".join(f"{title:>14}" for title in titles))
    for day in DAYS:
        for name, results in figures.compared(day, seeds).items():
            table.remark(_line(day.name if name == next(iter(CONTROLLERS)) else "", name, results))


def _line(day: str, name: str, results: list[Result]) -> str:
    cells = (
        f"{100 * mean(result.use for result in results):.1f} %",
        f"{1000 * mean(result.our_loss for result in results):.2f}",
        f"{100 * mean(result.others_loss for result in results):.1f} %",
        f"{mean(result.ended for result in results):.1f}",
        f"{mean(result.accepted for result in results):.0f}",
    )
    return f"{day:14} {name:7} " + " ".join(f"{cell:>14}" for cell in cells)
