"""A server on a real socket for the client, with scripted responses and failures.

aioresponses replaces the whole transport. Timeouts, repeated sends, compression and redirects happen below it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from orchestrator.clock import Clock
from orchestrator.errors import CallError
from orchestrator.model import Answered
from orchestrator.settings import Secret, Settings
from orchestrator.zuora.client import ZuoraClient

KEY = "402892f04c97b89a014c97bb30a50003"
ACCEPTED = b'{"success": true}'
TIMEOUT = 30.0
"""The default timeout of a call in seconds. ``age`` advances the clock beyond it."""


@dataclass
class Request:
    """One request as it arrived. The names of ``headers`` are in lower case, each with all its values."""

    method: str
    target: str
    headers: dict[str, list[str]]
    body: bytes
    connection: int


Answer = Callable[[asyncio.StreamWriter, Request], Awaitable[None]]


@dataclass
class Server:
    """A raw server. It responds to each request with the next entry of ``script``, and repeats the last one."""

    script: list[Answer]
    requests: list[Request] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    port: int = 0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while (request := await read_request(reader, number)) is not None:
                self.requests.append(request)
                self.arrived.set()
                answer = self.script[min(len(self.requests), len(self.script)) - 1]
                await answer(writer, request)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client disconnected, as intended by some tests
        finally:
            writer.close()


async def read_request(reader: asyncio.StreamReader, connection: int) -> Request | None:
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    if not head:
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    body = await reader.readexactly(int(headers.get("content-length", ["0"])[0]))
    return Request(method, target, headers, body, connection)


@asynccontextmanager
async def serving(*script: Answer) -> AsyncIterator[Server]:
    """Start a server that responds by ``script``."""
    server = Server(list(script))
    async with listening(server.serve) as server.port:
        yield server


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """Listen on a port with ``serve`` as the handler. At the end, cancel the connections that are still open."""
    others = asyncio.all_tasks()
    listener = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=200)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in asyncio.all_tasks() - others:  # intentionally hanging handlers
            task.cancel()
        await asyncio.sleep(0)


def says(body: bytes = ACCEPTED, status: int = 200, **headers: str) -> Answer:
    """Return a complete JSON response. Underscores in the names of ``headers`` become hyphens."""

    async def answer(writer: asyncio.StreamWriter, request: Request) -> None:
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode("latin-1") + body)
        await writer.drain()

    return answer


def raw(data: bytes) -> Answer:
    """Send these bytes, then close the connection."""

    async def answer(writer: asyncio.StreamWriter, request: Request) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return answer


async def hangs_up(writer: asyncio.StreamWriter, request: Request) -> None:
    writer.close()


async def resets(writer: asyncio.StreamWriter, request: Request) -> None:
    writer.transport.abort()


async def hangs(writer: asyncio.StreamWriter, request: Request) -> None:
    await asyncio.Event().wait()


async def never_ends(writer: asyncio.StreamWriter, request: Request) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        writer.write(b" " * 65_536)
        await writer.drain()


async def is_late(writer: asyncio.StreamWriter, request: Request) -> None:
    """Send no response within the timeout of a call."""
    age(TIMEOUT + 1)
    await asyncio.Event().wait()


async def trickles(writer: asyncio.StreamWriter, request: Request) -> None:
    """Send one byte per second."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 99999\r\n\r\nP")
    while True:
        await arrival(writer)
        age(1.0)
        writer.write(b"K")


async def drips(writer: asyncio.StreamWriter, request: Request) -> None:
    """Send the headers and one byte, and nothing more within the timeout of a call."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 99\r\n\r\nP")
    await arrival(writer)
    await is_late(writer, request)


def age(seconds: float) -> None:
    """Advance the loop's clock by ``seconds``, so that timeouts expire at once on any machine."""
    loop = asyncio.get_running_loop()
    ahead = loop.time() + seconds - time.monotonic()
    loop.time = lambda: time.monotonic() + ahead  # type: ignore[method-assign]


async def arrival(writer: asyncio.StreamWriter) -> None:
    """Return when the client in the same loop has read the written data. The loopback device delivers at once."""
    await writer.drain()
    for _ in range(10):
        await asyncio.sleep(0)


def ready(base: str, **changes: Any) -> Settings:
    return Settings(**{"base_url": base, "token": Secret("ready-token"), **changes})


@asynccontextmanager
async def opened(
    server: Server, answers: list[Answered] | None = None, /, **changes: Any
) -> AsyncIterator[ZuoraClient]:
    shown = answers.append if answers is not None else lambda _: None
    async with ZuoraClient(ready(server.base, **changes), Clock(), shown) as client:
        yield client


async def failure_of(call: Awaitable[object]) -> CallError:
    with pytest.raises(CallError) as caught:
        await call
    return caught.value
