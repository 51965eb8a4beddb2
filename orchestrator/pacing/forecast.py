"""How many calls a run will need, whether the tenant's quotas hold them, and how long it will take. Arithmetic only."""

from collections.abc import Sequence
from math import ceil

from msgspec import Struct

from orchestrator.model import Limits
from orchestrator.settings import Rate

STOPPING_SECONDS = 2.0
"""The longest time that an action is assumed to be Stopping. The API's documents do not state one.

Times are assumed to be spread evenly up to it. The simulated tenant takes 0.2 to 1.5 seconds.
"""


class Calls(Struct, frozen=True):
    """Calls that a run makes, where none has to be made again."""

    stop: int
    status: int
    file: int

    @property
    def total(self) -> int:
        return self.stop + self.status + self.file


class Quota(Struct, frozen=True):
    """A rate window: ``left`` of ``calls`` in ``seconds``, resets in ``resets_in`` seconds.

    ``reported`` is false if the tenant reports only another window; ``left`` is then the least it can be.
    """

    calls: int
    seconds: int
    left: int
    resets_in: float
    reported: bool


class Forecast(Struct, frozen=True):
    """The needs of a run: seconds until its last stop is accepted and until all is completed, both from its start.

    ``short`` are the quotas that do not hold all of its calls: it waits for their reset.
    """

    calls: Calls
    last_stop: float
    completed: float
    short: tuple[Quota, ...] = ()


def polls_per_key(
    first: float,
    narrowest: float,
    widest: float,
    widening: float,
    *,
    round_trip: float,
    others: float = 0.0,
    longest: float = STOPPING_SECONDS,
) -> float:
    """The mean number of status calls until a stopped action is seen to be over.

    Args:
        first: seconds from the accepted stop to the first poll.
        narrowest: seconds between the first two polls.
        widest: the most seconds between two polls.
        widening: each interval is so many times the one before.
        round_trip: seconds of one call.
        others: seconds in which every other key gets one call. No poll starts before all stops are sent, so each
            interval is at least as long.
        longest: the longest time that an action is Stopping, in seconds.
    """
    at, interval, polls = max(first, others) + round_trip, narrowest, 1.0
    while at < longest:
        polls += 1 - at / longest
        at += max(interval, others) + round_trip
        interval = min(widest, interval * widening)
    return polls


def quotas(limits: Limits) -> tuple[Quota, ...]:
    """Every window that the tenant reported, the shortest first.

    The tenant reports what is left of the window nearest to exhaustion only. Of any other, no larger share has been
    used: that bounds what is left of it from below. A window that says nothing of its reset is taken to have just
    begun.
    """
    reported = next((window for window in limits.windows if window.quota == limits.nearest), None)
    if reported is None or limits.remaining is None:
        return tuple(
            Quota(window.quota, window.seconds, window.quota, float(window.seconds), reported=False)
            for window in sorted(limits.windows, key=lambda window: window.seconds)
        )
    share = min(1.0, limits.remaining / reported.quota)
    reset = float(reported.seconds) if limits.reset is None else limits.reset
    return tuple(
        Quota(window.quota, window.seconds, limits.remaining, reset, reported=True)
        if window == reported
        else Quota(
            window.quota, window.seconds, int(window.quota * share), float(window.seconds), reported=False
        )
        for window in sorted(limits.windows, key=lambda window: window.seconds)
    )


def forecast(
    calls: Calls,
    windows: Sequence[Quota],
    *,
    slots: int,
    call_seconds: float,
    headroom: float,
    rate: Rate | None = None,
    stopping_seconds: float = STOPPING_SECONDS,
) -> Forecast:
    """Return the needs of a run of ``calls``.

    Args:
        calls: how many of each kind.
        windows: the tenant's quotas.
        slots: calls in flight at once.
        call_seconds: how long one call takes.
        headroom: the share (0 to 1) of each quota that is left to others.
        rate: the operator's own limit.
        stopping_seconds: the longest time that an action is Stopping.
    """

    def seconds_for(count: int) -> float:
        by_slots = ceil(count / slots) * call_seconds
        by_rate = 0.0 if rate is None else count * rate.seconds / rate.calls
        return max(by_slots, by_rate, *(_wait(count, window, headroom) for window in windows))

    last_stop = seconds_for(calls.stop)
    return Forecast(
        calls,
        last_stop,
        max(last_stop + stopping_seconds, seconds_for(calls.total)),
        tuple(window for window in windows if _wait(calls.total, window, headroom) > 0),
    )


def keys_within(windows: Sequence[Quota], calls_a_key: float, headroom: float) -> int | None:
    """Keys that can be polled to their end before a quota runs out; None if no quota is known."""
    if not windows:
        return None
    return int(min(_free(window, headroom) for window in windows) / calls_a_key)


def _wait(count: int, window: Quota, headroom: float) -> float:
    """Seconds until the last of ``count`` calls may leave through ``window``: it opens again once it resets."""
    beyond = count - _free(window, headroom)
    if beyond <= 0:
        return 0.0
    of_each = max(1, int(window.calls * (1 - headroom)))
    return window.resets_in + window.seconds * ((beyond - 1) // of_each)


def _free(window: Quota, headroom: float) -> int:
    """Calls left to us at once; the pacer holds the headroom back in windows of minutes only (see Pacer)."""
    held_back = window.calls * headroom if window.seconds <= 60 else 0.0
    return max(0, int(window.left - held_back))
