"""Choose the number of calls in flight."""

import math
from typing import Protocol

from orchestrator.model import Answered
from orchestrator.pacing.erlang import room_for
from orchestrator.pacing.others import OthersLoad
from orchestrator.pacing.search import START, Search

USUAL_LIMIT = 40
"""Concurrent calls in a tenant's default class (Zuora API, "Rate and concurrent request limits")."""

MOST_SLOTS = 256

MOST_PERMITTED = 500
"""Largest accepted limit. The slots for others are computed one by one, so a larger value would take too long."""

LEAST_LOSS = 0.001
"""The smallest share of others' calls that may find no slot. A smaller share could not be measured."""

OWN_LOSS = 0.001
"""The share of our own calls that may be refused if the tenant reports its limit. Each refusal costs one slot, and each
accepted call returns this share of a slot."""


class SlotController(Protocol):
    """Chooses the number of slots. It receives every response, and the pacer reads it before every call."""

    @property
    def limit(self) -> int: ...

    @property
    def others(self) -> float | None:
        """The estimated calls of others in flight; None before the first estimate."""

    def answered(self, now: float, in_flight: int, answer: Answered) -> None:
        """Process a response that arrived while ``in_flight`` calls, including it, were ours."""

    def paused(self) -> None:
        """Record a pause of all calls. Earlier knowledge about the tenant may be wrong afterwards."""


class TenantSlots:
    """Slots from the tenant's headers, less the slots that others need. Without headers, slots from its refusals.

    ``headroom`` is the least share (0 to 1) of the permitted slots that stays free. It also sets the share of others'
    calls that may find no slot, see :func:`wanted_loss`. Their load is estimated from the header's count. They get
    enough slots for all but that share of their calls. ``most`` is the operator's own limit.

    Refusals count in addition to the headers, because headers may be late or wrong.
    """

    def __init__(self, headroom: float, most: int | None = None) -> None:
        self._headroom = headroom
        self._loss = wanted_loss(headroom)
        self._most = most or MOST_SLOTS
        self._usual = max(1, min(int(USUAL_LIMIT * (1 - headroom) + 1e-9), self._most))
        # An operator who sets a number of calls knows the tenant. Without headroom, time matters most.
        self._search = Search(self._usual if most or not headroom else min(START, self._usual))
        self._load = OthersLoad()
        self._permitted: int | None = None
        self._claimed: int | None = None
        self._reported = self._usual
        self._margin = 0.0
        self._paused = False
        self.limit = min(self._search.limit, self._reported)

    @property
    def others(self) -> float | None:
        return self._load.mean

    def answered(self, now: float, in_flight: int, answer: Answered) -> None:
        limits = answer.limits
        fresh = self._learn(now, in_flight, limits.concurrency, limits.concurrency_remaining)
        if answer.throttled:
            if self._search.refused(now, answer.seconds, in_flight):
                self._margin += 1
        else:
            self._margin = max(0.0, self._margin - OWN_LOSS) if self._margin else 0.0
            self._search.accepted(now, in_flight, self._reported)
            if fresh or (self._paused and limits.concurrency == self._permitted is not None):
                self._search.jump(self._reported)
                self._paused = False
        self.limit = min(self._search.limit, self._reported)

    def paused(self) -> None:
        self._search.restart()
        self._paused = True
        self.limit = min(self._search.limit, self._reported)

    def _learn(self, now: float, in_flight: int, permitted: int | None, remaining: int | None) -> bool:
        """Process the headers. Return whether the count of free slots is fresh."""
        if permitted is None or not 0 < permitted <= MOST_PERMITTED:
            return False
        claimed, self._claimed = self._claimed, permitted
        other_limit = permitted != self._permitted
        if other_limit:
            if self._permitted is not None and permitted != claimed:
                return False  # an error, unless it is reported twice in a row
            self._permitted, self._margin = permitted, 0.0
        fresh = False
        if remaining is not None and remaining <= permitted:
            fresh = self._load.seen(now, in_flight, permitted, remaining)
        if other_limit or fresh:
            self._reported = self._less(permitted)
        if other_limit:
            self._search.begin(self._reported, now)
        return fresh

    def _less(self, permitted: int) -> int:
        """Return the slots out of ``permitted`` that are ours."""
        free = permitted - room_for(self._load.loads, self._loss, permitted) - self._margin
        return max(1, min(int(permitted * (1 - self._headroom) + 1e-9), int(free + 0.5), self._most))


def wanted_loss(headroom: float) -> float:
    """Return the share of others' calls that may find no slot, for a ``headroom`` of 0 to 1.

    It is a twentieth at the default headroom of 0.1. Each further 0.1 of headroom divides it by ten. The minimum is
    ``LEAST_LOSS``: beyond that, more slots stay free than the variation of any load needs.
    """
    return max(LEAST_LOSS, 0.5 * math.pow(10.0, -10 * headroom))
