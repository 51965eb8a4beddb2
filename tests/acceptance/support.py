"""Common parts of the acceptance tests: a tenant in a thread, the installed command as a process, the truth."""

import asyncio
import csv
import json
import os
import select
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import jsonschema

from orchestrator.simulator import ActionTruth, Call, SimulatedTenant
from orchestrator.simulator.faults import EFFECTS, Effect
from tests.acceptance.forkserver import Forked, ForkServer

LONGEST = 200.0
"""Seconds after which a command or condition fails its test. On a busy machine, a short command may take long."""

QUICK: dict[str, Any] = {
    "latency": 0.003,
    "records": (5, 40),
    "speed": (2.0, 200.0),
    "stopping_time": (0.01, 0.1),
    "start_delay": (60.0, 90.0),
    "nothing_as": "mixed",
    "file_address": "mixed",
}
"""A tenant with little latency, whose actions stop within a tenth of a second.

It sends empty values in every form, and addresses of response files in every form.
"""

PROCESSING: dict[str, Any] = QUICK | {
    "mix": {"Processing": 1},
    "records": (400, 800),
    "speed": (0.1, 0.4),
}
"""As ``QUICK``, but every action runs for at least five minutes, so that only our stop ends it."""

NO_AUTHORITIES = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
"""No certificate authorities: loading them costs 60 ms of CPU per process, and the tenants use plain HTTP."""


def until(condition: Callable[[], Any], what: str, longest: float = LONGEST) -> Any:
    """Wait until ``condition`` returns a true value, and return it. Raises AssertionError after ``longest`` seconds."""
    end = time.monotonic() + longest
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.005)
    raise AssertionError(f"{what}: not within {longest} s")


class Tenant:
    """A simulated tenant that serves from a thread, so that a test can read its true state at any time."""

    def __init__(self, **changes: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.simulated = SimulatedTenant(**changes)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.simulated.start(), self._loop).result(LONGEST)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LONGEST)
        self._loop.close()

    def hold(self) -> None:
        """Keep each call to an action in flight until ``release``."""
        usual, self._released = self.simulated._admitted, threading.Event()

        async def held(*call: Any) -> Any:
            while not self._released.is_set():  # noqa: ASYNC110 - it is set in another thread
                await asyncio.sleep(0.005)
            return await usual(*call)

        self.simulated._admitted = held  # type: ignore[method-assign, assignment]

    def release(self) -> None:
        """Respond to the delayed calls, and to all later calls."""
        self._released.set()

    def cut(self) -> None:
        """Stop serving. The tenant is then unreachable."""
        asyncio.run_coroutine_threadsafe(self.simulated.stop(), self._loop).result(LONGEST)

    @property
    def keys(self) -> list[str]:
        return self.simulated.keys

    @property
    def log(self) -> list[Call]:
        return list(self.simulated.log)

    @property
    def environment(self) -> dict[str, str]:
        return self.simulated.environment()

    def truth(self, key: str) -> ActionTruth:
        return self.simulated.truth(key)

    def sent(self, kind: str = "stop") -> int:
        """Return the number of calls of ``kind`` that arrived."""
        return self.simulated.calls.get(kind, 0)

    def answered(self, kind: str = "stop") -> int:
        return sum(call.kind == kind and call.ended is not None for call in self.log)

    def nothing_sent(self) -> bool:
        """Return whether no call reached any action."""
        return not any(self.sent(kind) for kind in ("stop", "status", "file"))

    def tokens(self) -> list[str]:
        """Return all issued tokens that are still valid."""
        return list(self.simulated._tenant._tokens)

    def secrets(self) -> list[bytes]:
        """Return the values that must not appear anywhere: the client's secret, and the valid tokens."""
        return [text.encode() for text in (self.simulated.config.client_secret, *self.tokens())]


def family(pid: int) -> list[Path]:
    """Return a process and all its descendants as directories of /proc, without ended ones."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [Path(f"/proc/{pid}"), *(path for child in children for path in family(int(child)))]


class Ended:
    """A command that has ended."""

    def __init__(self, status: int, out: bytes, err: str, directory: Path) -> None:
        self.status = status
        self.out = out
        self.err = err
        self.directory = directory

    @property
    def report(self) -> dict[str, Any]:
        """``report.json`` of the run directory, valid by the published schema."""
        return valid((self.directory / "report.json").read_bytes())

    @property
    def sentences(self) -> list[str]:
        """The lines of standard error that are no log events."""
        return [line for line in self.err.splitlines() if line.strip() and not line.startswith("{")]

    def __repr__(self) -> str:
        return f"<exit {self.status}; stdout {self.out[:300]!r}; stderr …{self.err[-1500:]}>"


class Going:
    """A running command."""

    def __init__(
        self, process: "subprocess.Popen[bytes] | Forked", directory: Path, *, shell: bool = False
    ) -> None:
        self.process = process
        self.directory = directory
        self.shell = shell
        self.seen: list[bytes] = []

    def feed(self, keys: Iterable[str]) -> None:
        """Write keys to the command's standard input, one per line."""
        assert self.process.stdin is not None
        self.process.stdin.write("".join(f"{key}\n" for key in keys).encode())
        self.process.stdin.flush()

    def look(self) -> None:
        """Record what other users of the machine can see of the command, and the environment of its children.

        A shell that starts the command has other children, which inherit everything.
        """
        for process in family(self.process.pid):
            itself = self.shell or process.name == str(self.process.pid)
            with suppress(OSError):
                self.seen += [(process / name).read_bytes() for name in ("cmdline", "comm")]
                self.seen += [] if itself else [(process / "environ").read_bytes()]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, longest: float = LONGEST) -> Ended:
        """Wait for the end of the command. Its standard input is not closed before that."""
        self.look()
        stdin, self.process.stdin = self.process.stdin, None
        try:
            out, err = self.process.communicate(timeout=longest)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, err = self.process.communicate()
            raise AssertionError(f"not over within {longest} s; stderr …{err[-1500:].decode()}") from None
        finally:
            if stdin is not None:
                stdin.close()
        self.seen += [out or b"", err or b""]
        return Ended(self.process.wait(), out or b"", (err or b"").decode(), self.directory)


_MEASURED = ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "COVERAGE_FILE")


def own_environment() -> dict[str, str]:
    """Return the part of the tests' environment that a command gets."""
    kept = ("PATH", "HOME", "LANG", *_MEASURED)
    return {name: os.environ[name] for name in kept if name in os.environ} | NO_AUTHORITIES


@cache
def fork_server(command: Path) -> ForkServer | None:
    """Return the server for ``command``. None if there is none, or if coverage is measured from a process's start."""
    if sys.platform != "linux" or not own_environment().keys().isdisjoint(_MEASURED):
        return None
    return ForkServer(command, own_environment())


class MassStop:
    """The installed command, called in its own directory with only the given environment."""

    def __init__(self, command: Path, home: Path, *, started: bool = False) -> None:
        """With ``started``, each command is started. Otherwise a command with only its own settings is forked."""
        self.command = command
        self.home = home
        self.started = started
        self._going: list[Going] = []

    def environment(self, tenant: Tenant | None, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return own_environment() | (tenant.environment if tenant else {}) | dict(more or {})

    def start(
        self,
        *arguments: str | Path,
        tenant: Tenant | None = None,
        env: Mapping[str, str] | None = None,
        stdin: Any = subprocess.DEVNULL,
        shell: str | None = None,
        **popen: Any,
    ) -> Going:
        """Start ``mass-stop ARGUMENTS``. ``shell`` is a script for sh in which ``"$@"`` is that command."""
        words = [str(self.command), *map(str, arguments)]
        out = next((words[n + 1] for n, word in enumerate(words[:-1]) if word == "--out"), None)
        if out is None and len(words) > 2 and words[1] in ("resume", "report"):
            out = words[2]
        given = {
            "stdin": stdin,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "cwd": self.home,
            "env": self.environment(tenant, env),
        } | popen
        process: subprocess.Popen[bytes] | Forked
        server = None if shell or self.started else fork_server(self.command)
        if server and server.serves(given):
            process = server.start(words[1:], **given)
        else:
            process = subprocess.Popen(["/bin/sh", "-c", shell, "sh", *words] if shell else words, **given)
        going = Going(process, self.home / (out or "none"), shell=shell is not None)
        self._going.append(going)
        return going

    def __call__(
        self, *arguments: str | Path, stdin: bytes | None = None, longest: float = LONGEST, **start: Any
    ) -> Ended:
        """Run ``mass-stop ARGUMENTS`` to its end, with ``stdin`` as its standard input."""
        if stdin is None:
            return self.start(*arguments, **start).end(longest)
        if len(stdin) <= select.PIPE_BUF:
            read, write = os.pipe()
            with os.fdopen(read, "rb") as pipe:
                with os.fdopen(write, "wb") as filled:
                    filled.write(stdin)
                going = self.start(*arguments, stdin=pipe, **start)
            return going.end(longest)
        # From a file, so that no thread has to write while the command reads.
        path = self.home / f"stdin-{len(self._going)}"
        path.write_bytes(stdin)
        return self.start(*arguments, shell=f"cat '{path}' | \"$@\"", **start).end(longest)

    def after(self, code: str, prefix: str = "") -> str:
        """Return a shell script that starts the command after ``prefix``, in a Python that runs ``code`` first."""
        runner = Path(__file__).with_name("after.py")
        return f'exec {prefix} {self.command.parent / "python"} {runner} {shlex.quote(code)} "$@"'

    def run(self, tenant: Tenant | None, *arguments: str | Path, out: str = "run", **start: Any) -> Ended:
        """Run ``mass-stop run --yes --out run ARGUMENTS`` to its end."""
        return self("run", "--yes", "--out", out, *arguments, tenant=tenant, **start)

    def close(self) -> None:
        """Kill the processes that a failed test has left."""
        for going in self._going:
            if going.process.poll() is None:
                going.process.send_signal(signal.SIGKILL)
                going.process.wait()
            for stream in (going.process.stdin, going.process.stdout, going.process.stderr):
                if stream is not None:
                    stream.close()

    def leaks(self, secrets: Iterable[bytes]) -> list[str]:
        """Return the places that contain one of ``secrets``: streams, process titles, files of a run, core dumps."""
        wanted = list(secrets)
        found = [
            f"process {going.process.pid} showed a secret"
            for going in self._going
            if any(secret in data for data in going.seen for secret in wanted)
        ]
        for journal in self.home.rglob("journal.db"):
            files = [path for path in journal.parent.rglob("*") if path.is_file() and not path.is_symlink()]
            found += [str(path) for path in files if any(secret in path.read_bytes() for secret in wanted)]
        return found + [str(path) for path in self.home.rglob("core*")]

    def keys(self, keys: Iterable[str], name: str = "keys.txt") -> Path:
        """Write a file with one key per line, and return its path."""
        path = self.home / name
        path.write_text("".join(f"{key}\n" for key in keys))
        return path


_schema: dict[str, Any] = {}


def publish_schema(command: Path) -> None:
    """Read the schema from the command, once."""
    if not _schema:
        printed = subprocess.run(
            [command, "report", "--schema"], capture_output=True, check=True, timeout=LONGEST
        )
        _schema.update(json.loads(printed.stdout))
        jsonschema.Draft202012Validator.check_schema(_schema)


def valid(data: bytes) -> dict[str, Any]:
    """Return the report in ``data``, after a check against the published schema and its own sums."""
    report: dict[str, Any] = json.loads(data)
    jsonschema.Draft202012Validator(_schema).validate(report)
    summary, actions = report["summary"], report["actions"]
    assert sum(summary["outcomes"].values()) == len(actions)
    assert summary["keys"] + summary["malformed"] == len(actions)
    return report


def outcomes(report: dict[str, Any]) -> dict[str, str]:
    """Return the outcome of every action by its bulk key."""
    return {action["bulk_key"]: action["outcome"] for action in report["actions"]}


_STATUS_OF = {
    "stopped": "Stopped",
    "already_stopped": "Stopped",
    "already_completed": "Completed",
    "completed_before_stop": "Completed",
    "already_failed": "Failed",
}


_HIDING = frozenset(fault for fault, effect in EFFECTS.items() if effect is not Effect.NONE)
"""Faults that may hide that a stop took effect."""


def lies(report: dict[str, Any], tenant: Tenant) -> list[str]:
    """Return the differences between the report and the tenant's true state. An unfinished report may know less."""
    found = [f"protocol: {problem}" for problem in tenant.simulated.problems]
    for action in report["actions"]:
        if action["outcome"] == "malformed" or action["bulk_key"] not in tenant.keys:
            continue
        truth = tenant.truth(action["bulk_key"])
        outcome, key = action["outcome"], action["bulk_key"]
        if outcome in _STATUS_OF and truth.status != _STATUS_OF[outcome]:
            found.append(f"{key}: reported {outcome}, is {truth.status}")
        if outcome == "stopped" and not truth.stops_received:
            found.append(f"{key}: reported stopped, and no stop of ours arrived")
        # Without the response to a stop, it is unknown whether the stop came before the end of a Completed action.
        unknown = outcome == "already_completed" and any(
            call.kind == "stop" and call.key == key and call.fault in _HIDING for call in tenant.log
        )
        over_before = outcome in ("not_attempted", "already_stopped", "already_completed") and not unknown
        if over_before and truth.stop_effective_at:
            found.append(f"{key}: reported {outcome}, and our stop took effect")
        records = action["records"]
        if outcome in _STATUS_OF and records["source"] == "response_file":
            counted = (records["total"], records["succeeded"], records["failed"])
            if counted != (truth.total, truth.succeeded, truth.failed):
                found.append(f"{key}: counted {counted}, is {(truth.total, truth.succeeded, truth.failed)}")
    return found


def table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
