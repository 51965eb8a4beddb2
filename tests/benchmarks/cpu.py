"""CPU per key: mass-stop (stop, status, journal, report, logs) compared with a bare aiohttp loop of the same calls."""

from tests.benchmarks import common
from tests.benchmarks.table import Table

KEYS = 5_000


def measure(table: Table, rounds: int | None = None, long: bool = False) -> None:
    """Divide user and system time of the whole process by the number of keys. Nothing is subtracted."""
    table.head(f"cpu: {KEYS} keys, one stop and one status each, tenant without latency, both on uvloop")
    ours, theirs, start, their_start, calls = [], [], [], [], []
    for _ in range(rounds or 5):
        cpu, made = _cpu(KEYS, ours=True)
        ours.append(cpu / KEYS * 1e6)
        calls.append(made / KEYS)
        theirs.append(_cpu(KEYS, ours=False)[0] / KEYS * 1e6)
        start.append(_cpu(1, ours=True)[0] * 1e3)
        their_start.append(_cpu(1, ours=False)[0] * 1e3)
    table.row("mass-stop", ours, "us a key", 0)
    table.row("bare aiohttp loop, 40 workers", theirs, "us a key", 0)
    table.ratio("mass-stop : bare loop", ours, theirs, "<= 1.50")
    table.row("calls a key of mass-stop", calls, digits=3, wanted="2")
    table.row("fixed: mass-stop with one key", start, "ms", 0)
    table.row("fixed: bare loop with one key", their_start, "ms", 0)
    marginal = [(a - b * 1e3 / KEYS) / (c - d * 1e3 / KEYS) for a, b, c, d in zip(ours, start, theirs, their_start, strict=True)]  # fmt: skip # noqa: E501
    table.row("ratio without the fixed parts", marginal, "x")


def _cpu(keys: int, *, ours: bool) -> tuple[float, int]:
    with common.tenant(actions=keys, keep_log=False, **common.AT_ONCE) as at:
        command = common.mass_stop(at, "--quiet") if ours else common.script("bare", at)
        ended = common.run(command, at)
        calls = at.facts()["calls"]
        return ended.cpu, calls["stop"] + calls["status"]
