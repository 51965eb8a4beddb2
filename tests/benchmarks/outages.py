"""A tenant that is down for a while: the time from its return to the first stop, and whether the run finishes."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from orchestrator.model import OVER
from tests.benchmarks import common
from tests.benchmarks.table import Table
from tests.faulty_gateway import FaultyGateway, page

KEYS, LATENCY, SLOTS = 1_000, 0.08, 40
OUTAGE, SHORT, BEFORE = 60.0, 10.0, 0.5
DOWN: dict[str, str | bytes] = {
    "refuse": "refuse",
    "reset": "reset",
    "hang": "hang",
    "503": page(503),
    "HTML under 200": page(200),
    "HTML under 403": page(403),
    "HTML under 404": page(404),
}
"""The ways in which a tenant is down."""

MOMENT = 0.5
STATUSES = (200, 302, 307, 400, 401, 403, 404, 405, 409, 418, 421, 423, 425, 451, 499, 500, 502, 503, 504)
ANSWERS: dict[str, bytes] = {
    **{f"HTML under {status}": page(status) for status in STATUSES},
    "an empty 403": page(403, b""),
    "an empty 404": page(404, b""),
}
"""Responses of a gateway."""


NAME, CACHED = "localhost", 10.0
"""The tenant's host name, and the seconds for which aiohttp caches its address."""


def measure(table: Table, long: bool) -> None:
    """Measure outages of a minute if ``long``, otherwise shorter ones."""
    seconds = OUTAGE if long else SHORT
    table.head(f"faults: {KEYS} keys, the tenant is down for {seconds:.0f} s (--long: {OUTAGE:.0f} s)")
    for name, fault in DOWN.items():
        _show(table, name, _outage(fault, seconds))
    _without_name(table, seconds)
    table.head(f"faults: {KEYS} keys, {MOMENT} s of each of {len(ANSWERS)} answers of a gateway")
    ended = {name: _outage(answer, MOMENT) for name, answer in ANSWERS.items()}
    table.row("exit status", [run.status for run in ended.values()], digits=0, wanted="0")
    table.row("keys not over", [run.left for run in ended.values()], digits=0, wanted="0")
    for name, run in ended.items():
        if run.status or run.left:
            table.remark(f"{name}: exit status {run.status}, {run.left} keys not over")


@dataclass(frozen=True)
class Ended:
    """A run after its end.

    Attributes:
        status: its exit status.
        left: number of keys that are not over.
        after: seconds from the tenant's return to each later stop.
    """

    status: int
    left: int
    after: Sequence[float]


def _show(table: Table, name: str, ended: Ended) -> None:
    table.row(f"first stop after {name}", ended.after[:1], "s", wanted="<= 2.00")
    table.row("last stop after it", ended.after[-1:], "s")
    table.row("exit status", [ended.status], digits=0, wanted="0")
    table.row("keys not over", [ended.left], digits=0, wanted="0")


def _outage(fault: str | bytes, seconds: float) -> Ended:
    """Run while the tenant is down for ``seconds`` in the middle."""
    with _tenant() as (at, gateway), _run(at, gateway) as process:
        gateway.break_down(fault)
        time.sleep(seconds)
        return _ended(process, at, gateway, back=gateway.repair())


def _without_name(table: Table, seconds: float) -> None:
    """Run while the tenant's name does not resolve and no connection stays open. The command has its own hosts file."""
    with TemporaryDirectory(prefix="mass-stop-bench-") as folder, _tenant() as (at, gateway):
        hosts, resolver = Path(folder, "hosts"), Path(folder, "resolv.conf")
        resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        hosts.write_text(f"127.0.0.1 {NAME}\n")
        mounts = f"mount --bind {hosts} /etc/hosts && mount --bind {resolver} /etc/resolv.conf"
        apart = ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh"]
        if shutil.which("unshare") is None or subprocess.run([*apart, "true"], check=False).returncode:
            table.remark("DNS: not measured. Mount namespaces need root and util-linux.")
            return
        at.environment["ZUORA_BASE_URL"] = f"http://{NAME}:{gateway.port}"
        with _run(at, gateway, apart) as process:
            hosts.write_text("")
            gateway.break_down("refuse")
            time.sleep(CACHED + seconds)
            hosts.write_text(f"127.0.0.1 {NAME}\n")
            _show(table, "DNS", _ended(process, at, gateway, back=gateway.repair()))


@contextmanager
def _tenant() -> Iterator[tuple[common.Tenant, FaultyGateway]]:
    """Start a tenant behind a gateway."""
    made = {**common.PATIENT, "stopping_time": (0.1, 0.3)}
    with ExitStack() as stack:
        at = stack.enter_context(common.tenant(actions=KEYS, latency=LATENCY, concurrency=SLOTS, **made))
        port = int(at.environment["ZUORA_BASE_URL"].rpartition(":")[2])
        gateway = stack.enter_context(FaultyGateway(port))
        at.environment["ZUORA_BASE_URL"] = gateway.base_url
        yield at, gateway


@contextmanager
def _run(
    at: common.Tenant, gateway: FaultyGateway, apart: Sequence[str] = ()
) -> "Iterator[subprocess.Popen[bytes]]":
    """Start a run, and wait until it has sent stops for a while. ``apart`` is the command that starts it."""
    with common.start([*apart, *common.mass_stop(at, "--no-results", "--quiet")], at) as process:
        while not gateway.stops or time.monotonic() < gateway.stops[0] + BEFORE:
            time.sleep(0.01)
        yield process


def _ended(
    process: "subprocess.Popen[bytes]", at: common.Tenant, gateway: FaultyGateway, back: float
) -> Ended:
    """Wait for the end of a run whose tenant came back at ``back`` (monotonic clock)."""
    status = process.wait()
    outcomes = json.loads((at.folder / "run" / "report.json").read_text())["summary"]["outcomes"]
    after = [sent - back for sent in gateway.stops if sent >= back]
    left = KEYS - sum(outcomes.get(outcome.value, 0) for outcome in OVER)
    return Ended(status, left, after)
