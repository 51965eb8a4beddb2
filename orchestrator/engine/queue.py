"""Which waiting call starts next. No I/O and no waiting; the time is an argument."""

import heapq
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from itertools import count
from math import inf
from typing import Generic, TypeVar

from orchestrator.engine.retry import RetryBudget

T = TypeVar("T")


class Priority(IntEnum):
    """The purpose of a call. :meth:`PriorityQueue.pop` decides which call starts next."""

    STOP = 0
    """The first stop of a key."""
    HEDGE = 1
    """A stop that is sent again because the stop in flight is slow."""
    GUARD = 2
    """The status before a stop, for ``--expect-…``; or a plan's first look at a key."""
    RETRY = 3
    """A stop, or a guard's status, that failed before."""
    POLL = 4
    FILE = 5


STOP, HEDGE, GUARD, RETRY, POLL, FILE = Priority

BEFORE_ACCEPTED = frozenset({STOP, HEDGE, GUARD, RETRY})
"""Calls for keys whose stop is not accepted yet."""


class Delayed(Generic[T]):
    """Items with a due time, the earliest first. Items of one time keep the order in which they came.

    ``due`` is the time of the first item, infinity if there is none.
    """

    def __init__(self) -> None:
        self.due = inf
        self.heap: list[tuple[float, int, T]] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self.heap)

    def push(self, due: float, item: T) -> None:
        heapq.heappush(self.heap, (due, next(self._order), item))
        self.due = self.heap[0][0]

    def pop(self) -> T:
        item = heapq.heappop(self.heap)[2]
        self.due = self.heap[0][0] if self.heap else inf
        return item

    def drain(self) -> list[T]:
        """Remove and return all items."""
        items = [item for _, _, item in sorted(self.heap, key=lambda entry: entry[:2])]
        self.heap.clear()
        self.due = inf
        return items


class PriorityQueue(Generic[T]):
    """Waiting calls. They start in this order:

    1. New stops, hedges, and retries that are due and within the :class:`RetryBudget`, in the order of their arrival.
    2. Statuses before stops (guards).
    3. Other retries that are due. They wait for all new stops, so that failing keys do not delay others.
    4. Polls that are due, then files.
    """

    def __init__(self) -> None:
        self.stops: deque[T] = deque()
        self.guards: deque[T] = deque()
        self.polls: Delayed[T] = Delayed()
        self.files: Delayed[T] = Delayed()
        self.budget = RetryBudget()
        self._retries: Delayed[T] = Delayed()
        self._late_retries: Delayed[T] = Delayed()
        self._probed = False  # the last call was a retry as a probe

    @property
    def retries(self) -> int:
        """Failed stops, and failed statuses before stops, that wait for their next attempt."""
        return len(self._retries.heap) + len(self._late_retries.heap)

    @property
    def ready(self) -> int:
        """Stops, hedges and statuses before stops that may start at once."""
        return len(self.stops) + len(self.guards)

    def push(self, priority: Priority, item: T, due: float = 0.0) -> None:
        """Add ``item``. Retries, polls and files start at ``due`` at the earliest."""
        if priority is POLL:
            self.polls.push(due, item)
        elif priority is STOP or priority is HEDGE:
            self.stops.append(item)
        elif priority is RETRY:
            (self._retries if self.budget.spend() else self._late_retries).push(due, item)
        elif priority is GUARD:
            self.guards.append(item)
        else:
            self.files.push(due, item)

    def pop(
        self,
        now: float,
        results_wait: Callable[[], bool],
        files_wait: Callable[[], bool] = lambda: False,
        probing: bool = False,
    ) -> T | None:
        """Remove and return the next item, or None if none may start.

        Args:
            now: the current time.
            results_wait: whether late retries, polls and files wait, because more stops are about to be added.
            files_wait: whether files wait, because a stop may need the slot.
            probing: the tenant does not answer. A retry, due or not, is then a good probe, and costs less than a new
                stop. Every second probe is a new stop, if there is one: only some keys may fail.
        """
        if probing and not (self._probed and self.ready):
            for delayed in (self._retries, self._late_retries):
                if delayed.heap:
                    self._probed = True
                    return delayed.pop()
        self._probed = False
        while self._retries.due <= now:
            self.stops.append(self._retries.pop())
        if self.stops:
            return self.stops.popleft()
        if self.guards:
            return self.guards.popleft()
        for delayed in (self._late_retries, self.polls):
            if delayed.due <= now:
                return None if results_wait() else delayed.pop()
        if self.files.due <= now and not (results_wait() or files_wait()):
            return self.files.pop()
        return None

    def due(self, after: float = -inf) -> float:
        """When the next delayed item is due, of those that are due ``after`` that time; infinity if there is none."""
        earliest = inf
        for delayed in (self._retries, self._late_retries, self.polls, self.files):
            if after < delayed.due < earliest:
                earliest = delayed.due
        return earliest

    def stop_due(self) -> float:
        """When the next stop or guard's status is due, in the past if it waits already; infinity if there is none."""
        return -inf if self.ready else min(self._retries.due, self._late_retries.due)

    def drain_stops(self) -> list[T]:
        """Remove and return every stop and every guard's reading."""
        drained = [*self.stops, *self.guards, *self._retries.drain(), *self._late_retries.drain()]
        self.stops.clear()
        self.guards.clear()
        return drained

    def drain(self) -> list[T]:
        """Remove and return all items."""
        return [*self.drain_stops(), *self.polls.drain(), *self.files.drain()]
