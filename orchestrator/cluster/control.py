"""What the caller of shards wants of them, and how they get to know it."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from orchestrator.atomic import replacing
from orchestrator.cluster import cluster
from orchestrator.engine.cutoff import Interrupted
from orchestrator.errors import MassStopError
from orchestrator.logs import Log

if TYPE_CHECKING:
    from distributed import Client

FILE = "orders.json"
LOOK = 0.25
"""Seconds between two looks at the orders, and between two tellings of the counts."""


class Orders(Struct, frozen=True):
    """What the caller wants of all its shards: to go on, to send no more stops, or no more calls at all.

    ``at`` is when they were given, in seconds since the epoch by the caller's clock.
    """

    stop_sending: str | None = None
    cut: str | None = None
    exit_status: int = 4
    at: float = 0.0

    @property
    def strictness(self) -> tuple[bool, bool]:
        return self.cut is not None, self.stop_sending is not None

    @property
    def reason(self) -> MassStopError:
        if self.exit_status > 128:
            return Interrupted(self.cut or "", self.exit_status)
        return Ordered(self.cut or self.stop_sending or "", self.exit_status)


class Ordered(MassStopError):
    """The caller wanted no more."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


def give(home: Path, orders: Orders) -> None:
    """Tells all shards below ``home``. Raises OSError."""
    with replacing(home / FILE) as file:
        file.write(msgspec.json.encode(msgspec.structs.replace(orders, at=time.time())))


def read(home: Path) -> tuple[Orders, float]:
    """What all shards below ``home`` were told last; when, in seconds since the epoch by its file system's clock.

    Raises OSError, or msgspec.DecodeError.
    """
    with (home / FILE).open("rb") as file:
        return msgspec.json.decode(file.read(), type=Orders), os.fstat(file.fileno()).st_mtime


class Control:
    """The caller's hold on the shards of a session: a file that no broken connection can hold up.

    Where it cannot be written, since the disk is full or the folder is gone, the workers are told by dask.
    """

    def __init__(self, home: Path, log: Log) -> None:
        self._home = home
        self._log = log
        self._orders = Orders()
        self._written = True
        self._told_otherwise = False

    def order(self, **changes: Any) -> None:
        self._orders = msgspec.structs.replace(self._orders, **changes)
        self._write()

    async def insist(self, client: "Client") -> None:
        """Tells again what could not be written: to be called until the shards are over. Raises OSError."""
        if not self._written:
            self._write()
        if self._written:
            return
        if not self._told_otherwise:
            self._told_otherwise = True
            self._log.warning("orders.not_written", folder=str(self._home), told_by="dask")
        await cluster.tell(client, str(self._home), msgspec.json.encode(self._orders))

    def _write(self) -> None:
        self._written = False
        with suppress(OSError):
            give(self._home, self._orders)
            self._written = True
