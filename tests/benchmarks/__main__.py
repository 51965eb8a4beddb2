"""``python -m tests.benchmarks [NAME...] [--rounds N] [--long]`` prints one table with one line per measure."""

import argparse
import importlib
import os
import platform
import sys
from datetime import UTC, datetime

from tests.benchmarks.table import Table

BENCHES = {
    "stops": "how long 1,000 stops take, against the ideal and against curl --parallel",
    "order": "results answered while stops were still to be accepted",
    "launch": "from the start of the process to the first stop on the wire",
    "cpu": "CPU a key, against a bare aiohttp loop doing the same two calls",
    "growth": "time and memory from 2,000 to 50,000 keys (--long: to 200,000)",
    "tenants": "many tenants in one process and on dask workers",
    "pacing": "use, refusals and order of many seeded days in virtual time",
    "faults": "slow calls, downloads, unread output, outages of 10 s (--long: of 60 s)",
    "scaling": "many tenants on many cores, by a model",
    "records": "response files: CPU a record against a pyarrow script, time to the exit, memory, stops meanwhile",
    "instead": "what else one might pick: xargs and curl, an asyncio script",
}


def main() -> None:
    """Run the named benchmarks, or all, one after another. Print each figure as soon as it is known."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        epilog="\n".join(f"{name:8} {what}" for name, what in BENCHES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="some of those below; all, if none")
    parser.add_argument(
        "--rounds", type=int, help="how often each contender runs (each bench has its own default)"
    )
    parser.add_argument(
        "--long", action="store_true", help="growth up to 200,000 keys, outages of 60 s: takes minutes"
    )
    given = parser.parse_args()
    if unknown := [name for name in given.names if name not in BENCHES]:
        parser.error(f"no bench {unknown[0]!r}; there are {', '.join(BENCHES)}")

    table = Table()
    table.remark(
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, CPython {platform.python_version()}, {os.cpu_count()} cores, "
        f"load {os.getloadavg()[0]:.1f} at the start. Contenders take turns; median (least - most); ratios are the "
        "median of the ratios within each turn."
    )
    for name in given.names or BENCHES:
        bench = importlib.import_module(f"tests.benchmarks.{name}")
        bench.measure(table, rounds=given.rounds, long=given.long)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
