"""The client against a real socket: what leaves, and what becomes of connections that fail.

aioresponses stands in the place of the whole transport; time-outs, sending again, compression and redirects
can only be seen below it.
"""

import asyncio
import gzip
import json
import socket
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest

from orchestrator.clock import Clock
from orchestrator.errors import CallError, Kind
from orchestrator.model import Answered, Status
from orchestrator.settings import Secret, Settings
from orchestrator.version import VERSION
from orchestrator.zuora import client as client_module
from orchestrator.zuora.client import LARGEST_ANSWER, ZuoraClient
from orchestrator.zuora.transport import MOST_INTERIM

KEY = "402892f04c97b89a014c97bb30a50003"
ACCEPTED = b'{"success": true}'
SHORT = 0.1
"""Seconds of a call that is meant to time out: real ones, there being a real socket."""


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
    """A server that goes by ``script``."""
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
        told = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
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


async def trickles(writer: asyncio.StreamWriter, request: Request) -> None:
    """One byte after the other, each in good time."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 99999\r\n\r\nP")
    while True:
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.write(b"K")


async def drips(writer: asyncio.StreamWriter, request: Request) -> None:
    """The head, one byte, and nothing more."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 99\r\n\r\nP")
    await writer.drain()
    await asyncio.Event().wait()


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


# ------------------------------------------------------------------------------------------ what leaves


async def stop_with(**changes: Any) -> Request:
    """The request of one stop."""
    async with serving(says()) as server, opened(server, **changes) as client:
        await client.stop(KEY, "mass-stop-1")
    return server.requests[0]


@pytest.mark.asyncio
async def test_a_stop_is_a_put_without_a_body():
    request = await stop_with()
    assert (request.method, request.target, request.body) == ("PUT", f"/v1/bulk/{KEY}/stop", b"")


@pytest.mark.asyncio
async def test_a_stop_carries_just_these_headers():
    """Whatever aiohttp comes to add by itself shows here. No Idempotency-Key: PUT must not have one."""
    request = await stop_with()
    assert set(request.headers) == {
        "host",
        "accept",
        "accept-encoding",
        "authorization",
        "content-length",
        "user-agent",
        "zuora-track-id",
    }


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", "Bearer ready-token"),
        ("zuora-track-id", "mass-stop-1"),
        ("accept-encoding", "gzip"),
        ("accept", "application/json"),
        ("user-agent", f"mass-stop/{VERSION}"),
        ("content-length", "0"),
    ],
)
async def test_a_stop_carries_each_header_once(name, value):
    request = await stop_with()
    assert request.headers[name] == [value]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("changes", "name", "value"),
    [
        ({"entity_id": "2c92c0f8-1"}, "zuora-entity-ids", "2c92c0f8-1"),
        ({"org_ids": ("a", "b")}, "zuora-org-ids", "a,b"),
        ({"zuora_version": "211.0"}, "zuora-version", "211.0"),
    ],
)
async def test_a_header_that_was_asked_for_is_sent(changes, name, value):
    request = await stop_with(**changes)
    assert request.headers[name] == [value]


@pytest.mark.asyncio
async def test_each_call_has_the_track_id_it_was_given():
    async with serving(says(b'{"success": true, "status": "Stopped"}')) as server, opened(server) as client:
        await client.stop(KEY, "track-1")
        await client.status(KEY, "track-2")
    assert [request.headers["zuora-track-id"] for request in server.requests] == [["track-1"], ["track-2"]]


@pytest.mark.asyncio
async def test_a_status_is_a_get_without_a_body():
    async with serving(says(b'{"success": true, "status": "Stopped"}')) as server, opened(server) as client:
        await client.status(KEY, "track")
    request = server.requests[0]
    assert (request.method, request.target, request.body) == ("GET", f"/v1/bulk/{KEY}", b"")
    assert not {"idempotency-key", "content-type", "content-length"} & set(request.headers)


@pytest.mark.asyncio
async def test_a_base_address_may_have_a_path():
    async with serving(says()) as server, ZuoraClient(ready(server.base + "/proxy"), Clock()) as client:
        await client.stop(KEY, "track")
    assert server.requests[0].target == f"/proxy/v1/bulk/{KEY}/stop"


@pytest.mark.asyncio
async def test_cookies_are_not_kept():
    async with serving(says(Set_Cookie="route=7; Path=/")) as server:
        base = server.base.replace("127.0.0.1", "localhost")  # an address has no cookies anyway
        async with ZuoraClient(ready(base), Clock()) as client:
            await client.stop(KEY, "track-1")
            await client.stop(KEY, "track-2")
    assert "cookie" not in server.requests[1].headers


async def token_request() -> Request:
    changes = {"token": None, "client_id": "the-id", "client_secret": Secret("s&cr=t")}
    answer = says(json.dumps({"access_token": "fresh", "expires_in": 3599}).encode())
    async with serving(answer) as server, opened(server, **changes) as client:
        await client.authenticate()
    return server.requests[0]


@pytest.mark.asyncio
async def test_the_token_is_asked_for_with_a_form():
    request = await token_request()
    assert (request.method, request.target) == ("POST", "/oauth/token")
    assert request.headers["content-type"] == ["application/x-www-form-urlencoded"]
    assert parse_qs(request.body.decode()) == {
        "client_id": ["the-id"],
        "client_secret": ["s&cr=t"],
        "grant_type": ["client_credentials"],
    }


@pytest.mark.asyncio
async def test_the_call_for_a_token_carries_no_authorization():
    request = await token_request()
    assert "authorization" not in request.headers


@pytest.mark.asyncio
async def test_the_fresh_token_is_the_one_sent():
    answer = says(b'{"access_token": "fresh", "success": true}')
    changes = {"token": None, "client_id": "the-id", "client_secret": Secret("secret")}
    async with serving(answer) as server, opened(server, **changes) as client:
        await client.stop(KEY, "track")
    assert server.requests[1].headers["authorization"] == ["Bearer fresh"]


# ------------------------------------------------------------------------------------------ connections


@pytest.mark.asyncio
async def test_a_connection_is_used_again():
    async with serving(says()) as server, opened(server) as client:
        for number in range(5):
            await client.stop(KEY, f"track-{number}")
    assert server.connections == 1


@pytest.mark.asyncio
async def test_a_refusal_leaves_the_connection_to_the_next_call():
    refusal = says(b'{"success": false, "reasons": [{"code": 50000050}]}')
    async with serving(refusal, says()) as server, opened(server) as client:
        await failure_of(client.stop(KEY, "track-1"))
        await client.stop(KEY, "track-2")
    assert server.connections == 1


@pytest.mark.asyncio
async def test_more_calls_are_under_way_at_once_than_the_connectors_own_limit():
    """TCPConnector queues from 100 on; the slots decide, not it."""
    all_there = asyncio.Event()

    async def waits_for_all(writer: asyncio.StreamWriter, request: Request) -> None:
        if len(server.requests) == 120:
            all_there.set()
        await all_there.wait()
        await says()(writer, request)

    async with serving(waits_for_all) as server, opened(server) as client:
        await asyncio.gather(*(client.stop(KEY, f"track-{number}") for number in range(120)))
    assert server.connections == 120


@pytest.mark.asyncio
@pytest.mark.parametrize("end", [hangs_up, resets])
@pytest.mark.parametrize("before", [[], [says()]], ids=["fresh connection", "kept-alive connection"])
async def test_a_put_whose_connection_drops_is_sent_exactly_once(before, end):
    """aiohttp would send it again on a kept-alive connection: neither paced nor journalled nor counted."""
    async with serving(*before, end) as server, opened(server) as client:
        for _ in before:
            await client.stop(KEY, "before")
        error = await failure_of(client.stop(KEY, "track"))
    assert [request.headers["zuora-track-id"] for request in server.requests].count(["track"]) == 1
    assert (error.kind, error.may_have_worked) == (Kind.CONNECTION_LOST, True)


@pytest.mark.asyncio
async def test_a_get_whose_connection_drops_is_sent_exactly_once():
    stopped = says(b'{"success": true, "status": "Stopped"}')
    async with serving(stopped, hangs_up) as server, opened(server) as client:
        await client.status(KEY, "before")
        error = await failure_of(client.status(KEY, "track"))
    assert (len(server.requests), error.kind) == (2, Kind.CONNECTION_LOST)


@pytest.mark.asyncio
async def test_after_a_dropped_connection_the_next_call_gets_another():
    async with serving(hangs_up, says()) as server, opened(server) as client:
        await failure_of(client.stop(KEY, "track-1"))
        await client.stop(KEY, "track-2")
    assert server.connections == 2


@pytest.mark.asyncio
async def test_nobody_listening_is_a_call_that_never_left():
    with socket.socket() as closed:  # bound, so that nobody else gets the port; never listening
        closed.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with ZuoraClient(ready(base), Clock()) as client:
            error = await failure_of(client.stop(KEY, "track"))
    assert (error.kind, error.may_have_worked) == (Kind.CONNECT_FAILED, False)
    assert "refused" in error.message.lower()


@pytest.mark.asyncio
async def test_a_connection_that_never_comes_about_is_a_call_that_never_left():
    """A port that swallows the TLS handshake: no stop can have been carried out behind it.

    A connection has half the time of a call, and on a busy machine both would be over at one look at the clock.
    """

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            writer.close()

    async with (
        listening(swallow) as port,
        ZuoraClient(ready(f"https://127.0.0.1:{port}", timeout=10 * SHORT), Clock()) as client,
    ):
        error = await failure_of(client.stop(KEY, "track"))
    assert (error.kind, error.may_have_worked) == (Kind.CONNECT_FAILED, False)


@pytest.mark.asyncio
async def test_a_server_that_speaks_no_tls_is_a_call_that_never_left():
    async def answer_in_plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with (
        listening(answer_in_plain) as port,
        ZuoraClient(ready(f"https://127.0.0.1:{port}"), Clock()) as client,
    ):
        error = await failure_of(client.stop(KEY, "track"))
    assert (error.kind, error.may_have_worked) == (Kind.CONNECT_FAILED, False)


# ------------------------------------------------------------------------------------------ time


@pytest.mark.asyncio
async def test_a_call_without_an_answer_ends_in_time_and_may_have_worked():
    async with serving(hangs) as server, opened(server, timeout=SHORT) as client:
        error = await failure_of(client.stop(KEY, "track"))
    assert (error.kind, error.may_have_worked, len(server.requests)) == (Kind.TIMEOUT, True, 1)


@pytest.mark.asyncio
async def test_an_answer_that_stalls_in_the_middle_ends_in_time():
    async with serving(drips) as server, opened(server, timeout=SHORT) as client:
        error = await failure_of(client.stop(KEY, "track"))
    assert (error.kind, error.may_have_worked) == (Kind.TIMEOUT, True)


@pytest.mark.asyncio
async def test_a_file_that_stalls_in_the_middle_ends_in_time():
    written: list[bytes] = []
    async with serving(drips) as server, opened(server, timeout=SHORT) as client:
        error = await failure_of(client.download("/v1/files/1", "track", written.append))
    assert (error.kind, written) == (Kind.TIMEOUT, [b"P"])


@pytest.mark.asyncio
async def test_a_file_may_take_longer_than_one_call_as_long_as_it_moves():
    pieces = [b"P", b"K", b"1", b"2", b"3", b"4"]

    async def moves(writer: asyncio.StreamWriter, request: Request) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 6\r\n\r\n")
        for piece in pieces:
            await asyncio.sleep(SHORT)
            writer.write(piece)
            await writer.drain()

    written: list[bytes] = []
    async with serving(moves) as server, opened(server, timeout=4 * SHORT) as client:
        await client.download("/v1/files/1", "track", written.append)
    assert b"".join(written) == b"".join(pieces)


@pytest.mark.asyncio
async def test_a_file_that_comes_a_byte_at_a_time_ends_in_time(monkeypatch):
    """Each byte is in time; all of them would take years."""
    monkeypatch.setattr(client_module, "SLOWEST_FILE", 1 << 20)
    async with serving(trickles) as server, opened(server, timeout=SHORT) as client:
        with pytest.raises(CallError) as caught:
            await client.download("/v1/files/1", "track-1", lambda chunk: None)
    assert caught.value.kind is Kind.TIMEOUT


@pytest.mark.asyncio
async def test_an_answer_that_came_unasked_is_not_taken_for_the_next_calls():
    """On a connection that was kept, a gateway's second answer lies ready before the next call is even sent."""
    stale = b'{"success": true, "status": "Stopped"}'

    async def answers_twice(writer: asyncio.StreamWriter, request: Request) -> None:
        echo = request.headers["zuora-track-id"][0]
        await says(Zuora_Track_Id=echo)(writer, request)
        await says(stale, Zuora_Track_Id=echo)(writer, request)
        told.set()

    told = asyncio.Event()
    running = says(b'{"success": true, "status": "Processing"}')
    async with serving(answers_twice, running) as server, opened(server) as client:
        await client.stop(KEY, "run-1")
        await told.wait()
        with suppress(CallError):
            assert (await client.status(KEY, "run-2")).value.status is Status.PROCESSING
        assert (await client.status(KEY, "run-3")).value.status is Status.PROCESSING


@pytest.mark.asyncio
async def test_a_call_that_timed_out_does_not_spoil_the_next():
    """The late answer must not be read as the answer to another call."""
    async with serving(hangs, says()) as server, opened(server, timeout=SHORT) as client:
        await failure_of(client.stop(KEY, "track-1"))
        await client.stop(KEY, "track-2")
    assert server.requests[0].connection != server.requests[1].connection


@pytest.mark.asyncio
async def test_a_cancelled_call_is_cancelled_and_no_error():
    async with serving(hangs) as server, opened(server) as client:
        call = asyncio.create_task(client.stop(KEY, "track"))
        await server.arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


# ------------------------------------------------------------------------------------------ broken answers

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

BROKEN = {
    "fewer bytes than announced": HEAD + b"Content-Length: 99\r\n\r\n" + ACCEPTED,
    "a chunk cut short": HEAD + b'Transfer-Encoding: chunked\r\n\r\n11\r\n{"succ',
    "a chunk of no length": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "gzip that is none": HEAD + b"Content-Encoding: gzip\r\nContent-Length: 17\r\n\r\n" + ACCEPTED,
    "gzip cut short": HEAD
    + b"Content-Encoding: gzip\r\nContent-Length: 12\r\n\r\n"
    + gzip.compress(ACCEPTED)[:12],
    "no http": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "a status that is no number": b"HTTP/1.1 two hundred\r\n\r\n",
    "a header without end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
    "two lengths": HEAD + b"Content-Length: 17\r\nContent-Length: 3\r\n\r\n" + ACCEPTED,
}


@pytest.mark.asyncio
@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_is_a_known_error_and_may_have_worked(data):
    async with serving(raw(data)) as server, opened(server) as client:
        error = await failure_of(client.stop(KEY, "track"))
    assert (error.kind, error.may_have_worked) == (Kind.MALFORMED_ANSWER, True)


@pytest.mark.asyncio
async def test_a_head_cut_short_is_a_lost_connection():
    async with serving(raw(b"HTTP/1.1 200 OK\r\nContent-")) as server, opened(server) as client:
        error = await failure_of(client.stop(KEY, "track"))
    assert (error.kind, error.may_have_worked) == (Kind.CONNECTION_LOST, True)


@pytest.mark.asyncio
async def test_a_file_cut_short_is_tried_again():
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 99\r\n\r\n"
    async with serving(raw(head + b"PK")) as server, opened(server) as client:
        error = await failure_of(client.download("/v1/files/1", "track", lambda _: None))
    assert error.kind is Kind.MALFORMED_ANSWER


# ------------------------------------------------------------------------------------------ size


def zeros(size: int) -> bytes:
    """``size`` bytes of zeros, gzipped a thousand to one."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(squeeze.compress(bytes(1 << 20)) for _ in range(size >> 20)) + squeeze.flush()


@pytest.mark.asyncio
async def test_a_gzipped_answer_is_unpacked():
    packed = gzip.compress(b'{"success": true, "status": "Stopped"}')
    async with serving(says(packed, Content_Encoding="gzip")) as server, opened(server) as client:
        assert (await client.status(KEY, "track")).value.status.terminal


@pytest.mark.asyncio
async def test_a_gzip_bomb_is_cut_off_before_it_fills_the_memory():
    async with serving(says(zeros(64 << 20), Content_Encoding="gzip")) as server, opened(server) as client:
        tracemalloc.start()
        try:
            error = await failure_of(client.stop(KEY, "track"))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert error.kind is Kind.MALFORMED_ANSWER
    assert peak < 16 * LARGEST_ANSWER


@pytest.mark.asyncio
async def test_an_answer_that_never_ends_is_cut_off():
    async with serving(never_ends) as server, opened(server) as client:
        error = await failure_of(client.stop(KEY, "track"))
    assert (error.kind, error.may_have_worked) == (Kind.MALFORMED_ANSWER, True)


@pytest.mark.asyncio
async def test_interim_answers_are_read_over():
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"

    async def answer(writer: asyncio.StreamWriter, request: Request) -> None:
        writer.write(hints * MOST_INTERIM)
        await says()(writer, request)

    async with serving(answer) as server, opened(server) as client:
        for number in range(3):  # each call has as many to its name
            await client.stop(KEY, f"track-{number}")
    assert server.connections == 1


@pytest.mark.asyncio
async def test_interim_answers_without_end_are_cut_off():
    async def answer(writer: asyncio.StreamWriter, request: Request) -> None:
        while True:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
            await writer.drain()

    async with serving(answer) as server, opened(server) as client:
        error = await failure_of(client.stop(KEY, "track"))
    assert (error.kind, error.may_have_worked) == (Kind.MALFORMED_ANSWER, True)


@pytest.mark.asyncio
async def test_an_answer_as_large_as_allowed_is_read():
    body = ACCEPTED + b" " * (LARGEST_ANSWER - len(ACCEPTED))
    async with serving(says(body)) as server, opened(server) as client:
        await client.stop(KEY, "track")


@pytest.mark.asyncio
async def test_an_answer_one_byte_larger_is_not():
    body = ACCEPTED + b" " * (LARGEST_ANSWER - len(ACCEPTED) + 1)
    async with serving(says(body)) as server, opened(server) as client:
        error = await failure_of(client.stop(KEY, "track"))
    assert error.kind is Kind.MALFORMED_ANSWER


# ------------------------------------------------------------------------------------------ elsewhere


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_the_same_host_is_not_followed(status):
    async with serving(says(b"", status, Location="/elsewhere"), says()) as server, opened(server) as client:
        error = await failure_of(client.stop(KEY, "track"))
    assert (error.kind, len(server.requests)) == (Kind.REDIRECTED, 1)


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [301, 307])
async def test_a_redirect_to_another_host_is_not_followed(status):
    """aiohttp takes Authorization out, but sends the PUT and our other headers."""
    async with (
        serving(says()) as foreign,
        serving(says(b"", status, Location=foreign.base)) as server,
        opened(server) as client,
    ):
        error = await failure_of(client.stop(KEY, "track"))
    assert (error.kind, foreign.connections) == (Kind.REDIRECTED, 0)


@pytest.mark.asyncio
async def test_a_redirected_token_call_takes_the_secret_nowhere(monkeypatch):
    monkeypatch.setattr("orchestrator.zuora.client.TOKEN_BACKOFF", 0.0)
    changes = {"token": None, "client_id": "the-id", "client_secret": Secret("secret")}
    async with serving(says()) as foreign:
        redirect = says(b"", 307, Location=foreign.base + "/oauth/token")
        async with serving(redirect) as server, opened(server, **changes) as client:
            with pytest.raises(Exception, match="No token from"):
                await client.authenticate()
    assert foreign.connections == 0


@pytest.mark.asyncio
async def test_a_redirected_file_is_not_followed():
    async with (
        serving(says()) as foreign,
        serving(says(b"", 302, Location=foreign.base)) as server,
        opened(server) as client,
    ):
        error = await failure_of(client.download("/v1/files/1", "track", lambda _: None))
    assert (error.kind, foreign.connections) == (Kind.REDIRECTED, 0)


@pytest.mark.asyncio
async def test_a_file_on_another_port_of_the_same_host_is_not_called_at_all():
    async with serving(says()) as foreign, serving(says()) as server, opened(server) as client:
        error = await failure_of(client.download(foreign.base + "/v1/files/1", "track", lambda _: None))
    assert (error.kind, foreign.connections, server.connections) == (Kind.FOREIGN_ADDRESS, 0, 0)


@pytest.mark.asyncio
async def test_no_proxy_of_the_environment_gets_the_token(monkeypatch):
    async with serving(says()) as proxy, serving(says()) as server:
        for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(variable, proxy.base)
        async with opened(server) as client:
            await client.stop(KEY, "track")
    assert (proxy.connections, len(server.requests)) == (0, 1)


# ------------------------------------------------------------------------------------------ bookkeeping


@pytest.mark.asyncio
async def test_every_answer_is_shown_and_no_lost_one_is():
    answers: list[Answered] = []
    refusal = says(b'{"success": false, "reasons": [{"code": 50000070}]}')
    async with serving(says(), refusal, hangs_up) as server, opened(server, answers) as client:
        await client.stop(KEY, "track-1")
        await failure_of(client.stop(KEY, "track-2"))
        await failure_of(client.stop(KEY, "track-3"))
    assert [answer.throttled for answer in answers] == [False, True]


@pytest.mark.asyncio
async def test_an_answer_tells_the_tenants_clock():
    answers: list[Answered] = []
    date = "Tue, 24 Nov 2026 03:00:00 GMT"
    async with serving(says(Date=date)) as server, opened(server, answers) as client:
        await client.stop(KEY, "track")
    assert answers[0].date == date


@pytest.mark.asyncio
async def test_a_closed_client_leaves_no_connection_open():
    gone = asyncio.Event()

    class Watching(Server):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await super().serve(reader, writer)
            gone.set()

    server = Watching([says()])
    async with listening(server.serve) as server.port:
        async with opened(server) as client:
            await client.stop(KEY, "track")
        async with asyncio.timeout(5):
            await gone.wait()
