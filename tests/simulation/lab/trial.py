"""One controller on one day: events in virtual time, with the product's queue, pacer and retry, without a loop."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from math import inf
from random import Random
from typing import Any

from orchestrator.engine.queue import Priority, PriorityQueue
from orchestrator.engine.retry import delay
from orchestrator.model import Answered
from orchestrator.pacing.pacer import Pacer
from tests.simulation.lab.controllers import oracle
from tests.simulation.lab.scenario import LENGTHS, Trace
from tests.simulation.lab.tenant import SOONEST, LabTenant

Make = Callable[[LabTenant, Random], Pacer]
"""Creates the pacer of a trial. An oracle may read the tenant's state."""

EVERY = 0.25
"""Seconds between two points of a picture."""


@dataclass
class Point:
    """The state at one time of a trial. Refusals count from its start."""

    at: float
    limit: int
    slots: int
    ours: int
    others: int
    estimate: float | None
    ours_refused: int
    others_refused: int


@dataclass
class Result:
    """The result of one trial."""

    sends: int = 0
    refused: int = 0
    accepted: int = 0
    others_called: int = 0
    others_refused: int = 0
    used: float = 0.0
    free: float = 0.0
    ended: float = 0.0
    sent_at: list[tuple[float, int]] = field(default_factory=list)
    refused_at: list[float] = field(default_factory=list)
    accepted_at: dict[int, float] = field(default_factory=dict)
    thrown_out: set[int] = field(default_factory=set)
    points: list[Point] = field(default_factory=list)

    @property
    def use(self) -> float:
        """The share of the slots left by others that our calls used."""
        return self.used / self.free

    @property
    def our_loss(self) -> float:
        return self.refused / max(1, self.sends)

    @property
    def others_loss(self) -> float:
        return self.others_refused / max(1, self.others_called)


class Trial:
    """Runs a trace to its end, or until its stops are made."""

    def __init__(
        self, trace: Trace, make: Make, seed: int = 0, *, watch: Callable[["Trial"], None] = lambda _: None
    ) -> None:
        self.scenario = trace.scenario
        self.tenant = LabTenant(trace, seed)
        self.pacer = make(self.tenant, Random(seed))
        self.queue: PriorityQueue[int] = PriorityQueue()
        self.now = 0.0
        self.result = Result()
        self._watch = watch
        self._trace = trace
        self._dice = Random(seed)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = count()
        self._fresh = self.scenario.stops
        self._tries: dict[int, int] = {}
        self._calls = 0
        self._wake_at: float | None = None
        self._eager = make is oracle
        self._arrivals = iter(trace.arrivals)
        self._inside: dict[int, float] = {}
        self._slot_of: dict[int, int] = {}

    def run(self) -> Result:
        """Process every event, and return the result."""
        self._next_other()
        self._at(0.0, self._pump)
        self._at(0.0, self._look)
        if self.scenario.refuses:
            self._at(self.scenario.refuses[0], self._throw_out)
        events, seconds = self._events, self.scenario.seconds
        while events:
            at, _, what, how = heapq.heappop(events)
            if at >= seconds:
                self._account(seconds)
                break
            self._account(at)
            self.tenant.at(at)
            what(*how)
            if self.result.accepted == self.scenario.stops:
                break
        result = self.result
        result.ended = self.now
        result.others_called, result.others_refused = self.tenant.others_called, self.tenant.others_refused
        return result

    def _at(self, at: float, what: Callable[..., None], *how: Any) -> None:
        heapq.heappush(self._events, (at, next(self._order), what, how))

    def _account(self, at: float) -> None:
        spent = at - self.now
        if self.now >= 0:
            self.result.used += spent * self.tenant.ours
            self.result.free += spent * max(0, self.tenant.limit - self.tenant.others)
        self.now = at

    # The others

    def _next_other(self) -> None:
        arrival = next(self._arrivals, None)
        if arrival is not None:
            self._at(arrival[0], self._other_arrives, arrival[1])

    def _other_arrives(self, length: float) -> None:
        if self.tenant.other_arrives():
            self._at(self.now + self.tenant.strained(length), self._other_leaves)
        self._next_other()

    def _other_leaves(self) -> None:
        self.tenant.others -= 1
        if self._eager:
            self._pump()

    # Ours

    def _pump(self) -> None:
        """Act as the gate: grant slots to calls that may start."""
        pacer, queue, now = self.pacer, self.queue, self.now
        while True:
            if self._fresh != 0 and len(queue.stops) < 2:
                queue.push(Priority.STOP, self._calls)
                self._calls += 1
                self._fresh = None if self._fresh is None else self._fresh - 1
            opens_at = pacer.opens_at(now)
            if opens_at is None:
                return
            if opens_at > now:
                self._wake(opens_at)
                return
            call = queue.pop(now, results_wait=lambda: False)
            if call is None:
                self._wake(queue.due())
                return
            self._slot_of[call] = pacer.take(now)
            self._watch(self)
            self._send(call)

    def _send(self, call: int) -> None:
        if call in self._tries:
            self._tries[call] += 1
        else:
            self._tries[call] = 1
            self.queue.budget.earn()
        self.result.sends += 1
        self.result.sent_at.append((self.now, call))
        if self.scenario.wire:
            self._at(self.now + self.scenario.wire / 2, self._arrives, call, self.now)
        else:
            self._arrives(call, self.now)

    def _arrives(self, call: int, sent: float) -> None:
        refusal = self.tenant.arrives(self.now)
        if refusal is not None:
            self.result.refused += 1
            self.result.refused_at.append(self.now)
            self._at(self.now + max(self.scenario.wire / 2, SOONEST), self._answered, call, refusal)
            return
        self._inside[call] = sent
        length = self.tenant.strained(self._trace.lengths[call % LENGTHS])
        self._at(self.now + length, self._leaves, call, sent)

    def _throw_out(self) -> None:
        thrown, self._inside = self._inside, {}
        self.result.thrown_out = set(thrown)
        for call, sent in thrown.items():
            self.result.refused += 1
            answer = self.tenant.throws_out(self.now, self.now - sent)
            self._at(self.now + self.scenario.wire / 2, self._answered, call, answer)

    def _leaves(self, call: int, sent: float) -> None:
        if self._inside.get(call) != sent:
            return
        del self._inside[call]
        wire = self.scenario.wire / 2
        answer = self.tenant.leaves(self.now, self.now + wire - sent)
        if wire:
            self._at(self.now + wire, self._answered, call, answer)
        else:
            self._answered(call, answer)

    def _answered(self, call: int, answer: Answered) -> None:
        self.pacer.answered(answer, self.now)
        if answer.throttled:
            wait = delay(self._tries[call], self._dice.uniform)
            self.queue.push(Priority.RETRY, call, self.now + wait)
        else:
            self.result.accepted += 1
            self.result.accepted_at[call] = self.now
        self.pacer.release(self._slot_of.pop(call))
        self._pump()

    def _wake(self, at: float) -> None:
        if at == inf or (self._wake_at is not None and self.now < self._wake_at <= at):
            return
        self._wake_at = at
        self._at(at, self._woken, at)

    def _woken(self, at: float) -> None:
        if self._wake_at == at:
            self._wake_at = None
        self._pump()

    def _look(self) -> None:
        result, tenant = self.result, self.tenant
        result.points.append(
            Point(
                self.now, tenant.limit, self.pacer.limit, tenant.ours, tenant.others, self.pacer.others,
                result.refused, tenant.others_refused,
            )
        )  # fmt: skip
        self._at(self.now + EVERY, self._look)
