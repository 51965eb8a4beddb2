"""How many calls may be in flight at once."""

from typing import Protocol

from orchestrator.pacing.erlang import servers_for

USUAL_LIMIT = 40
"""Concurrent calls that a tenant's default class permits (Zuora API, "Rate and concurrent request limits")."""

MOST_SLOTS = 256

MOST_PERMITTED = 10_000
"""Whatever a header tells, the tenant permits no more: the room for others is counted slot by slot."""

REFRESH = 1.0
"""Seconds after which the tenant counts its free slots anew."""

CUT = 0.7
"""What a refusal leaves of the slots; it counts once a round trip, since forty refusals of one trip say the same."""

NEAR = 0.9
"""Up to this share of where a refusal came, each round trip gives a slot back; from there on only time does."""

PROBE = 2.0
"""Seconds in which one slot is tried beyond that."""


class SlotController(Protocol):
    """Finds how many slots to use. Fed with every answer; asked before every grant."""

    @property
    def limit(self) -> int: ...

    @property
    def others(self) -> float | None:
        """Calls of others in flight, as estimated; None while nothing is known of them."""

    def answered(self, now: float, in_flight: int, permitted: int | None, remaining: int | None) -> None:
        """An answer arrived while ``in_flight`` calls (itself included) were ours; the rest is what it told."""

    def throttled(self, now: float, seconds: float) -> None:
        """A call was refused for the tenant's limits after ``seconds`` under way."""


class TenantSlots:
    """Slots by the tenant's own headers, less what is left to others; fewer for a while after a refusal.

    ``headroom`` is a share (0 to 1) of the permitted slots that stays free at least, and sets how rarely others may
    find none: their mean use is what the header's count lacks, and the fewest slots in which all but
    ``0.5 ** (1 + headroom * 100 / 3)`` of their calls find room (a twentieth at 0.1) are left to them. ``most`` is the
    operator's own limit.

    Without headers, refusals alone tell: additive increase, multiplicative decrease (Chiu and Jain, 1989).
    """

    def __init__(self, headroom: float, most: int | None = None) -> None:
        self._headroom = headroom
        self._loss = 0.5 ** (1 + headroom * 100 / 3)
        self._most = most or MOST_SLOTS
        self._ceiling = float(min(self._less_headroom(USUAL_LIMIT), self._most))
        self._target = self._ceiling
        self._refused_at = self._ceiling
        self._round_trip_ends = 0.0
        self._answered_at = 0.0
        self._others: float | None = None
        self._sample = (0.0, 0, -1)

    @property
    def limit(self) -> int:
        return max(1, int(min(self._target, self._ceiling) + 1e-9))

    @property
    def others(self) -> float | None:
        return self._others

    def answered(self, now: float, in_flight: int, permitted: int | None, remaining: int | None) -> None:
        if self._target < self._ceiling:
            self._recover(now, in_flight)
        self._answered_at = now
        if permitted is None or permitted < 1:
            return
        permitted = min(permitted, MOST_PERMITTED)
        if remaining is not None:
            self._learn(now, in_flight, permitted, remaining)
        left_free = servers_for(round(self._others or 0.0, 1), self._loss, permitted)
        recovered = self._target >= self._ceiling
        self._ceiling = float(max(1, min(self._less_headroom(permitted), permitted - left_free, self._most)))
        if recovered:
            self._target = self._ceiling

    def throttled(self, now: float, seconds: float) -> None:
        if now >= self._round_trip_ends:
            self._refused_at = float(self.limit)
            self._target = max(1.0, self._refused_at * CUT)
            self._round_trip_ends = now + seconds

    def _recover(self, now: float, in_flight: int) -> None:
        step = 1 / max(in_flight, 1)
        if self._target >= self._refused_at * NEAR:
            step = min(step, (now - self._answered_at) / PROBE)
        self._target = min(self._target + step, self._ceiling)

    def _learn(self, now: float, in_flight: int, permitted: int, remaining: int) -> None:
        """Takes a count of others' calls where the tenant's own count is fresh: it changed, or we have not."""
        at, ours, counted = self._sample
        settled = now - at >= REFRESH and ours == in_flight
        if remaining == counted and not settled and now - at < 3 * REFRESH:
            return
        self._sample = (now, in_flight, remaining)
        others = float(max(0, permitted - remaining - in_flight))
        if self._others is None:
            self._others = others
        elif remaining > 1 or others > self._others:
            # With no slot left others may want more than they have: the count is a lower bound.
            self._others += 0.4 * (others - self._others)

    def _less_headroom(self, permitted: int) -> int:
        return max(1, int(permitted * (1 - self._headroom) + 1e-9))
