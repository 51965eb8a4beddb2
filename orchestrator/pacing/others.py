"""How many calls of others are in flight, from a header that reports what is left and is rarely fresh."""

import math

REFRESH = 1.0
"""Seconds after which the tenant counts its free slots again (Zuora API, "Concurrent request limits")."""

HABIT = 20.0
"""Mean seconds for which others are taken to keep up one load."""

LEAST, STEP = 0.25, 1.12
"""The smallest load that is distinguished from none, and the factor between neighbouring loads."""

NO_OTHERS, NO_OTHERS_ANY_MORE = 0.3, 0.05
"""The probability, before any observation, that no one else calls; and that calls of others stop."""

WRONG = 0.03
"""The probability that a count is worthless: our own calls differ from our record, or the header is wrong."""


class OthersLoad:
    """The estimate of the mean number of others' calls in flight: a probability for each of many loads.

    Each fresh count of the tenant gives one sample: what it permits, less what remains, less what was ours when it
    counted. Calls that come at random, and are lost if no slot is free, follow a Poisson distribution. It is cut
    off at the slots that ours left (A. K. Erlang, 1917): a count of all of them (nothing remains) thus only says "so
    many at least". Now and then the load becomes another (Bayes' rule with a change point).
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
        """The mean of what may be; None before the first count."""
        if not self._samples:
            return None
        return sum(share * load for share, load in zip(self._shares, self._loads, strict=True))

    @property
    def loads(self) -> list[tuple[float, float]]:
        """Each load with its probability; none before the first count."""
        return list(zip(self._shares, self._loads, strict=True)) if self._samples else []

    def seen(self, now: float, in_flight: int, permitted: int, remaining: int) -> bool:
        """Takes one answer's headers, which came while ``in_flight`` calls were ours; says whether they were fresh."""
        before, self._in_flight = self._in_flight, in_flight
        age = now - self.sampled_at
        if (permitted, remaining) == self._shown:
            # Reported twice, or counted twice with the same result? If ours are as many as then, it says the same in
            # either case.
            if age < 3 * REFRESH or in_flight != self._ours:
                return False
        elif self._samples > 1 and age < REFRESH / 2:
            return False  # several machines answer, and each counts by itself
        # The count is newer than the response before this one. Calls that have left since may not be in it.
        ours = min(max(before, 1), in_flight, permitted - remaining)
        self._shown, self.sampled_at, self._ours = (permitted, remaining), now, in_flight
        if not self._loads or self._loads[-1] < permitted:
            self._spread(permitted)
        if self._samples <= 1:
            self._shares = (
                self._before
            )  # the first count may be older than our first call: it does not count on
        else:
            self._change(age)
        self._weigh(permitted - remaining - ours, permitted - ours)
        self._samples += 1
        return True

    def _spread(self, permitted: int) -> None:
        """Every load up to ``permitted`` is possible, and small loads are distinguished as finely as large loads."""
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
    """The probability of ``count`` calls, where ``load`` would be their mean and only ``room`` find a slot."""
    if not load:
        return float(not count)
    return math.exp(count * math.log(load) - math.lgamma(count + 1) - _log_sum(load, room))


def _log_sum(load: float, room: int) -> float:
    """The logarithm of the sum of load^k / k! for k up to ``room``."""
    if room > load + 12 * math.sqrt(load) + 12:
        return load
    term = total = 1.0
    for k in range(1, room + 1):
        term *= load / k
        total += term
    return math.log(total)
