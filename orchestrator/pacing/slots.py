"""How many calls may be in flight at once."""

from typing import Protocol

USUAL_LIMIT = 40
"""Concurrent calls that a tenant's default class permits (Zuora API, "Rate and concurrent request limits")."""

MOST_SLOTS = 256


class SlotController(Protocol):
    """Finds how many slots to use. Fed with every answer; asked before every grant."""

    @property
    def limit(self) -> int: ...

    def answered(self, now: float, in_flight: int, permitted: int | None, remaining: int | None) -> None:
        """An answer arrived while ``in_flight`` calls (itself included) were ours; the rest is what it told."""

    def throttled(self, now: float, seconds: float) -> None:
        """A call was refused for the tenant's limits after ``seconds`` under way."""


class TenantSlots:
    """Slots by the tenant's own headers, less headroom and less what others use; fewer for a while after a refusal.

    ``headroom`` is a share (0 to 1). Others' use is what the header's count lacks: permitted, less remaining, less the
    most that was ours lately (the header is refreshed about once a second, so what was ours at its tick is not known
    exactly). A refusal cuts by a third at most once a round trip, and each round trip without one gives a slot back.
    """

    CUT = 0.7
    HEADER_AGE = 1.2

    def __init__(self, headroom: float, most: int | None = None) -> None:
        self._headroom = headroom
        self._most = most or MOST_SLOTS
        self._target = float(min(self._less_headroom(USUAL_LIMIT), self._most))
        self._ceiling = self._target
        self._round_trip_ends = 0.0
        self._ours: list[tuple[float, int]] = []

    @property
    def limit(self) -> int:
        return max(1, int(min(self._target, self._ceiling)))

    def answered(self, now: float, in_flight: int, permitted: int | None, remaining: int | None) -> None:
        if self._target < self._ceiling:
            self._target += 1 / max(in_flight, 1)
        if permitted is None or permitted < 1:
            return
        allowed = self._less_headroom(permitted)
        if remaining is not None:
            others = max(0, permitted - remaining - self._ours_lately(now, in_flight))
            allowed -= others
        was_at_ceiling = self._target >= self._ceiling
        self._ceiling = float(max(1, min(allowed, self._most)))
        if was_at_ceiling:
            self._target = self._ceiling

    def throttled(self, now: float, seconds: float) -> None:
        if now >= self._round_trip_ends:
            self._target = max(1.0, min(self._target, self._ceiling) * self.CUT)
            self._round_trip_ends = now + seconds

    def _less_headroom(self, permitted: int) -> int:
        return max(1, int(permitted * (1 - self._headroom) + 1e-9))

    def _ours_lately(self, now: float, in_flight: int) -> int:
        recent = [(at, count) for at, count in self._ours if at > now - self.HEADER_AGE and count > in_flight]
        self._ours = [*recent, (now, in_flight)]
        return self._ours[0][1]
