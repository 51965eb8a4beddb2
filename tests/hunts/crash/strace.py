"""The installed command under strace, which kills it or fails a call at a chosen system call.

strace counts the calls of each thread separately: ``when=3`` is the third call of the first thread that makes three.
To try each call of one thread, strace attaches to that thread only, once the run waits for its keys.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.acceptance.support import Ended, Going, MassStop, Tenant, until

FOUND = shutil.which("strace")

PATIENCE = 200.0
"""Seconds after which a command counts as hanging, even on a busy machine."""

needs_strace = pytest.mark.skipif(
    FOUND is None, reason="strace is not installed (Debian: apt-get install strace)"
)

WRITES = ("write", "pwrite64", "ftruncate")
SYNCS = ("fsync", "fdatasync")
NAMES = ("rename", "unlink", "unlinkat", "mkdir", "rmdir", "fchmod")
CHANGES = (*WRITES, *SYNCS, *NAMES)
"""Every kind of system call with which a run changes a file, a name or a socket."""

COMPILED = {"PYTHONDONTWRITEBYTECODE": "1"}
"""Excludes the interpreter's own files from the counts."""


class Point(NamedTuple):
    """The ``nth`` call of ``call`` in ``thread``.

    ``thread`` is ``first`` (the first to reach that number, from the start), ``main`` or ``journal``. ``error`` is the
    error of the call. Without it, the process is killed.
    """

    thread: str
    call: str
    nth: int
    error: str | None = None

    def __str__(self) -> str:
        return f"{self.error or 'SIGKILL'} at {self.call} {self.nth} of {self.thread}"


def run_killed_at(mass_stop: MassStop, tenant: Tenant, point: Point, *arguments: str) -> bool:
    """Run the keys of ``keys.txt`` into ``run``. Return whether the run was killed before its end."""
    inject = f"inject={point.call}:signal=KILL:when={point.nth}"
    if point.thread == "first":
        ended = under_strace(mass_stop, tenant, ["-e", inject], mass_stop.home / "keys.txt", *arguments)
        return ended.status != 0
    return _attached(mass_stop, tenant, point.thread, ["-e", inject], *arguments).status != 0


def _attached(
    mass_stop: MassStop,
    tenant: Tenant,
    thread: str,
    options: Sequence[str],
    *arguments: str,
    trace: Path | None = None,
) -> Ended:
    """Run ``mass-stop run -`` to its end. strace attaches to one thread when the run waits for its keys."""
    going = waiting_run(mass_stop, tenant, *arguments)
    number = going.process.pid if thread == "main" else int((mass_stop.home / "journal-thread").read_text())
    tracer = attach(number, options, trace)
    going.feed((mass_stop.home / "keys.txt").read_text().splitlines())
    assert going.process.stdin is not None
    going.process.stdin.close()
    going.process.stdin = None
    ended = going.end(PATIENCE)
    tracer.wait(PATIENCE)
    return ended


def under_strace(
    mass_stop: MassStop,
    tenant: Tenant,
    injections: Sequence[str],
    *arguments: str | Path,
    command: Sequence[str] = ("run", "--yes", "--out", "run"),
    trace: Path | None = None,
) -> Ended:
    """Run ``mass-stop run`` to its end with all threads under strace from the start."""
    filters = " ".join(f"'{word}'" for word in injections)
    calls = ",".join(CHANGES)
    shell = f"exec strace -f -qq -y -o '{trace or '/dev/null'}' -e trace={calls} {filters} \"$@\""
    return mass_stop(*command, *arguments, tenant=tenant, env=COMPILED, shell=shell, longest=PATIENCE)


WRITE_THREAD = """
import threading
run = threading.Thread.run
def write(self):
    if self.name == "journal":
        with open("journal-thread", "w") as file:
            file.write(str(threading.get_native_id()))
    run(self)
threading.Thread.run = write
"""
"""Writes the id of the journal's thread, which strace needs, to a file."""


def waiting_run(mass_stop: MassStop, tenant: Tenant, *arguments: str) -> Going:
    """Start a run, and return it when it has its journal and waits for keys on standard input."""
    log = mass_stop.home / "run" / "run.log"
    going = mass_stop.start(
        "run", "--yes", "--out", "run", *arguments, "-",
        tenant=tenant, env=COMPILED, stdin=subprocess.PIPE, shell=mass_stop.after(WRITE_THREAD),
    )  # fmt: skip
    until(lambda: log.exists() and b"run.started" in log.read_bytes(), "the run's start", PATIENCE)
    return going


def attach(thread: int, options: Sequence[str], trace: Path | None = None) -> "subprocess.Popen[str]":
    """Attach strace to one thread of a running process, and return when it is attached."""
    words = ["strace", "-o", str(trace or os.devnull), "-p", str(thread), *options]
    tracer = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    line = tracer.stderr.readline()
    assert "attached" in line, line
    tracer.stderr.close()
    return tracer


def run_failing_at(
    mass_stop: MassStop, tenant: Tenant, point: Point, *arguments: str, ever_after: bool
) -> tuple[Ended, bool]:
    """Run the keys of ``keys.txt`` into ``run`` while a call fails, once or ``ever_after``.

    Return the end of the run, and whether it reached that call.
    """
    trace = mass_stop.home / "trace.txt"
    inject = f"inject={point.call}:error={point.error}:when={point.nth}{'+' if ever_after else ''}"
    options = ["-e", f"trace={point.call}", "-e", inject]
    keys = mass_stop.home / "keys.txt"
    if point.thread == "first":
        ended = under_strace(mass_stop, tenant, options, keys, *arguments, trace=trace)
    else:
        ended = _attached(mass_stop, tenant, point.thread, options, *arguments, trace=trace)
    return ended, "INJECTED" in trace.read_text()
