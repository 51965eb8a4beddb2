"""How a run ends early: the one place that knows whether stops, or any calls, may still start."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct, structs

from orchestrator.errors import MassStopError

GRACE = 5.0
"""Seconds after a signal in which statuses are read that were never read before."""


class Interrupted(MassStopError):
    """A signal asked the run to end. ``exit_status`` is 128 plus the signal's number."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status

    @classmethod
    def by_signal(cls, name: str, exit_status: int) -> "Interrupted":
        """The interruption by the signal ``name``."""
        return cls(
            f"Interrupted by {name}: no stop was sent after it, and calls in flight were completed.",
            exit_status,
        )


class DeadlineReached(MassStopError):
    """``--deadline`` was reached."""

    exit_status = 4


class Ending(Struct, frozen=True):
    """How a session ended: ``state`` and ``reason`` as in the report, and the error that ended it early, if any."""

    state: str
    reason: str | None = None
    cut_by: MassStopError | None = None

    @classmethod
    def cut(cls, reason: MassStopError) -> "Ending":
        """The ending of a session that ``reason`` ended early."""
        return cls("interrupted" if isinstance(reason, Interrupted) else "aborted", str(reason), reason)


class Cutoff:
    """How one run, or one tenant's part of it, ends early.

    There are four degrees. :meth:`shorten` only records that the run is incomplete. :meth:`stop_sending` lets no
    further stop start, and keys whose stop was sent are polled to their end. :meth:`interrupt` lets a status be read
    that was never read, for a few seconds. :meth:`cancel` lets no call start, and calls in flight finish. The first
    reason of the highest degree is the reason of the run, but an interruption always is.

    ``stops_allowed``: stops may start. ``confirming``: the run was interrupted, and a status may be read that was
    never read.

    A cutoff with a ``parent`` follows it, but not the other way around.
    """

    def __init__(self, parent: "Cutoff | None" = None) -> None:
        self.stops_allowed = True
        self.interrupted_by: MassStopError | None = None
        self.cancelled_by: MassStopError | None = None
        self._shortened_by: MassStopError | None = None
        self._listeners: list[Callable[[], None]] = []
        self._parent = parent
        if parent is not None:
            parent.subscribe(self._follow)
            self._follow()

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` after each change."""
        self._listeners.append(listener)

    @property
    def reason(self) -> MassStopError | None:
        """Why the run ends early, or None."""
        return self.cancelled_by or self.interrupted_by or self._shortened_by

    @property
    def closing(self) -> bool:
        """Whether the session ends within seconds: it was interrupted or cancelled."""
        return self.interrupted_by is not None or self.cancelled_by is not None

    @property
    def confirming(self) -> bool:
        """Whether only statuses that were never read may be read."""
        return self.interrupted_by is not None and self.cancelled_by is None

    def shorten(self, reason: MassStopError) -> None:
        """The run cannot be complete, because of ``reason``. All calls may still start."""
        self._shortened_by = self._shortened_by or reason

    def stop_sending(self, reason: MassStopError) -> None:
        """Let no further stop start."""
        if not self.stops_allowed:
            return
        self.stops_allowed = False
        self.shorten(reason)
        self._changed()

    def interrupt(self, reason: MassStopError, grace: float | None = GRACE) -> None:
        """Let no stop and no download start. After ``grace`` seconds, or never if None, let no call start."""
        if self.closing:
            return
        self.interrupted_by = reason
        self.stops_allowed = False
        if grace is not None:
            asyncio.get_running_loop().call_later(grace, self.cancel, reason)
        self._changed()

    def cancel(self, reason: MassStopError) -> None:
        """Let no further call start."""
        if self.cancelled_by is not None:
            return
        self.cancelled_by = self.interrupted_by or reason
        self.stops_allowed = False
        self._changed()

    @contextmanager
    def deadline(self, seconds: float | None) -> Iterator[None]:
        """Cancel the run ``seconds`` from now, unless the block ends before."""
        if seconds is None:
            yield
            return
        reached = DeadlineReached("The deadline was reached: no call was started after it (--deadline).")
        timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self.cancel, reached)
        try:
            yield
        finally:
            timer.cancel()

    def ending(self) -> Ending:
        """How the run ended. Its reason begins with the earlier one for which it was incomplete, if there is one."""
        if self.reason is None:
            return Ending("finished")
        ending, earlier = Ending.cut(self.reason), self._shortened_by
        if earlier is None or earlier is self.reason:
            return ending
        return structs.replace(ending, reason=f"{earlier} {ending.reason}")

    def _changed(self) -> None:
        for listener in self._listeners:
            listener()

    def _follow(self) -> None:
        if self._parent is None:
            return
        if self._parent.cancelled_by is not None:
            self.cancel(self._parent.cancelled_by)
        elif self._parent.interrupted_by is not None:
            self.interrupt(self._parent.interrupted_by, grace=None)
        elif not self._parent.stops_allowed and self._parent.reason is not None:
            self.stop_sending(self._parent.reason)
