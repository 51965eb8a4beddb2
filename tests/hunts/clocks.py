"""A machine whose clock is off, for the processes that are told so."""

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
    """Gives the environment in which the machine's clock is off; what counts time-outs goes on as it is.

    A process that ends as the command does leaves libfaketime's semaphore behind, for the next one of its number.
    """
    before = set(SHARED.glob("*faketime*"))
    yield lambda **how: {"LD_PRELOAD": str(FAKETIME), "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"} | how
    for left in set(SHARED.glob("*faketime*")) - before:
        left.unlink(missing_ok=True)
