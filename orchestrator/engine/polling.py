"""When to read a status next: arithmetic, no I/O."""

import math
from collections.abc import Callable

from orchestrator.action import Action
from orchestrator.engine.backlog import Backlog
from orchestrator.pacing.pacer import Pacer

FIRST_READ = 0.25
NARROWEST = 0.5
WIDEST = 15.0
WIDENING = 1.6
"""Seconds until a stopped action is first looked at, and between looks: the first, the last, and the factor."""

FILE_WAIT = 60.0
"""Seconds that an action that is over is polled for the address of its response file."""

TRIPLED = 3.0
"""How much later each look is than the one before, counted from the stop, where the quota is short."""


def interval(
    polls: int, elapsed: float, left: float, share: float, uniform: Callable[[float, float], float]
) -> float:
    """Seconds until the next look at an action.

    Args:
        polls: looks so far, of those that did not see the end.
        elapsed: seconds since the first of them.
        left: seconds for which it is followed yet.
        share: how many more calls the tenant's quota has for this key until then.
        uniform: a random number between its two arguments.

    Looks widen by a factor up to a widest interval. If the quota is too small for that, the interval grows threefold.
    If less than one look for each key is left, it grows ninefold: most actions stop within seconds and leave their
    calls to the others.
    """
    usual = min(WIDEST, NARROWEST * math.pow(WIDENING, min(polls, 50))) * uniform(0.8, 1.0)
    if share >= left / WIDEST + 12:
        return min(usual, left)
    later = TRIPLED if share >= 1 else TRIPLED**2
    return min(max(usual, (later - 1) * max(elapsed, FIRST_READ)), left)


class PollSchedule:
    """When to poll an action next, with the share of the tenant's quota that its other keys leave to it.

    Args:
        pacer: knows the rate windows.
        backlog: the keys that need calls of the same quota.
        uniform: returns a random number between its two arguments.
        settle: seconds for which the end of an action is awaited.
        files: whether response files are fetched.
    """

    def __init__(
        self,
        pacer: Pacer,
        backlog: Backlog,
        uniform: Callable[[float, float], float],
        settle: float,
        *,
        files: bool,
    ) -> None:
        self._pacer = pacer
        self._backlog = backlog
        self._uniform = uniform
        self._settle = settle
        self._files = files

    def ends(self, action: Action, now: float) -> float:
        """Until when ``action`` is polled: for its end, or then for the address of its response file.

        Outages since its first poll do not count.
        """
        started = now if action.first_polled_at is None else action.first_polled_at
        return started + self._patience(action) + self._pacer.circuit.outage_seconds(started, now)

    def next_poll(self, action: Action, now: float) -> float:
        """When to poll ``action`` next."""
        ends = self.ends(action, now)
        waited = now - ends + self._patience(action)
        share = self._calls_per_key(now, ends)
        return now + interval(action.polls, waited, ends - now, share, self._uniform)

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
