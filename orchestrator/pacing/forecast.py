"""Forecast the calls of a run, the tenant's quotas that are too small for them, and the duration. Arithmetic only."""

from collections.abc import Sequence
from math import ceil

from msgspec import Struct

from orchestrator.model import Limits
from orchestrator.settings import Rate

STOPPING_SECONDS = 2.0
"""The assumed longest time in status Stopping, in seconds. Zuora's documentation states none.

The times are assumed to be uniformly distributed up to it. The simulated tenant takes 0.2 to 1.5 seconds.
"""


class Calls(Struct, frozen=True):
    """The calls of a run without any retry."""

    stop: int
    status: int
    file: int

    @property
    def total(self) -> int:
        return self.stop + self.status + self.file


class Quota(Struct, frozen=True):
    """A rate window: ``left`` of ``calls`` in ``seconds``. It resets in ``resets_in`` seconds.

    ``reported`` is false if the tenant reports only another window. ``left`` is then a lower bound.
    """

    calls: int
    seconds: int
    left: int
    resets_in: float
    reported: bool


class Forecast(Struct, frozen=True):
    """The forecast of a run: seconds from its start until its last stop is accepted, and until all keys are completed.

    ``short`` has the quotas that are too small for all of its calls. The run waits for their reset.
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
    """Return the mean number of status calls until the end of a stopped action is known.

    Args:
        first: seconds from the accepted stop to the first poll.
        narrowest: seconds between the first two polls.
        widest: the most seconds between two polls.
        widening: the factor between successive intervals.
        round_trip: seconds of one call.
        others: seconds in which every other key gets one call. Polls start after all stops are sent, so each
            interval is at least as long.
        longest: the longest time in status Stopping, in seconds.
    """
    at, interval, polls = max(first, others) + round_trip, narrowest, 1.0
    while at < longest:
        polls += 1 - at / longest
        at += max(interval, others) + round_trip
        interval = min(widest, interval * widening)
    return polls


def quotas(limits: Limits) -> tuple[Quota, ...]:
    """Return every window that the tenant reported, the shortest first.

    The tenant reports the calls left only for the window nearest to exhaustion. The other windows are used to a
    smaller share, which gives a lower bound for their calls left. A window without a reported reset is assumed to have
    just begun.
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
    """Return the forecast of a run of ``calls``.

    Args:
        calls: the number of calls of each kind.
        windows: the tenant's quotas.
        slots: calls in flight at once.
        call_seconds: duration of one call.
        headroom: the share (0 to 1) of each quota that is left to others.
        rate: the operator's own limit.
        stopping_seconds: the longest time in status Stopping.
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
    """Return how many keys can be polled to their end within the quotas; None if no quota is known."""
    if not windows:
        return None
    return int(min(_free(window, headroom) for window in windows) / calls_a_key)


def _wait(count: int, window: Quota, headroom: float) -> float:
    """Return the seconds until the last of ``count`` calls may start. An exhausted window opens when it resets."""
    beyond = count - _free(window, headroom)
    if beyond <= 0:
        return 0.0
    of_each = max(1, int(window.calls * (1 - headroom)))
    return window.resets_in + window.seconds * ((beyond - 1) // of_each)


def _free(window: Quota, headroom: float) -> int:
    """Return the calls that may start now. The pacer keeps headroom only in windows of minutes (see Pacer)."""
    held_back = window.calls * headroom if window.seconds <= 60 else 0.0
    return max(0, int(window.left - held_back))
