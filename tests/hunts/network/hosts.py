"""Separate hosts: network namespaces of this machine, connected by a bridge in another namespace.

All interfaces and addresses are inside the namespaces. The machine's own network does not change.
"""

import ctypes
import os
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.acceptance.cluster import Host

LONGEST = 30.0
_NEW_NET = 0x40000000  # CLONE_NEWNET of linux/sched.h


class NotHere(Exception):
    """This machine does not allow network namespaces. The message has the reason."""


class Network:
    """A bridge, and a connected host for each of ``names``. Raises NotHere if it cannot be created."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._stack = ExitStack()
        self._hub = self._space("hub")

    def __enter__(self) -> Self:
        if shutil.which("ip") is None:
            raise NotHere("there is no command ip: Debian has it in iproute2")
        if os.geteuid() != 0:
            raise NotHere("network namespaces need root")
        try:
            self._make()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def host(self, name: str) -> Host:
        return Host(self._address(name), ("ip", "netns", "exec", self._space(name)))

    def cut(self, name: str) -> None:
        """Disconnect a host from the bridge."""
        _ip("-n", self._hub, "link", "set", name, "down")

    def restore(self, name: str) -> None:
        _ip("-n", self._hub, "link", "set", name, "up")

    def move_here(self, name: str) -> None:
        """Move the calling thread to a host. The sockets that it creates later are there."""
        with Path("/run/netns", self._space(name)).open() as space:
            if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), _NEW_NET) != 0:
                raise OSError(ctypes.get_errno(), f"setns to {name}")

    def _make(self) -> None:
        try:
            self._add(self._hub)
            _ip("-n", self._hub, "link", "add", "bridge", "type", "bridge")
        except subprocess.CalledProcessError as error:
            raise NotHere(f"{' '.join(error.cmd)}: {error.stderr.strip()}") from None
        _ip("-n", self._hub, "link", "set", "bridge", "up")
        for name in self._names:
            space = self._space(name)
            self._add(space)
            _ip("-n", self._hub, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", space)
            _ip("-n", self._hub, "link", "set", name, "master", "bridge", "up")
            _ip("-n", space, "address", "add", f"{self._address(name)}/24", "dev", "eth0")
            for interface in ("lo", "eth0"):
                _ip("-n", space, "link", "set", interface, "up")

    def _add(self, space: str) -> None:
        _ip("netns", "add", space)
        self._stack.callback(_ip, "netns", "delete", space)

    def _space(self, name: str) -> str:
        return f"mass-stop-{os.getpid()}-{name}"

    def _address(self, name: str) -> str:
        return f"10.77.0.{1 + self._names.index(name)}"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=LONGEST)
