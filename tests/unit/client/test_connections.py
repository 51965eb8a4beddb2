"""Connections that are reused, dropped or never made; and calls that take too long."""

import asyncio
import gc
import socket
import time
from contextlib import suppress

import pytest
from aiohttp import connector
from aiohttp.client_proto import ResponseHandler

from orchestrator.clock import Clock
from orchestrator.errors import CallError, Kind
from orchestrator.model import Status
from orchestrator.zuora import client as client_module
from orchestrator.zuora import transport
from orchestrator.zuora.calls import LONGEST_CONNECT
from orchestrator.zuora.client import ZuoraClient
from tests.unit.client.scripted import into
from tests.unit.client.server import (
    KEY,
    TIMEOUT,
    Answer,
    Request,
    age,
    arrival,
    drips,
    failure_of,
    hangs,
    hangs_up,
    is_late,
    listening,
    opened,
    ready,
    resets,
    says,
    serving,
    trickles,
)


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
async def test_a_closed_connection_is_freed_without_the_garbage_collector():
    """It may hold a large answer, and the command looks for garbage seldom."""
    gc.collect()
    gc.disable()
    try:
        async with serving(says(Connection="close")) as server, opened(server) as client:
            await client.stop(KEY, "track")
            await asyncio.sleep(0)
            left = [found for found in gc.get_objects() if isinstance(found, ResponseHandler)]
    finally:
        gc.enable()
    assert not left


@pytest.mark.asyncio
async def test_after_a_dropped_connection_the_next_call_gets_another():
    async with serving(hangs_up, says()) as server, opened(server) as client:
        await failure_of(client.stop(KEY, "track-1"))
        await client.stop(KEY, "track-2")
    assert server.connections == 2


def forgets_two_connections() -> Answer:
    """The first two connections each get one answer, as if a firewall forgot them afterwards."""
    seen: set[int] = set()

    async def answer(writer: asyncio.StreamWriter, request: Request) -> None:
        if request.connection <= 2 and request.connection in seen:
            await hangs(writer, request)
        seen.add(request.connection)
        if len(seen) == 2:
            both.set()
        await both.wait()
        await says()(writer, request)

    both = asyncio.Event()
    return answer


@pytest.mark.asyncio
async def test_while_a_reused_connection_hangs_no_older_one_is_reused(monkeypatch):
    monkeypatch.setattr(transport, "SUSPICIOUS", 0.0)
    async with serving(forgets_two_connections()) as server, opened(server) as client:
        await asyncio.gather(*(client.stop(KEY, f"track-{number}") for number in (1, 2)))
        server.arrived.clear()
        hanging = asyncio.create_task(client.stop(KEY, "track-3"))
        await server.arrived.wait()
        await client.stop(KEY, "track-4")
        hanging.cancel()
    assert server.requests[-1].connection == 3


@pytest.mark.asyncio
async def test_a_host_that_has_moved_is_found_within_two_seconds(monkeypatch):
    async def resolve(_: str, port: int, **__: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(addresses), port))]

    addresses = iter(["127.0.0.2", "127.0.0.1"])
    later = 0.0
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    monkeypatch.setattr(connector, "monotonic", lambda: time.monotonic() + later)
    async with (
        serving(says()) as server,
        ZuoraClient(ready(f"http://localhost:{server.port}"), Clock()) as client,
    ):
        assert (await failure_of(client.stop(KEY, "track-1"))).kind is Kind.CONNECT_FAILED
        later = 1.5
        await client.stop(KEY, "track-2")


@pytest.mark.asyncio
async def test_a_refused_connection_is_a_call_that_never_left():
    with socket.socket() as closed:  # bound, so that no other process gets the port; never listening
        closed.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{closed.getsockname()[1]}"
        async with ZuoraClient(ready(base), Clock()) as client:
            error = await failure_of(client.stop(KEY, "track"))
    assert (error.kind, error.may_have_worked) == (Kind.CONNECT_FAILED, False)
    assert "refused" in error.message.lower()


@pytest.mark.asyncio
async def test_a_connection_timeout_is_a_call_that_never_left():
    """A port that swallows the TLS handshake: no stop can have been carried out behind it."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        age(LONGEST_CONNECT + 1)  # the time of the call itself is not over yet
        try:
            await reader.read()
        finally:
            writer.close()

    async with (
        listening(swallow) as port,
        ZuoraClient(ready(f"https://127.0.0.1:{port}"), Clock()) as client,
    ):
        error = await failure_of(client.stop(KEY, "track"))
    assert (error.kind, error.may_have_worked) == (Kind.CONNECT_FAILED, False)


@pytest.mark.asyncio
async def test_a_server_without_tls_is_a_call_that_never_left():
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


@pytest.mark.asyncio
async def test_a_call_without_an_answer_ends_in_time_and_may_have_worked():
    async with serving(is_late) as server, opened(server) as client:
        error = await failure_of(client.stop(KEY, "track"))
    assert (error.kind, error.may_have_worked, len(server.requests)) == (Kind.TIMEOUT, True, 1)


@pytest.mark.asyncio
async def test_an_answer_that_stalls_in_the_middle_ends_in_time():
    async with serving(drips) as server, opened(server) as client:
        error = await failure_of(client.stop(KEY, "track"))
    assert (error.kind, error.may_have_worked) == (Kind.TIMEOUT, True)


@pytest.mark.asyncio
async def test_a_file_that_stalls_in_the_middle_ends_in_time():
    written: list[bytes] = []
    async with serving(drips) as server, opened(server) as client:
        error = await failure_of(client.download("/v1/files/1", "track", into(written)))
    assert (error.kind, written) == (Kind.TIMEOUT, [b"P"])


@pytest.mark.asyncio
async def test_a_file_may_take_longer_than_one_call_as_long_as_it_moves():
    pieces = [b"P", b"K", b"1", b"2", b"3", b"4"]

    async def moves(writer: asyncio.StreamWriter, request: Request) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nContent-Length: 6\r\n\r\n")
        for piece in pieces:
            await arrival(writer)
            age(TIMEOUT / 3)
            writer.write(piece)

    written: list[bytes] = []
    async with serving(moves) as server, opened(server) as client:
        await client.download("/v1/files/1", "track", into(written))
    assert b"".join(written) == b"".join(pieces)


@pytest.mark.asyncio
async def test_a_file_that_arrives_byte_by_byte_ends_in_time(monkeypatch):
    """Each byte is in time; all of them would take years."""
    monkeypatch.setattr(client_module, "SLOWEST_FILE", 1 << 20)
    async with serving(trickles) as server, opened(server) as client:
        with pytest.raises(CallError) as caught:
            await client.download("/v1/files/1", "track-1", into([]))
    assert caught.value.kind is Kind.TIMEOUT


@pytest.mark.asyncio
async def test_an_unrequested_answer_is_not_used_for_the_next_call():
    """On a connection that was kept, a gateway's second answer lies ready before the next call is even sent."""
    stale = b'{"success": true, "status": "Stopped"}'

    async def answers_twice(writer: asyncio.StreamWriter, request: Request) -> None:
        echo = request.headers["zuora-track-id"][0]
        await says(Zuora_Track_Id=echo)(writer, request)
        await says(stale, Zuora_Track_Id=echo)(writer, request)
        both_sent.set()

    both_sent = asyncio.Event()
    running = says(b'{"success": true, "status": "Processing"}')
    async with serving(answers_twice, running) as server, opened(server) as client:
        await client.stop(KEY, "run-1")
        await both_sent.wait()
        with suppress(CallError):
            assert (await client.status(KEY, "run-2")).status is Status.PROCESSING
        assert (await client.status(KEY, "run-3")).status is Status.PROCESSING


@pytest.mark.asyncio
async def test_a_timeout_does_not_affect_the_next_call():
    """The late answer must not be read as the answer to another call."""
    async with serving(is_late, says()) as server, opened(server) as client:
        await failure_of(client.stop(KEY, "track-1"))
        await client.stop(KEY, "track-2")
    assert server.requests[0].connection != server.requests[1].connection


@pytest.mark.asyncio
async def test_a_cancelled_call_raises_no_other_error():
    async with serving(hangs) as server, opened(server) as client:
        call = asyncio.create_task(client.stop(KEY, "track"))
        await server.arrived.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
