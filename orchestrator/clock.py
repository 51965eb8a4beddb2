"""Time, in one place, so that a test can replace it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path


class Clock:
    """Monotonic seconds, and wall-clock stamps derived from them.

    A stamp is the wall clock at the creation of this object, plus the monotonic seconds since then. So the stamps of
    one process never go back, even if the machine's clock is changed.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: float | None = None) -> None:
        self.now = monotonic
        self._wall_at_zero = (time.time() if wall is None else wall) - monotonic()

    def stamp(self, at: float | None = None) -> str:
        """Return the time ``at`` (monotonic seconds), or now, as RFC 3339 in UTC with milliseconds."""
        return _to_the_millisecond(int((self._wall_at_zero + (self.now() if at is None else at)) * 1000))

    def wall(self) -> float:
        """Return the seconds since the epoch."""
        return self._wall_at_zero + self.now()


def stamp(wall: float) -> str:
    """Return ``wall`` (seconds since the epoch) as RFC 3339 in UTC with milliseconds."""
    return _to_the_millisecond(int(wall * 1000))


@lru_cache(maxsize=4)
def _to_the_millisecond(milliseconds: int) -> str:
    """Cached, because many stamps are of the same millisecond."""
    second, rest = divmod(milliseconds, 1000)
    return f"{_to_the_second(second)}.{rest:03d}Z"


@lru_cache(maxsize=4)
def _to_the_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:-6]


def seconds_between(earlier: str | None, later: str | None) -> float | None:
    """Return the seconds from one stamp to another, or None if one of them is missing."""
    if earlier is None or later is None:
        return None
    return round((datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds(), 3)


def process_started_at() -> float:
    """Return when this process was started, in seconds since the epoch, to 10 ms. Without /proc, return now.

    Field 22 of /proc/self/stat is the start in clock ticks since boot (proc(5)).
    """
    now = time.time()
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / 100
    except (OSError, AttributeError, ValueError, IndexError):
        return now
    return now - age if 0 <= age < 10 * 365 * 86_400 else now


def epoch(stamp: str) -> float:
    """Return the seconds since the epoch of an RFC 3339 ``stamp``."""
    return datetime.fromisoformat(stamp).timestamp()
