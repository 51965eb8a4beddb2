"""A fork server: the installed command, imported once, and forked for each call instead of started again.

Most of the CPU of a short command is its imports. A forked process is like any other: the installed package in its own
Python, with its own arguments, environment, directory, streams and signals. It keeps the server's
title, and the variables that Python or OpenSSL read at their start.

This file is both sides: the tests import it, and the command's own Python runs it as the server.
"""

import atexit
import importlib
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TextIO

_SETTING = re.compile("(ZUORA|MASS_STOP)_.*|.*_SECRET")

LONGEST_REQUEST = 100_000
"""Bytes of arguments and environment; a socket takes twice as many at once."""

PRELOADED = (
    "orchestrator.__main__",
    *(f"orchestrator.cli.{command}" for command in ("run", "plan", "resume", "report", "check")),
    "orchestrator.runs",
    "orchestrator.cli.session",
    "orchestrator.cli.summary",
    "orchestrator.report.pages.html",
)
"""The modules that commands import, at once or later. None of it starts a thread or a loop."""


# ------------------------------------------------------------------------------------------ the tests' side


class Forked:
    """A forked command: the part of ``subprocess.Popen`` that the tests use."""

    def __init__(self, status_pipe: IO[bytes], streams: Sequence[IO[bytes] | None]) -> None:
        self.stdin, self.stdout, self.stderr = streams
        self.returncode: int | None = None
        self._status_pipe = status_pipe
        self._read: dict[IO[bytes], bytes] = {stream: b"" for stream in streams[1:] if stream}
        self.pid = int(status_pipe.readline())

    def wait(self, timeout: float | None = None) -> int:
        """The exit status, negative for a signal. Raises subprocess.TimeoutExpired after ``timeout`` seconds."""
        if self.returncode is None:
            _ready({self._status_pipe}, timeout)
            self.returncode = os.waitstatus_to_exitcode(int(self._status_pipe.readline()))
            self._status_pipe.close()
        return self.returncode

    def poll(self) -> int | None:
        """The exit status, if it has ended."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Sends it a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kills it."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Standard output and standard error up to its end. Raises subprocess.TimeoutExpired."""
        end = None if timeout is None else time.monotonic() + timeout
        while going := {stream for stream in self._read if not stream.closed}:
            for stream in _ready(going, end and end - time.monotonic()):
                if data := os.read(stream.fileno(), 65_536):
                    self._read[stream] += data
                else:
                    stream.close()
        self.wait(end and end - time.monotonic())
        out, err = (self._read[stream] if stream else b"" for stream in (self.stdout, self.stderr))
        return out, err


def _ready(streams: set[IO[bytes]], timeout: float | None) -> list[Any]:
    """Those of ``streams`` that can be read. Raises subprocess.TimeoutExpired."""
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, selectors.EVENT_READ)
        found = selector.select(None if timeout is None else max(timeout, 0))
    if not found:
        raise subprocess.TimeoutExpired("mass-stop", timeout or 0)
    return [key.fileobj for key, _ in found]


class ForkServer:
    """Forks ``command``, the path of an installed mass-stop. Starts in ``environment``, and ends with the tests."""

    def __init__(self, command: Path, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [command.parent / "python", __file__, command, str(theirs.fileno())],
                env=self._environment, pass_fds=[theirs.fileno()], start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        atexit.register(self.close)

    def close(self) -> None:
        """Ends the server; forked commands continue."""
        self._socket.close()
        self._server.wait()

    def serves(self, popen: Mapping[str, Any]) -> bool:
        """Whether a command can be forked that ``subprocess.Popen`` would start so.

        It can if its environment adds only settings of mass-stop, and no code runs before it.
        """
        env = popen["env"]
        added = env.keys() - self._environment.keys()
        usual = self._environment.items() <= env.items() and all(map(_SETTING.fullmatch, added))
        return usual and popen.keys() == {"stdin", "stdout", "stderr", "cwd", "env"}

    def start(
        self,
        arguments: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: Any,
        stdout: Any,
        stderr: Any,
    ) -> Forked:
        """Forks the command, called with ``arguments``; streams are as for ``subprocess.Popen``."""
        request = json.dumps({"arguments": arguments, "cwd": str(cwd), "env": dict(env)}).encode()
        assert len(request) <= LONGEST_REQUEST
        theirs: list[int] = []
        ours: list[IO[bytes] | None] = []
        for number, stream in enumerate((stdin, stdout, stderr)):
            ends = _stream(number, stream)
            theirs.append(ends[0])
            ours.append(ends[1])
        read, write = os.pipe()
        theirs.append(write)
        try:
            socket.send_fds(self._socket, [request], theirs)
        finally:
            for end in theirs:
                os.close(end)
        return Forked(os.fdopen(read, "rb", 0), ours)


def _stream(number: int, wanted: Any) -> tuple[int, IO[bytes] | None]:
    """The descriptor that the command gets as its stream ``number``, and for a pipe, our end of it."""
    if wanted == subprocess.PIPE:
        read, write = os.pipe()
        return (read, os.fdopen(write, "wb")) if number == 0 else (write, os.fdopen(read, "rb"))
    if wanted == subprocess.DEVNULL:
        return os.open(os.devnull, os.O_RDWR), None
    return os.dup(wanted if isinstance(wanted, int) else wanted.fileno()), None


# --------------------------------------------------------------------------------------- the server's side


def serve(requests: socket.socket) -> list[str]:
    """Forks a command for each of ``requests``; returns its arguments, in that command. Ends with the tests."""
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, LONGEST_REQUEST, 4)
        _reap()
        if not request:
            os._exit(0)
        if os.fork() == 0:
            requests.close()
            return _become(json.loads(request), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become(request: dict[str, Any], descriptors: list[int]) -> list[str]:
    """Becomes the command, in a child of a process that prints its number and its exit status, a line each."""
    *streams, status_pipe = descriptors
    if command := os.fork():
        os.write(status_pipe, b"%d\n" % command)
        for stream in streams:
            os.close(stream)
        os.write(status_pipe, b"%d\n" % os.waitpid(command, 0)[1])
        os._exit(0)
    os.close(status_pipe)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout, sys.stderr = map(_reopened, (sys.stdin, sys.stdout, sys.stderr))
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    arguments: list[str] = request["arguments"]
    return arguments


def _reopened(stream: TextIO) -> Any:
    """The stream as Python makes it at a start."""
    number = stream.fileno()
    return open(number, stream.mode, 1 if number == 2 else -1, stream.encoding, stream.errors, closefd=False)


if __name__ == "__main__":
    command, number = sys.argv[1:]
    sys.path[0] = str(Path(command).parent)  # where the command itself would have been found
    for name in PRELOADED:
        importlib.import_module(name)
    sys.argv = [command, *serve(socket.socket(fileno=int(number)))]
    sys.modules["orchestrator.__main__"].main()
