"""A wrong machine clock for selected processes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
SHARED = Path("/dev/shm")

needs_faketime = pytest.mark.skipif(
    FAKETIME is None, reason="libfaketime is not installed (Debian: libfaketime)"
)


@pytest.fixture
def faked() -> Iterator[Callable[..., dict[str, str]]]:
    """Return the environment with a wrong wall clock. The monotonic clock is unchanged.

    When the command exits, libfaketime's semaphore remains. The next process with the same id would use it.
    """
    before = set(SHARED.glob("*faketime*"))
    yield lambda **how: {"LD_PRELOAD": str(FAKETIME), "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"} | how
    for left in set(SHARED.glob("*faketime*")) - before:
        left.unlink(missing_ok=True)
