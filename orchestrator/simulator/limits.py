"""The limits of the tenant: calls in flight, fixed rate windows, and the headers that report both."""

import math
from collections.abc import Iterable

from orchestrator.simulator.config import TenantConfig

_REFRESH = 1.0  # seconds between two counts of free slots for the header


class RateWindows:
    """Fixed windows that start with the tenant. A refused call counts like any other call."""

    def __init__(self, quotas: Iterable[tuple[int, int]], epoch: float) -> None:
        self.quotas = tuple(quotas)
        self._epoch = epoch
        self._places = [0] * len(self.quotas)
        self._used = [0] * len(self.quotas)
        self._all = ", ".join(f"{quota};w={length}" for quota, length in self.quotas)

    def take(self, now: float) -> float | None:
        """Count one call. Return the seconds until all exceeded windows end, or None if no window is exceeded."""
        wait: float | None = None
        for n, (quota, length) in enumerate(self.quotas):
            place = int((now - self._epoch) // length)
            if place != self._places[n]:
                self._places[n], self._used[n] = place, 0
            self._used[n] += 1
            if self._used[n] > quota:
                wait = max(wait or 0.0, self._reset(n, now))
        return wait

    def _reset(self, n: int, now: float) -> float:
        return self._epoch + (self._places[n] + 1) * self.quotas[n][1] - now

    def headers(self, now: float) -> dict[str, str]:
        """Return the three RateLimit headers: the window nearest to exhaustion, and every quota."""
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
    """The limits of one tenant, and the number of its calls ``in_flight``."""

    def __init__(self, config: TenantConfig, epoch: float) -> None:
        self._config = config
        self._limit = config.concurrency
        self._shown = config.concurrency
        self._shown_at = -math.inf
        self.windows = RateWindows(config.quotas, epoch)
        self.in_flight = 0
        self.peak = 0

    def enter(self, now: float) -> bool:
        """Take a slot for one call. Return False if there is none."""
        if self.in_flight >= self._limit:
            return False
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        self._look(now)
        return True

    def change(self, limit: int) -> None:
        """Change the limit of calls in flight."""
        self._limit = limit

    def leave(self) -> None:
        """Release the slot of one call."""
        self.in_flight -= 1

    def _look(self, now: float) -> None:
        if now - self._shown_at >= _REFRESH:
            self._shown_at = now
            self._shown = max(0, self._limit - self.in_flight)

    def headers(self, now: float) -> dict[str, str]:
        """Return the headers of a response at ``now``."""
        headers = self.windows.headers(now) if self._config.rate_headers else {}
        if self._config.concurrency_headers:
            self._look(now)
            headers["Concurrency-Limit-Type"] = "default"
            headers["Concurrency-Limit-Limit"] = str(self._limit)
            headers["Concurrency-Limit-Remaining"] = str(self._shown)
        return headers
