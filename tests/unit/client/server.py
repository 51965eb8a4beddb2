"""A real socket for the client: a server with a script, and ways to answer or to fail.

aioresponses replaces the whole transport; time-outs, repeated sends, compression and redirects are below it.
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
"""Seconds that a call may take, by default. ``age`` lets them pass."""


@dataclass
class Request:
    """One request as it came over the wire. ``headers`` are in lower case, each with all its values."""

    method: str
    target: str
    headers: dict[str, list[str]]
    body: bytes
    connection: int


Answer = Callable[[asyncio.StreamWriter, Request], Awaitable[None]]


@dataclass
class Server:
    """A raw server: takes requests, and answers each by the next of ``script`` (the last of them for ever)."""

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
            pass  # the client hung up, as some tests want
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
    """A server that answers by ``script``."""
    server = Server(list(script))
    async with listening(server.serve) as server.port:
        yield server


@asynccontextmanager
async def listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A port on which ``serve`` takes each connection; those still open at the end are cut."""
    others = asyncio.all_tasks()
    listener = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=200)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in asyncio.all_tasks() - others:  # handlers that hang on purpose
            task.cancel()
        await asyncio.sleep(0)


def says(body: bytes = ACCEPTED, status: int = 200, **headers: str) -> Answer:
    """A whole answer of JSON; ``headers`` by their names with underscores."""

    async def answer(writer: asyncio.StreamWriter, request: Request) -> None:
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(f"HTTP/1.1 {status} Whatever\r\n{lines}\r\n".encode("latin-1") + body)
        await writer.drain()

    return answer


def raw(data: bytes) -> Answer:
    """These bytes, and the end of the connection."""

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
    """No answer within the time of a call."""
    age(TIMEOUT + 1)
    await asyncio.Event().wait()


async def trickles(writer: asyncio.StreamWriter, request: Request) -> None:
    """One byte a second."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 99999\r\n\r\nP")
    while True:
        await arrival(writer)
        age(1.0)
        writer.write(b"K")


async def drips(writer: asyncio.StreamWriter, request: Request) -> None:
    """The head, one byte, and nothing more within the time of a call."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 99\r\n\r\nP")
    await arrival(writer)
    await is_late(writer, request)


def age(seconds: float) -> None:
    """Set the loop's clock forward: what should last so long is over, on a machine of any speed."""
    loop = asyncio.get_running_loop()
    ahead = loop.time() + seconds - time.monotonic()
    loop.time = lambda: time.monotonic() + ahead  # type: ignore[method-assign]


async def arrival(writer: asyncio.StreamWriter) -> None:
    """Return when the client, in the same loop, has read what was written: the loopback device delivers at once."""
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
