"""Time, in one place, so that a test can put its own in."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path


class Clock:
    """Monotonic seconds, and wall-clock stamps derived from them.

    A stamp is the wall clock at the creation of this object, plus the monotonic seconds since then. So the stamps of
    one process never run backwards, even if the machine's clock is changed.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: float | None = None) -> None:
        self.now = monotonic
        self._wall_at_zero = (time.time() if wall is None else wall) - monotonic()

    def stamp(self, at: float | None = None) -> str:
        """RFC 3339 in UTC with milliseconds, of ``at`` (monotonic seconds) or of now."""
        return _to_the_millisecond(int((self._wall_at_zero + (self.now() if at is None else at)) * 1000))

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self._wall_at_zero + self.now()


def stamp(wall: float) -> str:
    """RFC 3339 in UTC with milliseconds, of ``wall`` seconds since the epoch."""
    return _to_the_millisecond(int(wall * 1000))


@lru_cache(maxsize=4)
def _to_the_millisecond(milliseconds: int) -> str:
    """Stamps come in crowds: several are of one moment, and of thousands most is the same."""
    second, rest = divmod(milliseconds, 1000)
    return f"{_to_the_second(second)}.{rest:03d}Z"


@lru_cache(maxsize=4)
def _to_the_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:-6]


def seconds_between(earlier: str | None, later: str | None) -> float | None:
    """Seconds from one stamp to another; None where either is missing."""
    if earlier is None or later is None:
        return None
    return round((datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds(), 3)


def process_started_at() -> float:
    """Wall-clock seconds at which this process was started, to 10 ms; where /proc is missing, now.

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
    """Seconds since the epoch of an RFC 3339 ``stamp``."""
    return datetime.fromisoformat(stamp).timestamp()
