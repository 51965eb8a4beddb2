"""Estimate how many calls of others are in flight, from a header with the free slots that is rarely fresh."""

import math

REFRESH = 1.0
"""Seconds after which the tenant counts its free slots again (Zuora API, "Concurrent request limits")."""

HABIT = 20.0
"""Assumed mean duration of one load of the others, in seconds."""

LEAST, STEP = 0.25, 1.12
"""The smallest load that is distinguished from none, and the factor between neighbouring loads."""

NO_OTHERS, NO_OTHERS_ANY_MORE = 0.3, 0.05
"""The probability, before any observation, that there are no other callers; and that their calls end."""

WRONG = 0.03
"""The probability that a count is wrong: our record of our own calls differs, or the header is wrong."""


class OthersLoad:
    """The estimated mean number of others' calls in flight: a probability for each possible load.

    Each fresh count of the tenant gives one sample: permitted calls less free slots, less our calls then. Calls that
    arrive at random, and are lost without a free slot, have a Poisson distribution. It is cut off at the slots that
    our calls left (A. K. Erlang, 1917). Without a free slot, the count is therefore only a lower bound. From time to
    time the load changes to another (Bayes' rule with a change point).
    """

    def __init__(self) -> None:
        self.sampled_at = float("-inf")
        self._loads: list[float] = []
        self._before: list[float] = []
        self._after: list[float] = []
        self._shares: list[float] = []
        self._samples = 0
        self._shown: tuple[int, int] | None = None
        self._ours = 0
        self._in_flight = 0

    @property
    def mean(self) -> float | None:
        """The mean of the possible loads; None before the first count."""
        if not self._samples:
            return None
        return sum(share * load for share, load in zip(self._shares, self._loads, strict=True))

    @property
    def loads(self) -> list[tuple[float, float]]:
        """The probability of each load, with the load; empty before the first count."""
        return list(zip(self._shares, self._loads, strict=True)) if self._samples else []

    def seen(self, now: float, in_flight: int, permitted: int, remaining: int) -> bool:
        """Process a response's headers while ``in_flight`` calls are ours. Return whether the count is fresh."""
        before, self._in_flight = self._in_flight, in_flight
        age = now - self.sampled_at
        if (permitted, remaining) == self._shown:
            # The tenant may repeat its count, or count again with the same result. While the number of our
            # calls is unchanged, both mean the same.
            if age < 3 * REFRESH or in_flight != self._ours:
                return False
        elif self._samples > 1 and age < REFRESH / 2:
            return False  # several machines respond, and each has its own count
        # The count is newer than the previous response. It may not contain calls that have started since.
        ours = min(max(before, 1), in_flight, permitted - remaining)
        self._shown, self.sampled_at, self._ours = (permitted, remaining), now, in_flight
        if not self._loads or self._loads[-1] < permitted:
            self._spread(permitted)
        if self._samples <= 1:
            self._shares = (
                self._before
            )  # the first count may be older than our first call, so the second replaces it
        else:
            self._change(age)
        self._weigh(permitted - remaining - ours, permitted - ours)
        self._samples += 1
        return True

    def _spread(self, permitted: int) -> None:
        """Start with every load up to ``permitted``. The steps are relative, so small loads have small steps."""
        count = math.ceil(math.log(permitted / LEAST) / math.log(STEP)) + 1
        self._loads = [0.0, *(LEAST * STEP**n for n in range(count))]
        self._shares = self._before = [NO_OTHERS, *[(1 - NO_OTHERS) / count] * count]
        self._after = [NO_OTHERS_ANY_MORE, *[(1 - NO_OTHERS_ANY_MORE) / count] * count]
        self._samples = min(self._samples, 1)

    def _change(self, seconds: float) -> None:
        changed = 1 - math.exp(-seconds / HABIT)
        self._shares = [
            share + changed * (first - share) for share, first in zip(self._shares, self._after, strict=True)
        ]

    def _weigh(self, count: int, room: int) -> None:
        wrong = WRONG / (room + 1)
        likely = [
            share * (wrong + (1 - WRONG) * _chance(count, load, room))
            for share, load in zip(self._shares, self._loads, strict=True)
        ]
        total = sum(likely)
        self._shares = [one / total for one in likely]


def _chance(count: int, load: float, room: int) -> float:
    """Return the probability of ``count`` calls if ``load`` is their mean and only ``room`` slots are free."""
    if not load:
        return float(not count)
    return math.exp(count * math.log(load) - math.lgamma(count + 1) - _log_sum(load, room))


def _log_sum(load: float, room: int) -> float:
    """Return the logarithm of the sum of load^k / k! for k from 0 to ``room``."""
    if room > load + 12 * math.sqrt(load) + 12:
        return load
    term = total = 1.0
    for k in range(1, room + 1):
        term *= load / k
        total += term
    return math.log(total)
