"""The data of the last screen from the journal: bounded for any number of keys."""

from msgspec import Struct

from orchestrator.journal.entries import done_in
from orchestrator.model import Outcome, add_known

REASONS = 5
NAMED = 3


class Named(Struct, frozen=True):
    """One row of the input; ``tenant`` is empty in a run of one. ``message`` is its own error's."""

    bulk_key: str
    source: str
    row: int
    tenant: str = ""
    message: str = ""


class Reason(Struct, frozen=True):
    """A reason why keys need a person, and how many. ``named`` are the first of them."""

    outcome: Outcome
    keys: int
    code: int | None
    message: str
    named: list[Named]


class Failures(Struct, frozen=True):
    """Keys that are not known to be over, with errors of one kind. ``bulk_key`` and ``message`` are of the first.

    ``said_over`` of them were refused because of the action's state, and their status was not read.
    """

    outcome: Outcome
    kind: str
    keys: int
    said_over: int
    bulk_key: str
    message: str


class PlanTotals(Struct, frozen=True):
    """The states of the actions that a run would stop.

    ``unprocessed`` counts records (None: not known), ``within_a_minute`` those that go through in the next minute.
    ``still`` actions are being processed without visible progress. ``done_in`` is the time in seconds until the last
    would end by itself, as far as known.
    """

    processing: int = 0
    pending: int = 0
    stopping: int = 0
    unprocessed: int | None = None
    within_a_minute: int = 0
    still: int = 0
    done_in: float | None = None

    @property
    def actions(self) -> int:
        return self.processing + self.pending + self.stopping

    def __add__(self, other: "PlanTotals") -> "PlanTotals":
        ends = [one.done_in for one in (self, other) if one.done_in is not None]
        counts = {name: getattr(self, name) + getattr(other, name) for name in _COUNTS}
        unprocessed = add_known(self.unprocessed, other.unprocessed)
        return PlanTotals(**counts, unprocessed=unprocessed, done_in=max(ends, default=None))


_COUNTS = ("processing", "pending", "stopping", "within_a_minute", "still")


class Planned(Struct, frozen=True):
    """One action that a run would stop; ``unprocessed`` records at ``speed`` records a second."""

    bulk_key: str
    status: str
    action_type: str | None
    unprocessed: int | None
    speed: float | None
    tenant: str = ""

    @property
    def done_in(self) -> float | None:
        """Seconds until it would have come to its end by itself."""
        return done_in(self.unprocessed, self.speed)
