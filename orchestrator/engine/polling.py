"""When to read a status next: arithmetic, no I/O."""

import math
from collections.abc import Callable

FIRST_READ = 0.25
NARROWEST = 0.5
WIDEST = 15.0
WIDENING = 1.6
"""Seconds until a stopped action is first looked at, and between looks: the first, the last, and the factor."""

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

    Looks widen by a factor up to a widest interval. Where the quota does not last for that, each is three times as late
    as the one before, and nine times where less than a look for each key is left: most actions stop within seconds and
    leave their calls to the others.
    """
    usual = min(WIDEST, NARROWEST * math.pow(WIDENING, min(polls, 50))) * uniform(0.8, 1.0)
    if share >= left / WIDEST + 12:
        return min(usual, left)
    later = TRIPLED if share >= 1 else TRIPLED**2
    return min(max(usual, (later - 1) * max(elapsed, FIRST_READ)), left)
