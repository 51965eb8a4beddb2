"""The counts of a run at work, for the screen and the log."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orchestrator.model import GOOD, Answered, Limits, Outcome

if TYPE_CHECKING:
    from orchestrator.logs import Log

LATEST = 20
"""Keys that need a person and are kept by name; more are only counted."""

SPAN, SHORT_SPAN = 15.0, 3.0
ENOUGH = 200
"""A rate is taken over so many seconds, or over less if at least ``ENOUGH`` were counted meanwhile."""


@dataclass(frozen=True, slots=True)
class NeedsPerson:
    """A completed key that is not known to be over, and why."""

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
    """Counts of one session, kept by the engine and read by the screen. Times are monotonic seconds.

    Attributes:
        keys: all keys that were read.
        read_to_end: the input was read to its end.
        planning: the run sends no stop.
        results: response files are fetched.
        stops_sent: stops that left.
        accepted: keys whose stop was accepted, in any session.
        deciding: keys without an accepted stop whose status decides.
        confirmed: keys whose end was seen, or that were completed otherwise.
        completed: keys that were completed.
        completed_unsent: those of them without an accepted stop.
        failed: keys that count for ``--max-failures``.
        sent_before: keys without an accepted stop that an earlier session left nothing to send for.
        confirmed_before, over_before: keys that an earlier session confirmed or completed.
        not_over_before: keys that an earlier session completed and that are not known to be over.
        slots, in_flight: calls at once, allowed and at this moment.
        limits, call_seconds: from the tenant's latest answers.
        closed_until: no call starts before, because the tenant asked for a pause.
        outage: the outage at this moment, if there is one; of several tenants, that of the first in an outage.
        polls_until: when the last poll of an action that is not over ends at the latest.
        closing_by: when the last call ends at the latest, once the run ends early.
        confirming: after an interruption, statuses are read that were never read.
        writing: the share of the run's files that are written, once all calls have ended.
        given_up: why no more is sent to this tenant.
        tenants: those of which this one is the sum.
    """

    keys: int = 0
    read_to_end: bool = False
    planning: bool = False
    results: bool = True
    stops_sent: int = 0
    accepted: int = 0
    deciding: int = 0
    confirmed: int = 0
    completed: int = 0
    completed_unsent: int = 0
    failed: int = 0
    sent_before: int = 0
    confirmed_before: int = 0
    over_before: int = 0
    not_over_before: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    latest: deque[NeedsPerson] = field(default_factory=lambda: deque(maxlen=LATEST))
    retries: int = 0
    throttled: int = 0
    hedged: int = 0
    slots: int = 0
    in_flight: int = 0
    limits: Limits = field(default_factory=Limits)
    call_seconds: float | None = None
    closed_until: float = float("-inf")
    outage: OutageFacts | None = None
    polls_until: float = float("-inf")
    closing_by: float | None = None
    confirming: bool = False
    writing: float | None = None
    given_up: str | None = None
    tenants: dict[str, "Progress"] = field(default_factory=dict)

    @property
    def tenant_answered(self) -> bool:
        """Whether a tenant has answered a call of this session."""
        return any(one.call_seconds is not None for one in (self, *self.tenants.values()))

    @property
    def keys_answered(self) -> int:
        """Keys for which no stop is due: it was accepted, or the status decides, or the key is completed."""
        return min(self.keys, self.accepted + self.deciding + self.completed_unsent + self.sent_before)

    @property
    def keys_confirmed(self) -> int:
        """Keys whose end was seen, or that were completed otherwise."""
        return min(self.keys, self.confirmed + self.confirmed_before)

    @property
    def keys_completed(self) -> int:
        """Keys for which nothing is left to do."""
        return min(self.keys, self.completed + self.over_before)

    @property
    def keys_over(self) -> int:
        """Keys that are confirmed as over."""
        return max(0, self.keys_confirmed - self.need_a_person)

    @property
    def keys_with_results(self) -> int:
        """Keys that are confirmed as over, and whose response file was fetched if there is one."""
        return max(0, self.keys_completed - self.need_a_person)

    @property
    def stages(self) -> dict[str, tuple[int, int]]:
        """The stages that keys pass, by the name that is shown: the keys that have passed each, of those that can."""
        if self.planning:
            return {"read": (self.keys_completed, self.keys)}
        may_end = self.keys - self.need_a_person
        stages = {"answered": (self.keys_answered, self.keys), "over": (self.keys_over, may_end)}
        if self.results:
            stages["results"] = (self.keys_with_results, may_end)
        return stages

    @property
    def all_over(self) -> bool:
        """Whether every key of the input is confirmed as over."""
        return self.read_to_end and 0 < self.keys == self.keys_over and not self.planning

    @property
    def need_a_person(self) -> int:
        """Keys that were completed, in any session, and are not known to be over."""
        good = sum(self.outcomes[outcome] for outcome in self.outcomes if outcome in GOOD)
        return self.completed - good + self.not_over_before

    def snapshot(self) -> "RunProgress":
        """The counts of this moment."""
        return RunProgress(
            keys=self.keys,
            read_to_end=self.read_to_end,
            stops_sent=self.stops_sent,
            stops_accepted=self.accepted,
            completed=self.keys_completed,
            needs_person=self.need_a_person,
            outcomes={outcome: count for outcome, count in self.outcomes.items() if count},
            retries=self.retries,
            throttled=self.throttled,
        )

    def received(self, answer: Answered) -> None:
        """Take limits and duration from a response."""
        limits = answer.limits
        if limits.windows or limits.concurrency is not None:
            self.limits = limits
        if not answer.throttled:
            before = answer.seconds if self.call_seconds is None else self.call_seconds
            self.call_seconds = before + 0.1 * (answer.seconds - before)


@dataclass(frozen=True, slots=True)
class RunProgress:
    """The counts of a run at one moment.

    Attributes:
        keys: distinct, well-formed keys that were read.
        read_to_end: whether all keys were read.
        stops_sent: stops sent in this session, repeated stops included.
        stops_accepted: keys with an accepted stop.
        completed: keys with an outcome.
        needs_person: completed keys that need a person.
        outcomes: completed keys of this session by outcome.
        retries: calls that repeated a failed call.
        throttled: calls that the tenant refused for its limits.
    """

    keys: int
    read_to_end: bool
    stops_sent: int
    stops_accepted: int
    completed: int
    needs_person: int
    outcomes: Mapping[Outcome, int]
    retries: int
    throttled: int


class Speed:
    """How fast a count grows of late. The time before it begins to grow does not count."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def at(self, now: float, count: int) -> float | None:
        """The growth in one second at ``now``, when it has grown to ``count``; None if it is not known yet."""
        seen = self._seen
        if len(seen) == 1 and seen[0][1] == count:
            seen.clear()
        seen.append((now, count))
        while len(seen) > 2 and now - seen[1][0] >= (SPAN if count - seen[1][1] < ENOUGH else SHORT_SPAN):
            seen.popleft()
        (began, before), (_, counted) = self._seen[0], self._seen[-1]
        return (counted - before) / (now - began) if now - began >= 1 and counted > before else None

    def seconds_for(self, more: int) -> float | None:
        """Seconds until the count has grown by ``more``, at the latest speed, or None if it is not known."""
        (began, before), (now, counted) = self._seen[0], self._seen[-1]
        return more * (now - began) / (counted - before) if counted > before and more >= 0 else None


OnProgress = Callable[[RunProgress], object]

PROGRESS_SECONDS = 0.5
"""Seconds between two calls of ``on_progress``."""


@asynccontextmanager
async def shown_to(on_progress: OnProgress | None, progress: Progress, log: "Log") -> AsyncIterator[None]:
    """Call ``on_progress`` while the block runs, and once after it. A callback that raises is not called again."""
    if on_progress is None:
        yield
        return

    def show() -> bool:
        try:
            on_progress(progress.snapshot())
        except Exception as error:  # noqa: BLE001 - it is the program's, and must not end the run
            log.error("progress.failed", message=f"on_progress raised {type(error).__name__}: {error}")
            return False
        return True

    async def keep_showing() -> None:
        while show():  # noqa: ASYNC110 - the counts change all the time
            await asyncio.sleep(PROGRESS_SECONDS)

    showing = asyncio.get_running_loop().create_task(keep_showing())
    try:
        yield
    finally:
        failed = showing.done()
        showing.cancel()
        await asyncio.wait([showing])
        if not failed:
            show()
