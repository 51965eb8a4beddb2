"""A fork server: the installed command is imported once and forked for each call, instead of started again.

Most CPU time of a short command is its imports. A forked process has the installed package in its own Python, and its
own arguments, environment, directory, streams and signals. Two things differ: it keeps the server's title, and the
environment variables that Python or OpenSSL read when they start.

Both sides use this file: the tests import it, and the command's own Python runs it as the server.
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
"""Most bytes of arguments and environment. A socket accepts twice as many at once."""

PRELOADED = (
    "orchestrator.__main__",
    *(f"orchestrator.cli.{command}" for command in ("run", "plan", "resume", "report", "check")),
    "orchestrator.runs",
    "orchestrator.cli.session",
    "orchestrator.cli.summary",
    "orchestrator.report.pages.html",
)
"""The modules that commands import, at once or later. None of them starts a thread or an event loop."""


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
        """Return the exit status, negative for a signal. Raises subprocess.TimeoutExpired after ``timeout`` seconds."""
        if self.returncode is None:
            _ready({self._status_pipe}, timeout)
            self.returncode = os.waitstatus_to_exitcode(int(self._status_pipe.readline()))
            self._status_pipe.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit status, or None if the command has not ended."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the command has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, unless the command has ended."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        """Return standard output and standard error, read to their ends. Raises subprocess.TimeoutExpired."""
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
    """Return those of ``streams`` that can be read. Raises subprocess.TimeoutExpired."""
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, selectors.EVENT_READ)
        found = selector.select(None if timeout is None else max(timeout, 0))
    if not found:
        raise subprocess.TimeoutExpired("mass-stop", timeout or 0)
    return [key.fileobj for key, _ in found]


class ForkServer:
    """Forks ``command``, the path of an installed mass-stop. Its server starts in ``environment``."""

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
        """End the server. Forked commands continue."""
        self._socket.close()
        self._server.wait()

    def serves(self, popen: Mapping[str, Any]) -> bool:
        """Return whether a command with the arguments ``popen`` of ``subprocess.Popen`` can be forked.

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
        """Fork the command with ``arguments``. The streams have the same meaning as for ``subprocess.Popen``."""
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
    """Return the command's descriptor for its stream ``number``, and our end of it if it is a pipe."""
    if wanted == subprocess.PIPE:
        read, write = os.pipe()
        return (read, os.fdopen(write, "wb")) if number == 0 else (write, os.fdopen(read, "rb"))
    if wanted == subprocess.DEVNULL:
        return os.open(os.devnull, os.O_RDWR), None
    return os.dup(wanted if isinstance(wanted, int) else wanted.fileno()), None


# --------------------------------------------------------------------------------------- the server's side


def serve(requests: socket.socket) -> list[str]:
    """Fork a command for each of ``requests``. Return its arguments in that command. The server ends with the tests."""
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
    """Become the command in a new child. Its parent writes the child's process id and exit status, one per line."""
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
    """Return the stream as Python opens it at its start."""
    number = stream.fileno()
    return open(number, stream.mode, 1 if number == 2 else -1, stream.encoding, stream.errors, closefd=False)


if __name__ == "__main__":
    command, number = sys.argv[1:]
    sys.path[0] = str(Path(command).parent)  # the same folder as for the command itself
    for name in PRELOADED:
        importlib.import_module(name)
    sys.argv = [command, *serve(socket.socket(fileno=int(number)))]
    sys.modules["orchestrator.__main__"].main()
