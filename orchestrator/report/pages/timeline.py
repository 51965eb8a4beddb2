"""The course of a run: what happened in each stretch of the time that mass-stop was at work.

A run that was resumed worked in several sessions, perhaps hours apart. They are put end to end, and the pauses are
named but take no space.
"""

from bisect import bisect_right
from collections.abc import Iterator
from math import ceil

from msgspec import Struct

from orchestrator.clock import epoch
from orchestrator.journal.reader import JournalReader, Moment

MOST_STRETCHES = 120

_WIDTHS = (
    0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 43_200,
    86_400,
)  # fmt: skip


class Session(Struct, frozen=True):
    """One process that worked on the run. ``offset`` and ``seconds`` are its place and length on the common axis."""

    started_at: str
    ended_at: str | None
    state: str
    reason: str | None
    offset: float
    seconds: float
    pause: float
    """Seconds between the session before and this one."""


class Pace(Struct, frozen=True):
    """Calls at once, at ``seconds`` on the axis: allowed, under way, and those of others as far as the tenant reported
    them."""

    seconds: float
    slots: float
    in_flight: float
    others: float | None


class Timeline(Struct, frozen=True):
    """``seconds`` in all, in stretches of ``width`` seconds each; each list has one number a stretch."""

    seconds: float
    width: float
    sessions: list[Session]
    accepted: list[int]
    settled: list[int]
    failed: list[int]
    """Calls that failed, apart from those of the two other lists."""
    throttled: list[int]
    harmless: list[int]
    """Stops that were refused because the action was over already."""
    pace: list[Pace]

    @property
    def stretches(self) -> int:
        return len(self.accepted)


def read_timeline(reader: JournalReader) -> Timeline:
    """From a journal that holds a run."""
    sessions = list(_sessions(reader))
    seconds = sessions[-1].offset + sessions[-1].seconds
    width = next((one for one in _WIDTHS if seconds / one <= MOST_STRETCHES), seconds / MOST_STRETCHES)
    axis = _Axis(sessions, width, max(1, ceil(seconds / width - 1e-9)))

    def counted(name: Moment, column: int = 1) -> list[int]:
        stretches = [0] * axis.stretches
        for row in reader.over_time(name, origin=axis.origin, width=width):
            stretches[axis.stretch(row[0])] += row[column]
        return stretches

    return Timeline(
        seconds=seconds,
        width=width,
        sessions=sessions,
        accepted=counted("accepted_over_time"),
        settled=counted("settled_over_time"),
        failed=counted("failures_over_time"),
        throttled=counted("failures_over_time", 2),
        harmless=counted("failures_over_time", 3),
        pace=list(_pace(reader, axis)),
    )


class _Axis:
    """Times of the clock on the wall as places on the common axis."""

    def __init__(self, sessions: list[Session], width: float, stretches: int) -> None:
        self.stretches = stretches
        self._sessions = sessions
        self._starts = [epoch(session.started_at) for session in sessions]
        self.width = width

    @property
    def origin(self) -> float:
        """The start of the first session, in seconds since the epoch."""
        return self._starts[0]

    def seconds(self, moment: float) -> float:
        """Where ``moment`` (seconds since the epoch) lies, in seconds on the axis."""
        place = max(0, bisect_right(self._starts, moment) - 1)
        session = self._sessions[place]
        return session.offset + min(max(0.0, moment - self._starts[place]), session.seconds)

    def stretch(self, moment: float) -> int:
        return min(int(self.seconds(moment) / self.width), self.stretches - 1)


def _pace(reader: JournalReader, axis: _Axis) -> Iterator[Pace]:
    """The sum over all tenants, each with its latest value."""
    last: dict[str, tuple[float, float, float | None]] = {}
    for moment, tenant, slots, in_flight, others in reader.over_time(
        "pace_over_time", origin=axis.origin, width=axis.width
    ):
        last[tenant] = (slots, in_flight, others)
        known = [load for _, _, load in last.values() if load is not None]
        yield Pace(
            axis.seconds(moment),
            sum(one for one, _, _ in last.values()),
            sum(one for _, one, _ in last.values()),
            sum(known) if known else None,
        )


def _sessions(reader: JournalReader) -> Iterator[Session]:
    rows = reader.sessions()
    offset, before = 0.0, None
    for place, (_, started_at, ended_at, state, reason, *_) in enumerate(rows):
        following = rows[place + 1].started_at if place + 1 < len(rows) else "9999"
        # A killed session has no end but its last event.
        last = ended_at or reader.last_event(following) or started_at
        seconds = max(0.0, epoch(last) - epoch(started_at))
        pause = max(0.0, epoch(started_at) - before) if before is not None else 0.0
        yield Session(started_at, ended_at, state, reason, offset, seconds, pause)
        offset, before = offset + seconds, epoch(started_at) + seconds
