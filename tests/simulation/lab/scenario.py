"""The conditions of a tenant in one trial: its limit, other traffic, and headers. Controllers share one trace."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

Load = Callable[[float, Random], float]
"""The mean number of slots that others want from a time on."""


@dataclass(frozen=True)
class Scenario:
    """One kind of day. Times are in seconds.

    Attributes:
        limit: the tenant's concurrency limits, each with its start time.
        others: the mean numbers of calls that other traffic wants in flight, each with its start time.
        burst: two values between which that mean alternates, each for an exponential time of mean ``burst_every``.
        held: slots that are in use all the time.
        call: duration of a call in an idle tenant.
        strain: the factor that a full tenant adds to it.
        wire: additional time on the network. A refusal takes only this time.
        headers: the concurrency headers of the responses: ``right``, ``none``, or ``wrong`` (sometimes nonsense).
        refresh: the time between two updates of the headers.
        retry_after: the wait in a refusal for concurrency.
        quota: the calls that a fixed window of ``window`` allows. Further calls are refused until the window's end.
        quota_in_headers: whether the headers show the quota. Otherwise a refusal lasts for ``retry_after``.
        refuses: start and end of a time in which all our calls are refused with Retry-After: 2. At its start, every
            call in flight is cancelled.
        stops: the number of stops to make, or None for no limit.
        most: the operator's own limit.
        headroom: a percentage.
    """

    name: str
    seconds: float = 60.0
    limit: tuple[tuple[float, int], ...] = ((0.0, 40),)
    others: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    burst: tuple[float, float] | None = None
    burst_every: float = 8.0
    held: int = 0
    call: float = 0.3
    spread: float = 0.1
    strain: float = 0.0
    wire: float = 0.0
    headers: str = "right"
    refresh: float = 1.0
    retry_after: float | None = None
    quota: int | None = None
    window: float = 60.0
    quota_in_headers: bool = True
    refuses: tuple[float, float] | None = None
    stops: int | None = None
    headroom: float = 10.0
    most: int | None = None


@dataclass(frozen=True)
class Trace:
    """The day of one seed: start and duration of the others' calls, and the durations of our calls in order."""

    scenario: Scenario
    arrivals: tuple[tuple[float, float], ...]
    lengths: tuple[float, ...]
    phase: float


LENGTHS = 4_096
"""Number of durations of our own calls in a trace. After the last one, the first is used again."""


def trace(scenario: Scenario, seed: int) -> Trace:
    """Return the trace of ``seed``'s day, which every controller gets."""
    dice = Random(f"{scenario.name} {seed}")
    lengths = tuple(
        max(0.1 * scenario.call, dice.gauss(scenario.call, scenario.spread * scenario.call))
        for _ in range(LENGTHS)
    )
    phase = dice.random() * scenario.refresh
    return Trace(scenario, tuple(_arrivals(scenario, dice)), lengths, phase)


def _arrivals(scenario: Scenario, dice: Random) -> list[tuple[float, float]]:
    """Return Poisson arrivals of exponential duration. They begin before the start, so that the load is steady then."""
    found = []
    steps = _bursts(scenario, dice) if scenario.burst else list(scenario.others)
    steps[0] = (-5 * scenario.call, steps[0][1])
    ends = [at for at, _ in steps[1:]] + [scenario.seconds]
    for (start, mean), end in zip(steps, ends, strict=True):
        now = start
        while mean > 0 and (now := now - scenario.call / mean * math.log(1 - dice.random())) < end:
            found.append((now, -scenario.call * math.log(1 - dice.random())))
    return found


def _bursts(scenario: Scenario, dice: Random) -> list[tuple[float, float]]:
    assert scenario.burst is not None
    now, high, steps = 0.0, dice.random() < 0.5, []
    while now < scenario.seconds:
        steps.append((now, scenario.burst[high]))
        now -= scenario.burst_every * math.log(1 - dice.random())
        high = not high
    return steps
