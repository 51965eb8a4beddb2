"""What leaves next: lanes of jobs, and their order. No I/O, no waiting; the time is passed in."""

import heapq
from collections import deque
from collections.abc import Callable
from itertools import count
from math import inf
from typing import Generic, TypeVar

from orchestrator.engine.retry import RetryBudget

J = TypeVar("J")


class Delayed(Generic[J]):
    """Things with a due time, the earliest first; those of one time in the order they came.

    ``due`` is the time of the first, infinity while there is none.
    """

    def __init__(self) -> None:
        self.due = inf
        self._heap: list[tuple[float, int, J]] = []
        self._order = count()

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, due: float, job: J) -> None:
        heapq.heappush(self._heap, (due, next(self._order), job))
        self.due = self._heap[0][0]

    def pop(self) -> J:
        job = heapq.heappop(self._heap)[2]
        self.due = self._heap[0][0] if self._heap else inf
        return job


class Lanes(Generic[J]):
    """Stops before guards' readings, both before stops that failed too often, and any of them before a result.

    A stop that failed waits for its time and then joins the others at their end, as long as such retries are a small
    share of all stops (:class:`RetryBudget`). Beyond that it is cold: it goes when no fresh stop is left, so that what
    fails does not hold up what would not.
    """

    def __init__(self) -> None:
        self.stops: deque[J] = deque()
        self.guards: deque[J] = deque()
        self.results: Delayed[J] = Delayed()
        self.budget = RetryBudget()
        self._again: Delayed[J] = Delayed()
        self._cold: Delayed[J] = Delayed()
        self.stops_closed = False

    @property
    def retries(self) -> int:
        """Stops that failed and wait for their next try."""
        return len(self._again) + len(self._cold)

    @property
    def ready(self) -> int:
        """Fresh work at hand."""
        return len(self.stops) + len(self.guards)

    def again(self, due: float, job: J) -> None:
        """Takes a stop that failed, or a guard's reading, to be made once more from ``due`` on."""
        (self._again if self.budget.spend() else self._cold).push(due, job)

    def close_stops(self) -> None:
        """Lets no further stop leave, nor a guard's reading."""
        self.stops_closed = True

    def next(
        self, now: float, stops_are_coming: Callable[[], bool], *, probing: bool = False
    ) -> Callable[[], J] | None:
        """What takes the job that is next from its lane; None where nothing is due.

        ``stops_are_coming`` says whether fresh stops are known which are in no lane yet: what comes after stops waits.
        ``probing``: the tenant is silent, and a stop that failed says as much as a fresh one whose fate is still known.
        """
        if self.stops_closed:
            return self.results.pop if self.results.due <= now else None
        if probing:
            for lane in (self._again, self._cold):
                if lane.due <= now:
                    return lane.pop
        while self._again.due <= now:
            self.stops.append(self._again.pop())
        if self.stops:
            return self.stops.popleft
        if self.guards:
            return self.guards.popleft
        for lane in (self._cold, self.results):
            if lane.due <= now:
                return None if stops_are_coming() else lane.pop
        return None

    def due(self) -> float:
        """When something that waits for its time is due next; infinity where nothing does."""
        if self.stops_closed:
            return self.results.due
        return min(self._again.due, self._cold.due, self.results.due)
