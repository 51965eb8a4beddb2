"""The effect of more tenants and machines, by a model with a few numbers. See docs/scaling.md."""

from dataclasses import dataclass

from tests.benchmarks.table import Table


@dataclass(frozen=True)
class Load:
    """Equal tenants: keys and slots of each, seconds of a call, and core seconds of a stop and of a whole key."""

    tenants: int
    keys: int
    slots: int = 36
    latency: float = 0.15
    cpu_stop: float = 250e-6
    cpu_key: float = 500e-6


def throughput(jobs: int, latency: float, cpu: float) -> float:
    """Return the calls per second of one core with ``jobs`` slots. Each slot waits ``latency``, then needs the core.

    Exact mean value analysis of a closed network with one queue and one delay (Reiser and Lavenberg, 1980).
    """
    waiting = 0.0
    rate = 0.0
    for here in range(1, jobs + 1):
        at_core = cpu * (1 + waiting)
        rate = here / (latency + at_core)
        waiting = rate * at_core
    return rate


def last_stop(load: Load, cores: int) -> float:
    """Return the seconds until the last stop is accepted, with the tenants spread evenly over ``cores`` processes."""
    here = -(-load.tenants // cores)
    return here * load.keys / throughput(here * load.slots, load.latency, load.cpu_stop)


def cores_needed(load: Load, slower: float = 1.1) -> int:
    """Return the fewest cores that take at most ``slower`` times as long as the tenants themselves."""
    ideal = load.keys / load.slots * load.latency
    return next(
        n for n in range(1, load.tenants + 1) if last_stop(load, n) <= slower * ideal or n == load.tenants
    )


def measure(table: Table, rounds: int | None = None, long: bool = False) -> None:
    """Print the model's figures. Nothing is run."""
    for load in (Load(8, 1_000), Load(50, 1_000), Load(200, 1_000), Load(1_000, 1_000)):
        ideal = load.keys / load.slots * load.latency
        table.head(
            f"scaling: {load.tenants} tenants x {load.keys} keys, {load.slots} slots, 150 ms a call: by the model"
        )
        table.row("the tenants' own limit: last stop after", [ideal], "s")
        for cores in (1, 2, 4, 8, 16, 32, 64):
            if cores <= load.tenants:
                table.row(f"{cores} cores: last stop after", [last_stop(load, cores)], "s")
        table.row("cores for 1.1 x the tenants' own limit", [float(cores_needed(load))], "", 0)
        table.row(
            "CPU for all keys to their ends", [load.tenants * load.keys * load.cpu_key], "s of one core", 0
        )
