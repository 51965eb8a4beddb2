"""A gateway between the command and a tenant. A test can let it fail in several ways, for any time."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

PAGE = b"<html><head><title>Blocked by the gateway</title></head></html>"


def page(http_status: int, body: bytes = PAGE) -> bytes:
    """Return a complete response with a page of the gateway. A redirect has another host as its location."""
    place = "Location: https://elsewhere.test/\r\n" if http_status // 100 == 3 else ""
    return (
        f"HTTP/1.1 {http_status} Fault\r\nContent-Type: text/html\r\n{place}"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


class FaultyGateway:
    """Passes bytes on to ``port`` of this machine. It serves in a thread of its own.

    ``fault`` is None, ``refuse``, ``reset``, ``hang``, or the response to every request. ``stops`` has the times
    (monotonic, in seconds) at which stops were passed on. ``met`` counts the requests with the current fault.
    """

    def __init__(self, port: int) -> None:
        self.port = 0
        self.stops: list[float] = []
        self.met = 0
        self.fault: str | bytes | None = None
        self._behind = port
        self._planned: tuple[int, str | bytes] | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    def break_down(self, fault: str | bytes, *, after: int = 0) -> None:
        """Apply ``fault`` to every request, from now on or once ``after`` stops were passed on."""
        if after:
            self._planned = (after, fault)
        else:
            self._do(self._break_down(fault))

    def repair(self) -> float:
        """Pass everything on again. Return the time (monotonic, in seconds)."""
        self._do(self._repair())
        return time.monotonic()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=500)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _break_down(self, fault: str | bytes) -> None:
        self.fault, self.met = fault, 0
        if fault == "refuse":
            self._server.close()
        if fault != "hang":
            self._abort()

    async def _repair(self) -> None:
        if self.fault == "refuse":
            await self._listen()
        self._abort()  # drops the hanging requests
        self.fault = None

    async def _close(self) -> None:
        self._server.close()
        self._abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _abort(self) -> None:
        for connection in self._connections:
            connection.transport.abort()
        self._connections.clear()

    async def _serve(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self._connections.add(back)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            there, on = await asyncio.open_connection("127.0.0.1", self._behind)
            self._connections.add(on)
            answers = asyncio.create_task(self._pass_back(there, back))
            try:
                while data := await reader.read(65_536):
                    await self._take(data, on, back)
            finally:
                answers.cancel()
                on.close()
        back.close()

    async def _take(self, data: bytes, on: asyncio.StreamWriter, back: asyncio.StreamWriter) -> None:
        """Process one request, which is one piece of data: the client sends the next one after the response."""
        self.met += self.fault is not None
        match self.fault:
            case None:
                if b"/stop HTTP/1.1" in data:
                    self.stops.append(time.monotonic())
                on.write(data)
                await on.drain()
                if self._planned and len(self.stops) >= self._planned[0]:
                    (_, fault), self._planned = self._planned, None
                    await self._break_down(fault)
            case bytes(response):
                back.write(response)
                await back.drain()
            case "hang":
                pass
            case _:
                back.transport.abort()

    async def _pass_back(self, there: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await there.read(65_536):
                if self.fault is None:
                    back.write(data)
                    await back.drain()
