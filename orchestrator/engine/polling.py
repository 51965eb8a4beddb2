"""When to read a status next: arithmetic, no I/O."""

import math
from collections.abc import Callable

from msgspec import Struct

from orchestrator.action import Action
from orchestrator.engine.backlog import Backlog
from orchestrator.pacing.pacer import Pacer

FIRST_READ = 0.25
NARROWEST = 0.5
WIDEST = 15.0
WIDENING = 1.6
"""Seconds from an accepted stop to the first poll, and between polls: the shortest, the longest, and the factor."""

FILE_WAIT = 60.0
"""Seconds that an action that is over is polled for the address of its response file."""

TRIPLED = 3.0
"""How much later each poll is than the one before, counted from the first poll, if the quota is short."""


def interval(
    polls: int, elapsed: float, left: float, calls_per_key: float, uniform: Callable[[float, float], float]
) -> float:
    """Return the seconds until the next poll of an action.

    Args:
        polls: polls so far that did not show the end.
        elapsed: seconds since the first poll.
        left: seconds for which the action is still polled.
        calls_per_key: how many calls the tenant's quota leaves to each key in that time.
        uniform: returns a random number between its two arguments.

    The interval grows by a factor, up to the longest one. If the quota is too small for that, it triples. If the quota
    leaves less than one poll to each key, it grows ninefold. Most actions stop within seconds, and leave their calls to
    the others.
    """
    usual = min(WIDEST, NARROWEST * math.pow(WIDENING, min(polls, 50))) * uniform(0.8, 1.0)
    if calls_per_key >= left / WIDEST + 12:
        return min(usual, left)
    later = TRIPLED if calls_per_key >= 1 else TRIPLED**2
    return min(max(usual, (later - 1) * max(elapsed, FIRST_READ)), left)


class PollSchedule(Struct, eq=False):
    """When to poll an action next, with the share of the tenant's quota that its other keys leave to it.

    Args:
        pacer: knows the rate windows.
        backlog: the keys that need calls of the same quota.
        uniform: returns a random number between its two arguments.
        settle: seconds for which the end of an action is awaited.
        files: whether response files are fetched.
    """

    _pacer: Pacer
    _backlog: Backlog
    _uniform: Callable[[float, float], float]
    _settle: float
    _files: bool

    def ends(self, action: Action, now: float) -> float:
        """Until when ``action`` is polled: for its end, or then for the address of its response file.

        Outages since its first poll do not count.
        """
        started = now if action.first_polled_at is None else action.first_polled_at
        return started + self._patience(action) + self._pacer.circuit.outage_seconds(started, now)

    def next_poll(self, action: Action, now: float) -> float:
        """When to poll ``action`` next."""
        ends = self.ends(action, now)
        elapsed = now - ends + self._patience(action)  # since the first poll, without outages
        calls_per_key = self._calls_per_key(now, ends)
        return now + interval(action.polls, elapsed, ends - now, calls_per_key, self._uniform)

    def _patience(self, action: Action) -> float:
        return self._settle if action.outcome is None else FILE_WAIT

    def _calls_per_key(self, now: float, until: float) -> float:
        """How many calls the rate windows leave to each unread key until then, after stops and response files."""
        calls = self._pacer.spare(now, until)
        if calls == math.inf:
            return calls
        backlog = self._backlog
        stops = backlog.unsent
        files = stops + backlog.followed + backlog.parked if self._files else 0
        return (calls - stops - files) / max(1, backlog.unread)
