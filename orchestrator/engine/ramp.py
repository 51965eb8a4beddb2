"""Opens the connections of a process one after the other."""

import asyncio
from collections import deque
from collections.abc import Callable


class Ramp:
    """Opens new connections one at a time: one in each pass of the event loop, in the order of the requests.

    A new connection costs as much as a call. If responses come as fast as this process handles them, the next call
    finds a free connection. If they take longer, all slots are in use a few passes later. One ramp serves all tenants
    of a process, because they share its CPU.
    """

    def __init__(self) -> None:
        self._asking: deque[Callable[[], None]] = deque()

    def ask(self, begin: Callable[[], None]) -> None:
        """Call ``begin`` in a later pass."""
        self._asking.append(begin)
        if len(self._asking) == 1:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        begin = self._asking.popleft()
        if self._asking:
            asyncio.get_running_loop().call_soon(self._next)
        begin()
