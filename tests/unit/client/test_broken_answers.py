"""Answers that are broken, or larger than any should be."""

import asyncio
import gzip
import tracemalloc
import zlib

import pytest

from orchestrator.errors import Kind
from orchestrator.zuora.calls import LARGEST_ANSWER
from orchestrator.zuora.transport import MOST_INTERIM
from tests.unit.client.scripted import into
from tests.unit.client.server import (
    ACCEPTED,
    KEY,
    Request,
    failure_of,
    never_ends,
    opened,
    raw,
    says,
    serving,
)

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
        error = await failure_of(client.download("/v1/files/1", "track", into([])))
    assert error.kind is Kind.MALFORMED_ANSWER


def zeros(size: int) -> bytes:
    """``size`` bytes of zeros, gzipped a thousand to one."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(squeeze.compress(bytes(1 << 20)) for _ in range(size >> 20)) + squeeze.flush()


@pytest.mark.asyncio
async def test_a_gzipped_answer_is_unpacked():
    packed = gzip.compress(b'{"success": true, "status": "Stopped"}')
    async with serving(says(packed, Content_Encoding="gzip")) as server, opened(server) as client:
        assert (await client.status(KEY, "track")).status.terminal


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
async def test_interim_answers_are_skipped():
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
