"""A proxy between the command and a simulated tenant, which changes responses.

The tenant acts on each call and has its own true state. The test decides which response the command gets.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, NamedTuple, Self

from tests.acceptance.support import LONGEST, Tenant


class Request(NamedTuple):
    """One request, the ``nth`` (from 1) of its key and kind: ``token``, ``stop``, ``status``, ``file`` or ``other``."""

    kind: str
    key: str
    nth: int
    head: bytes


Tamper = Callable[[Request, bytes, asyncio.StreamWriter], Awaitable[bool]]
"""Sends any bytes instead of the whole response. Returns whether the connection can be used again."""


async def forward(request: Request, answer: bytes, writer: asyncio.StreamWriter) -> bool:
    """Forward the response unchanged."""
    writer.write(answer)
    await writer.drain()
    return True


class TamperingProxy:
    """Serves in its own thread, on its own port, in front of ``tenant``."""

    def __init__(self, tenant: Tenant, tamper: Tamper = forward) -> None:
        self.tamper = tamper
        self.requests: list[Request] = []
        self.counts: Counter[tuple[str, str]] = Counter()
        self.base_url = ""
        self._tenant = tenant
        self._port = int(tenant.environment["ZUORA_BASE_URL"].rpartition(":")[2])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def environment(self) -> dict[str, str]:
        return {"ZUORA_BASE_URL": self.base_url}

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LONGEST)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(LONGEST)

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=500)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._tenant.simulated._tenant.base_url = self.base_url  # for the addresses of response files

    async def _stop(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._serve_request(reader, writer):
                pass
        writer.close()

    async def _serve_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_length(head))
        method, target = head.decode("latin-1").split(" ")[:2]
        kind, key = _kind_and_key(method, target)
        self.counts[kind, key] += 1
        request = Request(kind, key, self.counts[kind, key], head)
        self.requests.append(request)
        answer = await self._answer_of_tenant(head, body)
        return await self.tamper(request, answer, writer)

    async def _answer_of_tenant(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(head + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            answer += await reader.readexactly(_length(answer))
        finally:
            writer.close()
        return answer


def _length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _kind_and_key(method: str, target: str) -> tuple[str, str]:
    parts = target.strip("/").split("/")
    if parts[0] == "oauth":
        return "token", ""
    if parts[:2] == ["v1", "files"]:
        return "file", parts[-1]
    if parts[:2] != ["v1", "bulk"]:
        return "other", target
    return ("stop", parts[-2]) if method == "PUT" else ("status", parts[-1])


def respond(body: bytes, status: int = 200, *headers: tuple[str, str]) -> bytes:
    """Return a complete response with ``body``. ``headers`` replace or follow the usual ones."""
    fields = {"Content-Type": "application/json", "Content-Length": str(len(body))} | dict(headers)
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} Altered\r\n{lines}\r\n".encode("latin-1") + body
