"""Standard error that is not read, compared with the same run whose output is read."""

import fcntl
import os
import pty
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.benchmarks import common
from tests.benchmarks.table import Table

KEYS, LATENCY, SLOTS = 1_000, 0.08, 40
SINKS = ("terminal", "pipe")


def measure(table: Table, rounds: int) -> None:
    """Measure one ratio for each kind of output."""
    table.head(
        f"faults: {KEYS} keys, {LATENCY * 1000:.0f} ms, {SLOTS} slots, standard error is full and not read"
    )
    for kind in SINKS:
        read, unread = [], []
        for turn in range(rounds):
            read.append(_last_accepted(kind, is_read=True, seed=turn + 1))
            unread.append(_last_accepted(kind, is_read=False, seed=turn + 1))
        table.row(f"from the start to the last stop, {kind}", read, "s")
        table.row(f"the same, unread {kind}", unread, "s")
        table.ratio("unread : read", unread, read, "<= 1.10")


def _last_accepted(kind: str, *, is_read: bool, seed: int) -> float:
    """Return the seconds from the start of the command to the response to its last stop."""
    made = {**common.PATIENT, "stopping_time": (0.1, 0.3)}
    with (
        common.tenant(actions=KEYS, seed=seed, latency=LATENCY, concurrency=SLOTS, **made) as at,
        _output(kind, is_read=is_read) as (output, finish),
    ):
        launched = time.monotonic()
        options = ("--no-results", "--log-level", "debug") if kind == "pipe" else ("--no-results",)
        with common.start(common.mass_stop(at, *options), at, output) as process:
            while at.facts()["calls"].get("stop", 0) < KEYS:
                time.sleep(0.5)
            finish()
            if process.wait():
                raise SystemExit(f"The run with the {kind} ended with {process.returncode}.")
        accepted: float = at.facts()["last_accepted"]
        return accepted - launched


@contextmanager
def _output(kind: str, *, is_read: bool) -> Iterator[tuple[int, Callable[[], None]]]:
    """Yield a descriptor to write to, and a function that starts to read. An unread output is full from the start."""
    end, output = pty.openpty() if kind == "terminal" else os.pipe()
    if kind == "terminal":
        fcntl.ioctl(output, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))
    reader = threading.Thread(target=_read, args=(end,), daemon=True)
    if is_read:
        reader.start()
    else:
        _fill(output)
    try:
        yield output, (lambda: None) if is_read else reader.start
    finally:
        os.close(output)
        reader.join()
        os.close(end)


def _fill(output: int) -> None:
    os.set_blocking(output, False)
    with suppress(BlockingIOError):
        while True:
            os.write(output, b"." * 64)
    os.set_blocking(output, True)


def _read(end: int) -> None:
    with suppress(OSError):
        while os.read(end, 65_536):
            pass
