"""A loop whose clock jumps: runs in virtual time.

As in trio's MockClock and looptime, nothing waits for real: when nothing is ready, the clock jumps to the next timer.
If nothing is ready and no timer is set, the loop raises an error instead of hanging.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

R = TypeVar("R")
Args = TypeVarTuple("Args")

EPOCH = 1_795_000_000.0
"""The wall clock when a virtual loop starts: some day in November 2026."""


TICK = 1e-9
"""Seconds by which a jump passes its timer: a sum of floats may be an ulp before the exact time."""


class Jump(selectors.DefaultSelector):
    """A selector that does not wait: it moves the clock on instead."""

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
        """A delay below the clock's resolution would end before any time has passed, and be asked for again."""
        return super().call_later(
            2 * TICK if 0 < delay < 2 * TICK else delay, callback, *args, context=context
        )


def virtually(main: Coroutine[Any, Any, R]) -> R:
    """Runs ``main`` to its end on a virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def now() -> float:
    return asyncio.get_running_loop().time()
