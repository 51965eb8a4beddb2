"""Control messages: how the caller ends its shards early.

The caller writes one file into the session's folder, which a broken connection cannot hold up. If the file cannot be
written, it sends the message through dask.
"""

import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from orchestrator.atomic import replacing
from orchestrator.engine.cutoff import Interrupted
from orchestrator.errors import MassStopError
from orchestrator.logs import Log

FILE = "control.json"

INTERVAL = 0.25
"""Seconds between two reads of the control file, and between two progress messages."""


class ControlMessage(Struct, frozen=True):
    """The orders for the shards of a session: continue, send no more stops, read unread statuses only, or make no call.

    ``stop_sending``, ``interrupt`` and ``cut`` are reasons, or None. ``at`` is the time of writing, in seconds since
    the epoch by the caller's clock.
    """

    stop_sending: str | None = None
    interrupt: str | None = None
    cut: str | None = None
    exit_status: int = 4
    at: float = 0.0

    @property
    def strictness(self) -> tuple[bool, bool, bool]:
        """The message with the larger value counts: no message is ever withdrawn."""
        return self.cut is not None, self.interrupt is not None, self.stop_sending is not None

    @property
    def reason(self) -> MassStopError:
        """The reason for which a shard ends early, with the exit status of the run."""
        reason = self.cut or self.interrupt or self.stop_sending or ""
        kind = Interrupted if self.exit_status > 128 else EndedByCaller
        return kind(reason, self.exit_status)


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

    def send(self, **changes: Any) -> None:
        """Add ``changes`` to the message, and write it if possible."""
        self._message = msgspec.structs.replace(self._message, **changes)
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
