"""Control messages: how the caller ends its shards early.

The caller writes one file into the session's folder, which a broken connection cannot hold up. If the file cannot be
written, it sends the message through dask.
"""

import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import IntEnum
from operator import attrgetter
from pathlib import Path

import msgspec
from msgspec import Struct

from orchestrator.atomic import replacing
from orchestrator.engine.cutoff import Interrupted
from orchestrator.errors import MassStopError
from orchestrator.logs import Log

FILE = "control.json"

INTERVAL = 0.25
"""Seconds between two reads of the control file, and between two progress messages."""


class Degree(IntEnum):
    """How early the shards of a session end. The degrees have the names of the methods of :class:`Cutoff`."""

    NONE = 0
    STOP_SENDING = 1
    INTERRUPT = 2
    CANCEL = 3


class ControlMessage(Struct, frozen=True):
    """How early the shards of a session end, and the reason with the exit status of the run.

    ``at`` is the time of writing, in seconds since the epoch by the caller's clock.
    """

    degree: Degree = Degree.NONE
    reason: str = ""
    exit_status: int = 4
    at: float = 0.0

    @property
    def error(self) -> MassStopError:
        """The reason as the error that ends a shard."""
        kind = Interrupted if self.exit_status > 128 else EndedByCaller
        return kind(self.reason, self.exit_status)

    def or_stricter(self, other: "ControlMessage") -> "ControlMessage":
        """Return the message of the higher degree; no message is ever withdrawn."""
        return max(self, other, key=attrgetter("degree"))


class EndedByCaller(MassStopError):
    """The caller ended the shard early."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


def write(session: Path, message: ControlMessage) -> None:
    """Write ``message`` for all shards in the folder ``session``. Raises OSError."""
    with replacing(session / FILE) as file:
        file.write(msgspec.json.encode(msgspec.structs.replace(message, at=time.time())))


def read(session: Path) -> tuple[ControlMessage, float]:
    """Return the last message for the shards in ``session``, and when its file was written.

    The time is in seconds since the epoch by the clock of the file system.

    Raises OSError, or msgspec.DecodeError.
    """
    with (session / FILE).open("rb") as file:
        return msgspec.json.decode(file.read(), type=ControlMessage), os.fstat(file.fileno()).st_mtime


class Control:
    """The caller's control over the shards in the folder ``session``."""

    def __init__(self, session: Path, log: Log) -> None:
        self._session = session
        self._log = log
        self._message = ControlMessage()
        self._written = True
        self._logged = False

    def send(self, degree: Degree, reason: MassStopError) -> None:
        """Send a message, unless a stricter one was sent before. Write it if possible."""
        message = ControlMessage(degree, str(reason), reason.exit_status)
        self._message = self._message.or_stricter(message)
        self._write()

    async def resend(self, through_dask: Callable[[str, bytes], Awaitable[None]]) -> None:
        """Deliver a message that could not be written. To be called again until the shards are over.

        ``through_dask`` takes the session's folder and the message in JSON. Its exceptions are passed on.
        """
        if not self._written:
            self._write()
        if self._written:
            return
        if not self._logged:
            self._logged = True
            self._log.warning("control.not_written", folder=str(self._session), sent_through="dask")
        await through_dask(str(self._session), msgspec.json.encode(self._message))

    def _write(self) -> None:
        self._written = False
        with suppress(OSError):
            write(self._session, self._message)
            self._written = True
