"""The cost of more keys: time in proportion, constant memory."""

from tests.benchmarks import common
from tests.benchmarks.table import Table

FEW, MANY, MOST = 2_000, 50_000, 200_000


def measure(table: Table, rounds: int | None = None, long: bool = False) -> None:
    """Measure one round by default, because the expected differences are larger than the noise."""
    table.head("growth: one stop and one status a key, tenant without latency")
    sizes = [FEW, MANY, MOST] if long else [FEW, MANY]
    ended: dict[int, list[common.Ended]] = {size: [] for size in sizes}
    for _ in range(rounds or 1):
        for size in sizes:
            with common.tenant(actions=size, keep_log=False, **common.AT_ONCE) as at:
                ended[size].append(common.run(common.mass_stop(at, "--quiet"), at))
    for size in sizes:
        table.row(f"{size:,} keys", [one.wall for one in ended[size]], "s")
        table.row("  a key", [one.wall / size * 1e6 for one in ended[size]], "us", 0)
        table.row("  CPU a key", [one.cpu / size * 1e6 for one in ended[size]], "us", 0)
        table.row("  peak memory", [one.peak_mb for one in ended[size]], "MB", 1)
    for size in sizes[1:]:
        few, many = ended[FEW], ended[size]
        table.ratio(
            f"time a key, {size:,} : {FEW:,}",
            [e.wall / size for e in many],
            [e.wall / FEW for e in few],
            "~ 1",
        )
        table.ratio(
            f"peak memory, {size:,} : {FEW:,}", [e.peak_mb for e in many], [e.peak_mb for e in few], "<= 1.30"
        )
