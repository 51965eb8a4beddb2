"""The time from the start of the process to the arrival of its first stop at the tenant, with its parts."""

import re
import subprocess
from collections import Counter

from tests.benchmarks import common
from tests.benchmarks.table import Table

SHOWN = 14


def measure(table: Table, rounds: int | None = None, long: bool = False) -> None:
    """Measure with a tenant without latency. Token and connection take their normal time."""
    table.head("launch: process start to the first stop's arrival, tenant without latency")
    ours, least, bare, imports = [], [], [], []
    for turn in range((rounds or 11) + 1):
        first = [_first_stop(which) for which in ("mass-stop", "first")]
        python, aiohttp = (_wall(code) for code in ("pass", "import aiohttp, uvloop"))
        if turn:  # the first turn writes .pyc files and fills the disk cache
            ours.append(first[0])
            least.append(first[1])
            bare.append(python)
            imports.append(aiohttp)
    table.row("mass-stop", ours, "s", 3, "<= 0.350")
    table.row("least aiohttp script: token, one stop", least, "s", 3)
    table.row("python -c 'import aiohttp, uvloop'", imports, "s", 3)
    table.row("python -c pass", bare, "s", 3)
    table.ratio("mass-stop : least aiohttp script", ours, least)
    _breakdown(table)


def _first_stop(which: str) -> float:
    with common.tenant(actions=40, **common.AT_ONCE) as at:
        command = common.mass_stop(at, "--quiet") if which == "mass-stop" else common.script(which, at)
        ended = common.run(command, at)
        return at.facts()["first_stop"] - ended.launched


def _wall(code: str) -> float:
    with common.tenant(actions=1) as at:
        return common.run([common.PYTHON, "-c", code], at).wall


def _breakdown(table: Table) -> None:
    """Print shares of import time. -X importtime doubles the time, so the sum does not matter."""
    with common.tenant(actions=1, **common.AT_ONCE) as at:
        timings = subprocess.run(
            [common.PYTHON, "-X", "importtime", *common.mass_stop(at, "--quiet")],
            env={"PATH": "/usr/bin:/bin", **at.environment},
            capture_output=True,
            text=True,
            check=True,
        ).stderr
    spent: Counter[str] = Counter()
    for own, name in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", timings):
        spent[name.partition(".")[0]] += int(own)
    table.remark(f"-X importtime: {spent.total() / 1000:.0f} ms in all; by package, its own modules' time:")
    shown = [f"{name} {micros / 1000:.1f}" for name, micros in spent.most_common(SHOWN)]
    table.remark("  " + ", ".join(shown))
