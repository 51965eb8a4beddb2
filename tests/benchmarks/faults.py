"""The cost of the tenant's faults, each compared with the same run without the fault."""

import json
import shlex
from statistics import mean
from typing import Any

from tests.benchmarks import common, outages, sinks
from tests.benchmarks.table import Table

KEYS, LATENCY, SLOTS = 1_000, 0.08, 40
HANG = 60.0
DOWNLOAD, LATE = 10.0, 5.0
LOG_NORMAL_ROUNDS = 8
"""Runs with a log-normal latency differ much, so they need more rounds."""


def measure(table: Table, rounds: int | None = None, long: bool = False) -> None:
    """Measure each kind of fault in a section of its own."""
    _hangs(table, rounds or 3)
    _log_normal(table, rounds or LOG_NORMAL_ROUNDS)
    _downloads(table, rounds or 3)
    sinks.measure(table, rounds or 3)
    outages.measure(table, long)


# ------------------------------------------------------------------------------ slow calls


def _hangs(table: Table, rounds: int) -> None:
    table.head(f"faults: {KEYS} keys, {LATENCY * 1000:.0f} ms, {SLOTS} slots, some calls hang {HANG:.0f} s")
    plain, plain_processed = [], []
    hung: dict[float, list[float]] = {0.01: [], 0.05: []}
    processed: dict[float, list[float]] = {0.01: [], 0.05: []}
    calls: dict[float, list[float]] = {0.01: [], 0.05: []}
    for turn in range(rounds):
        facts, _ = _run(seed=turn + 1)
        plain.append(facts["last_accepted"] - facts["first_stop"])
        plain_processed.append(facts["action_seconds"])
        for share in hung:
            faults = {"shares": {"hang": share}, "hang_seconds": HANG}
            facts, summary = _run(seed=turn + 1, faults=faults)
            hung[share].append(
                summary["timing"]["last_stop_seconds"] - summary["timing"]["first_stop_seconds"]
            )
            processed[share].append(facts["action_seconds"])
            calls[share].append(summary["calls"]["hedged"])
    table.row("last accepted stop, no hangs", plain, "s")
    for share, wanted in ((0.01, "<= 2.00"), (0.05, "<= 3.00")):
        table.row(f"last accepted stop, {share:.0%} hang", hung[share], "s")
        table.ratio(f"{share:.0%} hang : no hangs", hung[share], plain, wanted)
        table.ratio(
            "records processed before the stop",
            processed[share],
            plain_processed,
            "<= 1.10" * (share == 0.01),
        )
        table.row("hedged calls", calls[share], digits=0)


def _log_normal(table: Table, rounds: int) -> None:
    table.head(
        f"faults: {KEYS} keys, log-normal latency (median {LATENCY * 1000:.0f} ms, sigma 1), {SLOTS} slots"
    )
    last: dict[str, list[float]] = {"automatic": [], "off": []}
    calls: dict[str, list[float]] = {"automatic": [], "off": []}
    for turn in range(rounds):
        for setting in last:
            options = () if setting == "automatic" else ("--hedge", "off")
            _, summary = _run(*options, seed=turn + 1, latency_sigma=1.0)
            timing, made = summary["timing"], summary["calls"]
            last[setting].append(timing["last_stop_seconds"] - timing["first_stop_seconds"])
            calls[setting].append(made["stop"] + made["status"] + made["file"])
    table.row("last accepted stop, mean", last["automatic"], "s", middle=mean)
    table.row("last accepted stop, --hedge off, mean", last["off"], "s", middle=mean)
    pairs = zip(last["automatic"], last["off"], strict=True)
    table.row(
        "automatic : off, mean", [one / other for one, other in pairs], "x", wanted="<= 1.00", middle=mean
    )
    table.ratio("calls, automatic : off", calls["automatic"], calls["off"], "<= 1.05")


def _downloads(table: Table, rounds: int) -> None:
    table.head(f"faults: a key that is read while all slots download, {DOWNLOAD:.0f} s a file")
    for slots in (1, SLOTS):
        waited = [_wait_for_slot(slots, seed=turn + 1) for turn in range(rounds)]
        table.row(f"from the row to its stop, {slots} slots", waited, "s", wanted="<= 1.00")


# ------------------------------------------------------------------------------ runs


def _run(*options: str, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the calls that the tenant received in one run, and the summary of its report."""
    made = {
        "latency_jitter": 0.1,
        "repeat_stop": "refuse",
        **common.PATIENT,
        "stopping_time": (0.1, 0.3),
        **changes,
    }
    with common.tenant(actions=KEYS, latency=LATENCY, concurrency=SLOTS, **made) as at:
        common.run(common.mass_stop(at, "--no-results", "--quiet", *options), at)
        return at.facts(), _summary(at)


def _summary(at: common.Tenant) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((at.folder / "run" / "report.json").read_text())["summary"]
    return found


def _wait_for_slot(slots: int, seed: int) -> float:
    """Return the seconds from writing a row to the input until the arrival of its stop at the tenant."""
    first = 2 * slots
    made = {**common.PATIENT, "stopping_time": (0.1, 0.3), "download_seconds": DOWNLOAD}
    with common.tenant(actions=first + 1, seed=seed, latency=LATENCY, concurrency=SLOTS, **made) as at:
        command = common.mass_stop(at, "--quiet", "--concurrency", str(slots))
        command[2] = "-"
        keys, written = shlex.quote(str(at.keys)), at.folder / "written"
        feed = (
            f"head -n {first + 1} {keys}; sleep {LATE}; cut -d ' ' -f 1 /proc/uptime > {shlex.quote(str(written))}; "
            f"tail -n 1 {keys}; sleep 1"
        )
        common.run(["sh", "-c", f"({feed}) | {shlex.join(command)}"], at)
        return at.facts()["last_stop"] - float(written.read_text())
