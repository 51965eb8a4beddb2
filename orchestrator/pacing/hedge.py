"""Decide when to send a slow call a second time. Arithmetic only; the time is an argument.

See J. Dean and L. A. Barroso, "The Tail at Scale", 2013.
"""

from collections import deque
from collections.abc import Collection
from typing import Generic, TypeVar

T = TypeVar("T")

SAMPLES = 128
"""Number of stored latencies for each kind of call."""

ENOUGH = 8
"""Number of latencies from which quantiles are used."""

FLOOR = 0.25
"""The least delay in seconds. Below it, pauses of this machine look like a slow tenant."""

OUTLIER = 5.0
"""A call is an outlier if it takes this many times the median."""

QUANTILE, FACTOR, LEAST_FACTOR = 0.95, 2.0, 3.0
"""The delay is this quantile of all calls but outliers, times ``FACTOR``. It is at least ``LEAST_FACTOR`` times the
median."""

FEW_FLOOR, FEW_FACTOR = 1.0, 5.0
"""With few latencies, the delay is the longest latency times ``FEW_FACTOR``, and at least ``FEW_FLOOR`` seconds."""

UNKNOWN = 5.0
"""The delay in seconds before the first latency is known."""

PEERS, OVERTAKERS = 8, 5
"""A call is overtaken if ``OVERTAKERS`` of the next ``PEERS`` calls have ended before it."""

PATIENCE, PATIENCE_WITH_ALL = 2.0, 8.0
"""Waiting time in delays: for a call that is not overtaken, and if most calls are slow and the tenant may be slow."""

PATIENCE_FOR_STOPS, SLOW_SHARE = 2.0, 0.05
"""Waiting time in delays while new stops need the slot, unless more than ``SLOW_SHARE`` of the calls are slow."""

SHARE, MOST_SHARE, FREE = 0.05, 0.40, 3
"""Additional calls: a share of all calls, the larger share while there are as many outliers, and a fixed number."""


class CallLatency:
    """Learns from the latencies of one kind of call when a call is slow.

    ``fixed`` is a delay in seconds that replaces the learned one.
    """

    def __init__(self, fixed: float | None = None) -> None:
        self._fixed = fixed
        self._samples: deque[float] = deque(maxlen=SAMPLES)
        self._learned: float | None = None
        self._median = 0.0

    def ended(self, seconds: float) -> None:
        """Record that a call got its response, or was cancelled, after ``seconds``."""
        self._samples.append(seconds)
        self._learned = None

    @property
    def delay(self) -> float:
        """The seconds after which a call is slow."""
        return self._learn() if self._fixed is None else self._fixed

    def is_due(
        self, age: float, *, overtaken: bool, slow: int, in_flight: int, stops_wait: bool = False
    ) -> bool:
        """Return whether a call is slower than its peers, so that a second call is likely to be faster.

        Args:
            age: seconds since the call was sent.
            overtaken: later calls have ended.
            slow: number of slow calls, including this one.
            in_flight: number of calls in flight, including this one.
            stops_wait: new stops wait for a slot.
        """
        if overtaken:
            crowded = stops_wait and self._fixed is None and slow <= SLOW_SHARE * in_flight
            patience = PATIENCE_FOR_STOPS if crowded else 1.0
        elif slow > 2 and slow * 2 > in_flight:
            patience = PATIENCE_WITH_ALL
        else:
            patience = PATIENCE if self._fixed is None else 1.0
        return age >= self.delay * patience

    def is_outlier(self, age: float, factor: float = OUTLIER) -> bool:
        """Return whether ``age`` seconds are at least ``factor`` times the median latency."""
        self._learn()
        return age >= factor * self._median

    def _learn(self) -> float:
        if self._learned is None:
            latencies = sorted(self._samples)
            self._learned = _delay(latencies)
            self._median = latencies[len(latencies) // 2] if latencies else 0.0
        return self._learned


def _delay(latencies: list[float]) -> float:
    """Return the delay for the sorted ``latencies``."""
    if not latencies:
        return UNKNOWN
    if len(latencies) < ENOUGH:
        return max(FEW_FLOOR, FEW_FACTOR * latencies[-1])
    median = latencies[len(latencies) // 2]
    usual = [seconds for seconds in latencies if seconds <= OUTLIER * median]
    return max(FLOOR, LEAST_FACTOR * median, FACTOR * usual[int(QUANTILE * (len(usual) - 1))])


class StartOrder(Generic[T]):
    """Numbers calls in the order of their start, and determines which calls were overtaken."""

    def __init__(self) -> None:
        self._count = 0
        self._in_flight: dict[int, T] = {}

    @property
    def in_flight(self) -> Collection[T]:
        """The calls in flight, in the order of their start."""
        return self._in_flight.values()

    def start(self, call: T) -> int:
        """Record the start of ``call``. Return its number."""
        self._count = number = self._count + 1
        self._in_flight[number] = call
        return number

    def ended(self, number: int) -> None:
        """Record the end of call ``number``."""
        del self._in_flight[number]

    def is_overtaken(self, number: int) -> bool:
        """Return whether most of the next calls ended before call ``number``. False if few calls have started since."""
        following = range(number + 1, min(number + PEERS, self._count) + 1)
        return sum(other not in self._in_flight for other in following) >= OVERTAKERS


class HedgeBudget:
    """The number of calls that may be sent a second time: 5 % of all calls, up to 40 % while as many are outliers."""

    def __init__(self) -> None:
        self.calls = 0
        self.outliers = 0
        self.hedges = 0

    @property
    def left(self) -> int:
        """The number of second calls left."""
        share = max(SHARE * self.calls, min(MOST_SHARE * self.calls, self.outliers))
        return int(FREE + share) - self.hedges
