"""Exponential backoff: how long to wait before the next attempt. Arithmetic only.

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from collections.abc import Callable

Uniform = Callable[[float, float], float]
"""Returns a random number between its two arguments."""

_MOST_DOUBLINGS = 16
"""More doublings would overflow. Every cap is reached long before."""


def full_jitter(failures: int, base: float, cap: float, uniform: Uniform) -> float:
    """Return a random wait in seconds, from 0 to ``base`` doubled with each of ``failures`` (from 1), up to ``cap``."""
    return uniform(0.0, _longest(failures, base, cap))


def half_jitter(failures: int, base: float, cap: float, uniform: Uniform) -> float:
    """As :func:`full_jitter`, but at least half of the longest wait, for waits that must not be near 0."""
    longest = _longest(failures, base, cap)
    return uniform(longest / 2, longest)


def _longest(failures: int, base: float, cap: float) -> float:
    return min(cap, base * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))
