"""An event loop in virtual time.

As in trio's MockClock and looptime, no timer waits in real time. If nothing is ready, the clock jumps to the next
timer. If no timer is set either, the loop raises an error instead of hanging.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

R = TypeVar("R")
Args = TypeVarTuple("Args")

EPOCH = 1_795_000_000.0
"""The wall clock when a virtual loop starts: a day in November 2026."""


TICK = 1e-9
"""Seconds by which a jump exceeds its timer. A sum of floats may be slightly less than the exact time."""


class Jump(selectors.DefaultSelector):
    """A selector that advances the clock instead of waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("deadlock: nothing is ready and no timer is set")
        self.now += timeout + TICK
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own, which starts at 0."""

    def __init__(self) -> None:
        self.jump = Jump()
        super().__init__(self.jump)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self.jump.now

    def call_later(
        self, delay: float, callback: Callable[[*Args], object], *args: *Args, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Set a timer, after ``2 * TICK`` at least. With a shorter delay it would fire before any time passes."""
        return super().call_later(
            2 * TICK if 0 < delay < 2 * TICK else delay, callback, *args, context=context
        )


def virtually(main: Coroutine[Any, Any, R]) -> R:
    """Run ``main`` to its end on a virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def now() -> float:
    return asyncio.get_running_loop().time()
