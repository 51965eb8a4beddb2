"""The sends of one call: the first conclusive response wins, and the other sends are cancelled."""

import asyncio
from asyncio import CancelledError, Task
from collections.abc import Callable, Coroutine
from enum import IntEnum
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar, TypeVarTuple

import anyio
from msgspec import Struct

from orchestrator.engine.gate import Closed, Preempted
from orchestrator.engine.retry import is_final
from orchestrator.errors import CallError
from orchestrator.model import Status

T = TypeVar("T")
Args = TypeVarTuple("Args")

MOST_HEDGES = 4
"""Hedges of one call."""


class Failure(Struct, frozen=True):
    """A send failed. The call may be made again after ``wait`` seconds, or not at all if that is None."""

    error: CallError
    wait: float | None

    @property
    def is_conclusive(self) -> bool:
        """Whether another send would fail as well."""
        return self.wait is None and is_final(self.error.kind)


class Probed(Struct, frozen=True):
    """A probe in an outage: the ``status`` was read in place of another stop."""

    status: Status

    @property
    def is_conclusive(self) -> bool:
        """Whether no further stop is needed. Otherwise a stop in flight may still take effect."""
        return self.status.terminal or self.status is Status.STOPPING


class CallKind(IntEnum):
    """Calls of one kind are each other's peers."""

    STOP = 0
    STATUS = 1
    FILE = 2


class Send(Struct, eq=False):
    """One send of a call. ``with send:`` surrounds the time in which it is in flight.

    Attributes:
        race: the call.
        origin: the send beside which this one is sent: it is slow (a hedge), or it hung in an outage. None for the
            first send.
        hedged: it is slow, and the call was sent once more for it.
        in_budget: it is a hedge that counts towards the share of calls that may be hedges.
        intent: the journal holds an intent for this hedge, which has not left.
        left: it was sent.
        in_flight: it was sent, and no response has begun.
        superseded: it is cancelled because another send was faster, or because a hedge needs its slot.
        number: its place among all calls, in the order of their start.
        started: when it was sent, in the session's seconds.
        task: the task that sends it, known once it was sent.
    """

    race: "Race[Any, *tuple[Any, ...]]"
    origin: "Send | None" = None
    in_budget: bool = True
    hedged: bool = False
    intent: bool = False
    left: bool = False
    in_flight: bool = False
    superseded: bool = False
    number: int = 0
    started: float = 0.0
    task: "Task[Any] | None" = None

    @property
    def is_hedge(self) -> bool:
        """Whether it hedges another send."""
        return self.origin is not None

    def __enter__(self) -> None:
        self.left = self.in_flight = True
        self.race.observer.started(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.in_flight:
            self.in_flight = False
            self.race.observer.ended(self)

    def responds(self) -> None:
        """The response has begun, so every other send of the call is cancelled."""
        if self.in_flight:
            self.in_flight = False
            self.race.observer.ended(self)
            self.race.supersede_others(self)

    def supersede(self) -> None:
        """Cancel this send if it is in flight."""
        if self.in_flight and not self.superseded and self.task is not None:
            self.superseded = True
            self.task.cancel()


class Observer(Protocol):
    """Sees each send of a call."""

    def started(self, send: Send) -> None:
        """A send leaves now."""

    def ended(self, send: Send) -> None:
        """The response of a send has begun, or the send failed."""

    def hedge_ended(self, hedge: Send) -> None:
        """A hedge is over, whether it was sent or not."""


class Race(Struct, Generic[T, *Args], eq=False):
    """A call: the first send runs in the caller's task, each hedge in a task of its own.

    Attributes:
        observer: sees each send, and has slow ones hedged.
        kind: the kind of call.
        send: sends the call once, in a slot of its own. It gets the send and ``args``.
        args: what the call consists of.
        first: the first send, if there are hedges.
        hedges: the hedges so far.
        resent: the call was sent again after an outage.
    """

    observer: Observer
    kind: CallKind
    send: Callable[[Send, *Args], Coroutine[Any, Any, T | Failure]]
    args: tuple[*Args]
    first: Send | None = None
    hedges: dict[Task[T | Failure], Send] = {}
    resent: bool = False

    async def result(self) -> T | Failure:
        """Send the call. Return the first conclusive result, otherwise the last failure."""
        failure: T | Failure | None = None
        first = Send(self)
        # supersede() cancels this task once, which is taken back. A second cancellation is meant for the caller.
        try:
            try:
                result = await self.send(first, *self.args)
                if not self.hedges or not isinstance(result, Failure | Probed) or result.is_conclusive:
                    return result
                failure = result
                self._cancel_unsent()
            except CancelledError:
                task = asyncio.current_task()
                if not first.superseded or (task is not None and task.cancelling() > 1):
                    raise
            finally:
                if first.superseded and (task := asyncio.current_task()) is not None:
                    task.uncancel()
            return await self._result_of_hedges(failure)
        finally:
            if self.hedges:
                await self._cancel_hedges()

    def hedge(self, origin: Send) -> bool:
        """Send the call once more because ``origin`` is slow.

        Return False if that was done already, or if ``origin`` is not the latest send, or not in flight.
        """
        hedged = sum(send.hedged for send in (self.first, *self.hedges.values()) if send is not None)
        if origin.hedged or not origin.in_flight or hedged >= MOST_HEDGES or not self.is_latest(origin):
            return False
        origin.hedged = True
        self._add(origin)
        return True

    def resend(self, origin: Send, *, once: bool) -> None:
        """Send the call once more because ``origin`` hung. With ``once``, only if that was not done before."""
        if origin.in_flight and not (once and self.resent):
            self.resent = self.resent or once
            self._add(origin, in_budget=False)

    def is_latest(self, send: Send) -> bool:
        """Whether no other send of the call started later, or is about to start."""
        pending = (other for task, other in reversed(self.hedges.items()) if not task.done())
        return next(pending, self.first or send) is send

    def _add(self, origin: Send, *, in_budget: bool = True) -> None:
        """Send the call once more beside ``origin``."""
        if origin.origin is None:
            self.first = origin
        send = Send(self, origin, in_budget)
        task = asyncio.create_task(self.send(send, *self.args))
        self.hedges[task] = send
        task.add_done_callback(self._hedge_ended)

    def withdraw_hedge(self, origin: Send) -> None:
        """Cancel the hedge of ``origin`` unless it has left. ``origin`` may be hedged again."""
        if not origin.in_flight:
            return
        for task, send in self.hedges.items():
            if send.origin is origin and not send.left:
                origin.hedged = False
                task.cancel()

    def supersede_others(self, winner: Send) -> None:
        """Cancel every send but ``winner``."""
        if self.first is not None and self.first is not winner:
            self.first.supersede()
        for task, send in self.hedges.items():
            if send is not winner:
                _cancel(task, send)

    def _hedge_ended(self, task: "Task[T | Failure]") -> None:
        send = self.hedges[task]
        self.observer.hedge_ended(send)
        if _is_conclusive(task):
            self.supersede_others(send)

    async def _result_of_hedges(self, failure: T | Failure | None) -> T | Failure:
        """The first conclusive result of the hedges, otherwise the last failure."""
        refused: BaseException = Closed()
        seen: set[Task[T | Failure]] = set()
        while pending := self.hedges.keys() - seen:
            done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            seen |= done
            for task in filter(done.__contains__, self.hedges):  # in the order of sending; a set has none
                if _is_conclusive(task):
                    return task.result()
                if task.cancelled():
                    continue
                if (error := task.exception()) is not None:
                    refused = error
                elif isinstance(result := task.result(), Failure | Probed):
                    failure = result
        if failure is None:
            raise refused
        return failure

    def _cancel_unsent(self) -> None:
        """The first send failed in a way that passes. A hedge that waits for its slot would not be better."""
        for task, send in self.hedges.items():
            if not send.left:
                task.cancel()

    async def _cancel_hedges(self) -> None:
        for task, send in self.hedges.items():
            _cancel(task, send)
        with anyio.CancelScope(shield=True):
            await asyncio.wait(self.hedges)
        for task in self.hedges:
            if not task.cancelled():
                task.exception()  # mark it as retrieved
        self.first = None  # without a circle of references, no garbage collection is needed


def _cancel(task: "Task[T]", send: Send) -> None:
    if send.in_flight:
        send.supersede()
    else:
        task.cancel()


def _is_conclusive(task: "Task[object]") -> bool:
    """Whether no other send of the call is needed. An unexpected error ends the call as well."""
    if task.cancelled():
        return False
    if (error := task.exception()) is not None:
        return not isinstance(error, (Closed, Preempted))
    result = task.result()
    return not isinstance(result, Failure | Probed) or result.is_conclusive
