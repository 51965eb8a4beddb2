"""The run's counts as they stand, for whoever shows them."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestrator.model import GOOD, Answered, Limits, Outcome

LATEST = 20
"""Keys that need a person and are kept by name; more are only counted."""

SPAN = 15.0
"""Seconds over which a rate is taken."""


@dataclass(frozen=True, slots=True)
class NeedsPerson:
    """A key that came to no good end, and why."""

    bulk_key: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class OutageFacts:
    """An outage of a tenant. Times are the session's seconds.

    Attributes:
        since: when the first call failed.
        problem: how the tenant, a gateway or the network answers now.
        next_probe_at: when the next call starts.
        ends_at: when the run ends if no call is answered until then.
    """

    since: float
    problem: str
    next_probe_at: float
    ends_at: float


@dataclass(slots=True)
class Progress:
    """Counts of one session, kept by the engine and read by the screen.

    ``completed_unsent`` are keys that came to their end without an accepted stop; ``over_before`` those whose end an
    earlier session saw, ``sent_before`` those for which it left nothing to be sent. ``failed`` keys count for
    ``--max-failures``. ``slots`` and ``in_flight`` are of this moment. ``limits`` and ``call_seconds`` come from the
    tenant's latest answers. Before ``closed_until`` (monotonic seconds) no call starts, because the tenant asked for a
    pause. ``outage`` describes the outage at this moment, if there is one; of several tenants, that of the first in an
    outage. ``planning`` is a run that sends no stop. ``given_up`` says why no more is sent to this tenant. ``tenants``
    are those of which this one is the sum.
    """

    keys: int = 0
    read_to_end: bool = False
    planning: bool = False
    stops_sent: int = 0
    accepted: int = 0
    completed: int = 0
    completed_unsent: int = 0
    failed: int = 0
    over_before: int = 0
    sent_before: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    latest: deque[NeedsPerson] = field(default_factory=lambda: deque(maxlen=LATEST))
    retries: int = 0
    throttled: int = 0
    hedged: int = 0
    records_succeeded: int = 0
    slots: int = 0
    in_flight: int = 0
    limits: Limits = field(default_factory=Limits)
    call_seconds: float | None = None
    closed_until: float = float("-inf")
    outage: OutageFacts | None = None
    given_up: str | None = None
    tenants: dict[str, "Progress"] = field(default_factory=dict)

    @property
    def answered(self) -> bool:
        """Whether a tenant has answered a call of this session."""
        return any(one.call_seconds is not None for one in (self, *self.tenants.values()))

    @property
    def through(self) -> int:
        """Keys whose stop was accepted, or that came to their end without one."""
        return min(self.keys, self.accepted + self.completed_unsent + self.sent_before)

    @property
    def over(self) -> int:
        """Keys that came to their end."""
        return min(self.keys, self.completed + self.over_before)

    @property
    def need_a_person(self) -> int:
        """Keys that came to an end that is not known to be one of the action."""
        return self.completed - sum(self.outcomes[outcome] for outcome in self.outcomes if outcome in GOOD)

    def heard(self, answer: Answered) -> None:
        """Takes what an answer told besides its meaning."""
        told = answer.limits
        if told.windows or told.concurrency is not None:
            self.limits = told
        if not answer.throttled:
            before = answer.seconds if self.call_seconds is None else self.call_seconds
            self.call_seconds = before + 0.1 * (answer.seconds - before)


class Speed:
    """How fast a count grows: over the last :data:`SPAN` seconds, so that what was once does not flatter what is."""

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._seen: deque[tuple[float, int]] = deque()

    def look(self, now: float) -> float | None:
        """Of one a second; None until there is something to tell."""
        self._seen.append((now, self._count()))
        while len(self._seen) > 2 and now - self._seen[1][0] >= SPAN:
            self._seen.popleft()
        (began, before), (_, counted) = self._seen[0], self._seen[-1]
        return (counted - before) / (now - began) if now - began >= 1 and counted > before else None

    def seconds_for(self, more: int) -> float | None:
        """Until the count has grown by ``more``, at the pace last seen."""
        (began, before), (now, counted) = self._seen[0], self._seen[-1]
        return more * (now - began) / (counted - before) if counted > before and more >= 0 else None
