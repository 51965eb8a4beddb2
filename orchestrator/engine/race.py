"""The sends of one call: the first conclusive response wins, and the other sends are cancelled."""

import asyncio
from asyncio import CancelledError, Task
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar

import anyio
from msgspec import Struct

from orchestrator.engine.gate import Closed, Preempted
from orchestrator.engine.retry import is_final
from orchestrator.errors import CallError
from orchestrator.model import Status

T = TypeVar("T")

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


class Looked(Struct, frozen=True):
    """In an outage, the ``status`` was read in place of another stop."""

    status: Status

    @property
    def is_conclusive(self) -> bool:
        """Whether no further stop is needed. Otherwise a stop in flight may still take effect."""
        return self.status.terminal or self.status is Status.STOPPING


class Send:
    """One send of a call. ``with send:`` surrounds the time in which it is in flight.

    Attributes:
        origin: the slow send that this one hedges, or None.
        in_budget: it is a hedge that counts towards the share of calls that may be hedges.
        intent: the journal holds an intent for this hedge, which has not left.
        left: it was sent.
        in_flight: it was sent, and no response has begun.
        superseded: it is cancelled because another send was faster, or because a hedge needs its slot.
        number: its place among all calls, in the order of their start.
        started: when it was sent, in the session's seconds.
    """

    __slots__ = (
        "_race",
        "_task",
        "in_budget",
        "in_flight",
        "intent",
        "left",
        "number",
        "origin",
        "started",
        "superseded",
    )

    def __init__(self, race: "Race[Any]", origin: "Send | None" = None, *, in_budget: bool = True) -> None:
        self._race = race
        self.origin = origin
        self.in_budget = in_budget
        self.number, self.started = 0, 0.0
        self.left = self.in_flight = self.intent = self.superseded = False

    @property
    def is_hedge(self) -> bool:
        """Whether it hedges another send."""
        return self.origin is not None

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self.left = self.in_flight = True
        self._race.observer.started(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.in_flight:
            self.in_flight = False
            self._race.observer.ended(self)

    def responds(self) -> None:
        """The response has begun, so every other send of the call is cancelled."""
        if self.in_flight:
            self.in_flight = False
            self._race.observer.ended(self)
            self._race.supersede_others(self)

    def supersede(self) -> None:
        """Cancel this send if it is in flight."""
        if self.in_flight and not self.superseded and self._task is not None:
            self.superseded = True
            self._task.cancel()

    def hedge(self) -> bool:
        """Send the call once more. Return False if that was done already, or if this send is not in flight."""
        return self.in_flight and self._race.hedge(self)

    @property
    def is_latest(self) -> bool:
        """Whether no other send of the call started later, or is about to start."""
        return self._race.latest is self

    def resend(self, *, once: bool) -> None:
        """Send the call once more. With ``once``, only if that was not done before."""
        if self.in_flight and not (once and self._race.resent):
            self._race.resent = self._race.resent or once
            self._race.add(self, in_budget=False)

    def withdraw_hedge(self) -> None:
        """Cancel the hedge of this send, which has not left."""
        if self.in_flight:
            self._race.withdraw_hedge(self)

    def detach(self) -> None:
        """The call is over. Without a reference to it, no garbage collection is needed."""
        del self._race


SendCall = Callable[[Send], Coroutine[Any, Any, T | Failure]]
"""Sends a call once, in a slot of its own."""


class Observer(Protocol):
    """Sees each send of a call."""

    def started(self, send: Send) -> None:
        """A send leaves now."""

    def ended(self, send: Send) -> None:
        """The response of a send has begun, or the send failed."""

    def hedge_ended(self, hedge: Send) -> None:
        """A hedge is over, whether it was sent or not."""


class Race(Generic[T]):
    """A call: the first send runs in the caller's task, each hedge in a task of its own."""

    __slots__ = ("_first", "_hedged", "_hedges", "_send", "_send_hedge", "observer", "resent")

    def __init__(self, observer: Observer, send: SendCall[T], hedge: SendCall[T]) -> None:
        self.observer = observer
        self._send = send
        self._send_hedge = hedge
        self._first = Send(self)
        self._hedges: dict[Task[T | Failure], Send] = {}
        self._hedged: set[Send] = set()
        self.resent = False

    async def result(self) -> T | Failure:
        """Send the call. Return the first conclusive result, otherwise the last failure."""
        failure: T | Failure | None = None
        first = self._first
        try:
            try:
                result = await self._send(first)
                if not self._hedges or not isinstance(result, Failure | Looked) or result.is_conclusive:
                    return result
                failure = result
                self._cancel_unsent()
            except CancelledError:
                # Two cancellations: the caller is cancelled as well.
                task = asyncio.current_task()
                if not first.superseded or (task is not None and task.cancelling() > 1):
                    raise
            finally:
                if first.superseded and (task := asyncio.current_task()) is not None:
                    task.uncancel()
            return await self._result_of_hedges(failure)
        finally:
            if self._hedges:
                await self._cancel_hedges()
            first.detach()

    def hedge(self, origin: Send) -> bool:
        """Send the call once more because ``origin`` is slow. Return False if that was done already."""
        if origin in self._hedged or len(self._hedged) >= MOST_HEDGES or self.latest is not origin:
            return False
        self._hedged.add(origin)
        self.add(origin)
        return True

    def add(self, origin: Send, *, in_budget: bool = True) -> None:
        """Send the call once more beside ``origin``."""
        send = Send(self, origin, in_budget=in_budget)
        task = asyncio.create_task(self._send_hedge(send))
        self._hedges[task] = send
        task.add_done_callback(self._hedge_ended)

    @property
    def latest(self) -> Send:
        """The send that was made last, of those without a response."""
        pending = (send for task, send in reversed(self._hedges.items()) if not task.done())
        return next(pending, self._first)

    def withdraw_hedge(self, origin: Send) -> None:
        """Cancel the hedge of ``origin`` unless it has left. ``origin`` may be hedged again."""
        for task, send in self._hedges.items():
            if send.origin is origin and not send.left:
                self._hedged.discard(origin)
                task.cancel()

    def supersede_others(self, winner: Send) -> None:
        """Cancel every send but ``winner``."""
        if winner is not self._first:
            self._first.supersede()
        for task, send in self._hedges.items():
            if send is not winner:
                _cancel(task, send)

    def _hedge_ended(self, task: "Task[T | Failure]") -> None:
        send = self._hedges[task]
        self.observer.hedge_ended(send)
        if _is_conclusive(task):
            self.supersede_others(send)

    async def _result_of_hedges(self, failure: T | Failure | None) -> T | Failure:
        """The first conclusive result of the hedges, otherwise the last failure."""
        refused: BaseException = Closed()
        seen: set[Task[T | Failure]] = set()
        while pending := self._hedges.keys() - seen:
            done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            seen |= done
            for task in done:
                if _is_conclusive(task):
                    return task.result()
                if task.cancelled():
                    continue
                if (error := task.exception()) is not None:
                    refused = error
                elif isinstance(result := task.result(), Failure | Looked):
                    failure = result
        if failure is None:
            raise refused
        return failure

    def _cancel_unsent(self) -> None:
        """The first send failed in a way that passes. A hedge that waits for its slot would not be better."""
        for task, send in self._hedges.items():
            if not send.left:
                task.cancel()

    async def _cancel_hedges(self) -> None:
        for task, send in self._hedges.items():
            _cancel(task, send)
        with anyio.CancelScope(shield=True):
            await asyncio.wait(self._hedges)
        for task in self._hedges:
            if not task.cancelled():
                task.exception()  # mark it as retrieved


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
    return not isinstance(result, Failure | Looked) or result.is_conclusive
