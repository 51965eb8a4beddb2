"""Compute the slots that other callers need, with Erlang's loss formula."""

import math
from collections.abc import Sequence


def room_for(loads: Sequence[tuple[float, float]], loss: float, most: int) -> float:
    """Return how many slots others need so that the share ``loss`` of their calls finds none; at most ``most``.

    ``loads`` are possible means of the number of others' calls in flight, each with its probability. The calls arrive
    at random and do not wait. Between two whole numbers of slots the loss is interpolated by a constant factor.
    The result therefore grows evenly with the load.

    B(m) = a B(m-1) / (m + a B(m-1)), with B(0) = 1 (A. K. Erlang, 1917). The losses of several loads are averaged.
    """
    shares = [share for share, load in loads if load > 0]
    means = [load for _, load in loads if load > 0]
    blocked = [1.0] * len(means)
    before = lost = sum(shares)
    slots = 0
    while lost > loss and slots < most:
        slots += 1
        blocked = [a * b / (slots + a * b) for a, b in zip(means, blocked, strict=True)]
        before, lost = lost, sum(share * b for share, b in zip(shares, blocked, strict=True))
    if not slots or lost > loss:
        return float(slots)
    return slots - math.log(loss / lost) / math.log(before / lost)
