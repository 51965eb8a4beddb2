"""The limits of the tenant: calls in flight, fixed rate windows, and the headers that show both."""

import math
import random
from collections.abc import Iterable

from orchestrator.simulator.config import TenantConfig

_SERVICE = 0.25  # seconds that one call of the other traffic takes, in the mean
_STEP = 0.005  # seconds between two looks at the other traffic: finer than any call is long


class Production:
    """The other traffic: Poisson arrivals, exponential lengths, brought up to date when somebody looks.

    Between two looks each call lives on with a known chance and a known number arrives, so nothing has to run
    meanwhile.
    """

    def __init__(self, mean: float, seed: int) -> None:
        self.mean = mean
        self.now_running = 0
        self.refused = 0
        self._dice = random.Random(f"production {seed}")
        self._seen: float | None = None

    def advance(self, now: float, room: int) -> int:
        """Moves on to ``now`` with ``room`` slots for it; answers how many calls arrived."""
        if not self.mean:
            return 0
        if self._seen is None:
            self._seen = now
            self.now_running = min(room, self._poisson(self.mean))
            return 0
        elapsed = now - self._seen
        if elapsed < _STEP:
            return 0
        self._seen = now
        alive = math.exp(-elapsed / _SERVICE)
        arrived = self._poisson(self.mean / _SERVICE * elapsed)
        lasting = _SERVICE / elapsed * (1 - alive)
        running = self._binomial(self.now_running, alive) + self._binomial(arrived, lasting)
        self.refused += max(0, running - room)
        self.now_running = max(0, min(running, room))
        return arrived

    def _binomial(self, count: int, chance: float) -> int:
        return sum(self._dice.random() < chance for _ in range(min(count, 10_000)))

    def _poisson(self, mean: float) -> int:
        if mean > 50:
            return max(0, round(self._dice.gauss(mean, math.sqrt(mean))))
        floor, product, count = math.exp(-mean), self._dice.random(), 0
        while product > floor:
            product *= self._dice.random()
            count += 1
        return count


class RateWindows:
    """Fixed windows that begin with the tenant: a refused call counts like any other."""

    def __init__(self, quotas: Iterable[tuple[int, int]], epoch: float) -> None:
        self.quotas = tuple(quotas)
        self._epoch = epoch
        self._places = [0] * len(self.quotas)
        self._used = [0] * len(self.quotas)
        self._all = ", ".join(f"{quota};w={length}" for quota, length in self.quotas)

    def take(self, now: float, calls: int = 1) -> float | None:
        """Counts ``calls``; answers the seconds until the windows they overran end, or None if they fit."""
        wait: float | None = None
        for n, (quota, length) in enumerate(self.quotas):
            place = int((now - self._epoch) // length)
            if place != self._places[n]:
                self._places[n], self._used[n] = place, 0
            self._used[n] += calls
            if self._used[n] > quota:
                wait = max(wait or 0.0, self._reset(n, now))
        return wait

    def _reset(self, n: int, now: float) -> float:
        return self._epoch + (self._places[n] + 1) * self.quotas[n][1] - now

    def headers(self, now: float) -> dict[str, str]:
        """The three RateLimit headers: of the window nearest to exhaustion, and every quota."""
        if not self.quotas:
            return {}
        nearest = max(range(len(self.quotas)), key=lambda n: self._used[n] / self.quotas[n][0])
        quota = self.quotas[nearest][0]
        return {
            "RateLimit-Limit": f"{quota}, {self._all}",
            "RateLimit-Remaining": str(max(0, quota - self._used[nearest])),
            "RateLimit-Reset": str(max(1, math.ceil(self._reset(nearest, now)))),
        }


class Limits:
    """One tenant's limits; ``in_flight`` are the calls under test, without the other traffic."""

    def __init__(self, config: TenantConfig, epoch: float) -> None:
        self._config = config
        self._limit = config.concurrency
        self._shown = config.concurrency
        self._shown_at = -math.inf
        self.windows = RateWindows(config.quotas, epoch)
        self.production = Production(config.production, config.seed)
        self.in_flight = 0
        self.peak = 0

    def count(self, now: float) -> float | None:
        """Counts one call in the rate windows; the seconds to wait if it is one too many."""
        others = self.production.advance(now, self._limit - self.in_flight)
        if others:
            self.windows.take(now, others)
        return self.windows.take(now)

    def enter(self, now: float) -> bool:
        """Takes a slot for one call, if there is one."""
        if self.in_flight + self.production.now_running >= self._limit:
            return False
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        self._look(now)
        return True

    def change(self, limit: int) -> None:
        """Permits so many calls in flight from now on."""
        self._limit = limit

    def leave(self) -> None:
        """Gives the slot back."""
        self.in_flight -= 1

    def _look(self, now: float) -> None:
        if now - self._shown_at >= self._config.header_refresh:
            self._shown_at = now
            self._shown = max(0, self._limit - self.in_flight - self.production.now_running)

    def headers(self, now: float) -> dict[str, str]:
        """The headers of an answer given at ``now``."""
        headers = self.windows.headers(now) if self._config.rate_headers else {}
        if self._config.concurrency_headers:
            self._look(now)
            headers["Concurrency-Limit-Type"] = "default"
            headers["Concurrency-Limit-Limit"] = str(self._limit)
            headers["Concurrency-Limit-Remaining"] = str(self._shown)
        return headers
