"""The alternatives of a user, which only send stops. mass-stop also polls every action to its end."""

from tests.benchmarks import common
from tests.benchmarks.stops import KEYS, tenant
from tests.benchmarks.table import Table

CONTENDERS = {
    "mass-stop, stops only until settled": lambda at: common.mass_stop(at, "--no-results", "--quiet"),
    "xargs -P 40 curl": common.xargs_curl,
    "asyncio.gather script": lambda at: common.script("gather", at),
    "curl --parallel": common.curl_parallel,
}


def measure(table: Table, rounds: int | None = None, long: bool = False) -> None:
    """Measure the time from the first to the last accepted stop, CPU, and time since launch."""
    table.head(f"instead: {KEYS} keys, 80 ms, 40 slots")
    spans: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    launched: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    cpu: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds or 3):
        for name, command in CONTENDERS.items():
            with tenant() as at:
                ended = common.run(command(at), at)
                facts = at.facts()
                spans[name].append(facts["last_accepted"] - facts["first_stop"])
                launched[name].append(facts["last_accepted"] - ended.launched)
                cpu[name].append(ended.cpu)
    ours = next(iter(CONTENDERS))
    for name in CONTENDERS:
        table.row(name, spans[name], "s first to last", 3)
        table.row("  from launch to the last accepted", launched[name], "s", 3)
        table.row("  CPU", cpu[name], "s")
        if name != ours:
            table.ratio("  mass-stop : this, first to last", spans[ours], spans[name])
