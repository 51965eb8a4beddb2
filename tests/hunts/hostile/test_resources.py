"""Answers that would fill the memory or never end: the command's peak memory is compared with a run without them.

Memory: at most 64 MiB above that run, with such an answer in every slot. Time: each attempt ends after ``--timeout``.
"""

import asyncio
import csv
import gzip
import io
import os
import sys
import zipfile
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
import pytest

from tests.acceptance.support import PROCESSING, Ended, MassStop, Tenant, lies, outcomes, table
from tests.hunts.tampering import Request, Tamper, TamperingProxy, forward, respond

MakeTenant = Callable[..., Tenant]

MIB = 1 << 20
MOST_ABOVE = 64 * MIB
KEYS = 40

Flood = Callable[[asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@cache
def bomb(wbits: int) -> bytes:
    """A quarter of a megabyte that unpacks to a quarter of a gigabyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    piece = b" " * MIB
    return b"".join([packer.compress(piece) for _ in range(256)] + [packer.flush()])


async def _for_ever(writer: asyncio.StreamWriter, piece: bytes, pause: float = 0.0) -> None:
    while True:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause)


async def gzip_bomb(writer: asyncio.StreamWriter) -> None:
    body = bomb(31)
    writer.write(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()


async def deflate_bomb(writer: asyncio.StreamWriter) -> None:
    body = bomb(15)
    writer.write(HEAD + b"Content-Encoding: deflate\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()


async def gzip_in_gzip(writer: asyncio.StreamWriter) -> None:
    body = gzip.compress(bomb(31))
    writer.write(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()


async def endless_body(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"\r\n")
    await _for_ever(writer, b" " * 65_536)


async def endless_chunks(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    await _for_ever(writer, b"10000\r\n" + b" " * 65_536 + b"\r\n")


async def endless_small_chunks(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    await _for_ever(writer, b"1\r\n \r\n" * 1_000)


async def a_chunk_of_absurd_size(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n")
    await _for_ever(writer, b" " * 65_536)


async def an_endless_chunk_extension(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;x=")
    await _for_ever(writer, b"x" * 65_536)


async def endless_trailers(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n")
    await _for_ever(writer, b"x-trailer: 1\r\n" * 1_000)


async def endless_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    await _for_ever(writer, b"x-header: 1\r\n" * 1_000)


async def endless_long_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD)
    await _for_ever(writer, b"x-header: " + b"x" * 60_000 + b"\r\n")


async def an_endless_header(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"x-header: ")
    await _for_ever(writer, b"x" * 65_536)


async def an_endless_status_line(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 ")
    await _for_ever(writer, b"x" * 65_536)


async def endless_continues(writer: asyncio.StreamWriter) -> None:
    await _for_ever(writer, b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000)


async def endless_early_hints(writer: asyncio.StreamWriter) -> None:
    await _for_ever(writer, b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 1_000)


async def a_header_a_byte_at_a_time(writer: asyncio.StreamWriter) -> None:
    for byte in HEAD * 1_000:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.1)


async def a_body_a_byte_at_a_time(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 99999\r\n\r\n")
    await _for_ever(writer, b" ", 0.1)


async def a_length_beyond_all(writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD + b"Content-Length: 99999999999999\r\n\r\n{")
    await _for_ever(writer, b" " * 65_536)


FLOODS: list[Flood] = [
    gzip_bomb, deflate_bomb, gzip_in_gzip, endless_body, endless_chunks, endless_small_chunks, a_chunk_of_absurd_size,
    an_endless_chunk_extension, endless_trailers, endless_headers, endless_long_headers, an_endless_header,
    an_endless_status_line,
    a_header_a_byte_at_a_time, a_body_a_byte_at_a_time, a_length_beyond_all, endless_continues, endless_early_hints,
]  # fmt: skip


@dataclass
class Measured:
    """A command that ended, with the peak of its resident memory in bytes."""

    ended: Ended
    peak: int
    tenant: Tenant


@pytest.fixture
def measure(mass_stop: MassStop, make_tenant: MakeTenant) -> Callable[..., Measured]:
    """Runs the command behind a tampering proxy and measures its memory."""

    def run(tamper: Tamper, *more: str, out: str = "run", keys: int = KEYS) -> Measured:
        tenant = make_tenant(**PROCESSING | {"latency": 0.01}, actions=keys)
        wrapper = Path(__file__).with_name("peak_memory.py")
        with TamperingProxy(tenant, tamper) as proxy:
            ended = mass_stop.run(
                tenant, mass_stop.keys(tenant.keys), "--timeout", "1s", *more, out=out, env=proxy.environment,
                shell=f'exec "{sys.executable}" "{wrapper}" peak "$@"', longest=150,
            )  # fmt: skip
        return Measured(ended, int((mass_stop.home / "peak").read_text()), tenant)

    return run


def first(kind: str, flood: Flood, times: int = 1) -> Tamper:
    """Gives ``flood`` in place of the first ``times`` answers of ``kind`` to each key."""

    async def tamper(request: Request, answer: bytes, writer: asyncio.StreamWriter) -> bool:
        if request.kind != kind or request.nth > times:
            return await forward(request, answer, writer)
        await flood(writer)
        return False

    return tamper


def assert_bounded(measured: Measured, usual: Measured) -> None:
    above = measured.peak - usual.peak
    assert above <= MOST_ABOVE, f"{above / MIB:.0f} MiB above the {usual.peak / MIB:.0f} of a run without"


@pytest.mark.hunt
@pytest.mark.parametrize("kind", ["token", "stop", "status"])
@pytest.mark.parametrize("flood", FLOODS, ids=[flood.__name__ for flood in FLOODS])
def test_an_answer_without_end_is_bounded_in_memory_and_time(
    measure: Callable[..., Measured], kind: str, flood: Flood
) -> None:
    for wbits in (15, 31):
        bomb(wbits)  # compressed before a call waits for it
    usual = measure(forward, "--no-results", out="usual")
    # On a slow machine every slot and each probe gets a flood. This must not count as an unreachable tenant.
    measured = measure(first(kind, flood), "--no-results", "--max-attempts", str(KEYS + 10))
    assert (measured.ended.status, lies(measured.ended.report, measured.tenant)) == (0, []), measured.ended
    assert outcomes(measured.ended.report) == dict.fromkeys(measured.tenant.keys, "stopped")
    assert_bounded(measured, usual)


# Response files


def packed(data: bytes, name: str = "actions.csv", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, data)
    return file.getvalue()


def many_entries() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for n in range(60_000):
            archive.writestr(f"{n}.csv", b"")
    return file.getvalue()


def overlapping() -> bytes:
    """Two directory entries for one entry of the file."""
    sound = packed(b"a,Success\r\n1,Y\r\n")
    directory = sound.index(b"PK\x01\x02")
    end = sound.index(b"PK\x05\x06")
    entry = sound[directory:end]
    tail = bytearray(sound[end:])
    tail[8:12] = (2).to_bytes(2, "little") * 2
    tail[12:16] = (2 * len(entry)).to_bytes(4, "little")
    return sound[:directory] + entry * 2 + bytes(tail)


FILES: dict[str, Callable[[], bytes]] = {
    "a bomb by its ratio": lambda: packed(b"a,Success\r\n" + b"1,Y\r\n" * 20_000_000),
    "a bomb of one field": lambda: packed(b'a,Success\r\n"' + b"x" * (400 * MIB) + b'",Y\r\n'),
    "a field of ten megabytes": lambda: packed(
        b"a,Success\r\n" + os.urandom(5 * MIB).hex().encode() + b",Y\r\n"
    ),
    "a record of commas": lambda: packed(b"a,Success\r\n" + b"," * (10 * MIB) + b"\r\n"),
    "a header of a million columns": lambda: packed(b"c," * 1_000_000 + b"Success\r\n"),
    "NULs": lambda: packed(b"a,Success\r\n\0\0\0,Y\r\n"),
    "UTF-16": lambda: packed("a,Success\r\n1,Y\r\n".encode("utf-16")),
    "a zip in a zip": lambda: packed(packed(b"a,Success\r\n1,Y\r\n"), "actions.csv.zip"),
    "zips all the way down": lambda: packed(packed(packed(b"x" * MIB, "a.zip"), "b.zip"), "c.csv"),
    "very many entries": many_entries,
    "overlapping entries": overlapping,
    "bzip2": lambda: packed(b"a,Success\r\n1,Y\r\n", method=zipfile.ZIP_BZIP2),
    "lzma": lambda: packed(b"a,Success\r\n1,Y\r\n", method=zipfile.ZIP_LZMA),
    "no Success": lambda: packed(b"a,b\r\n1,2\r\n"),
    "an open quote": lambda: packed(b'a,Success\r\n"1,Y\r\n' + b"2,N\r\n" * 100_000),
    "cut in the middle": lambda: packed(os.urandom(MIB).hex().encode())[: MIB // 2],
    "PK and no more": lambda: b"PK",
    "PK and rubbish": lambda: b"PK\x03\x04" + os.urandom(MIB),
    "a spreadsheet": lambda: packed(b"<worksheet/>", "xl/worksheets/sheet1.xml"),
}
"""Response files that cannot be used."""


@pytest.mark.hunt
@pytest.mark.parametrize("name", FILES)
def test_an_unusable_response_file_is_reported_beside_the_outcome(
    measure: Callable[..., Measured], name: str
) -> None:
    usual = measure(forward, out="usual", keys=3)
    answer = respond(FILES[name](), 200, ("Content-Type", "application/zip;charset=UTF-8"))

    async def tamper(request: Request, original: bytes, writer: asyncio.StreamWriter) -> bool:
        return await forward(request, answer if request.kind == "file" else original, writer)

    measured = measure(tamper, "--save-responses", "--max-attempts", "2", "--wait-for-tenant", "3s", keys=3)
    ended, tenant = measured.ended, measured.tenant
    assert lies(ended.report, tenant) == []
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
    assert ended.status in (0, 5), ended
    for action in ended.report["actions"]:
        assert action["records"]["source"] == "status"
        assert action["error"]["message"]
    assert_bounded(measured, usual)
    assert not list((ended.directory / "responses").glob("*")) or name == "no Success"


@pytest.mark.hunt
def test_a_response_file_that_arrives_byte_by_byte_is_abandoned(measure: Callable[..., Measured]) -> None:
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD.replace(b"json", b"zip") + b"Content-Length: 99999999\r\n\r\nP")
        await _for_ever(writer, b"K", 0.05)

    measured = measure(
        first("file", trickle, times=99), "--max-attempts", "2", "--wait-for-tenant", "3s", keys=4
    )
    assert outcomes(measured.ended.report) == dict.fromkeys(measured.tenant.keys, "stopped")
    assert {action["error"]["kind"] for action in measured.ended.report["actions"]} == {"timeout"}


NAMES = ["/tmp/escaped.csv", "..\\..\\escaped.csv", "a/b/../../../escaped.csv", "~/escaped.csv"]


@pytest.mark.parametrize(
    "name", ["../../../escaped.csv", *(pytest.param(n, marks=pytest.mark.hunt) for n in NAMES)]
)
def test_a_name_in_a_response_file_is_never_a_path(
    mass_stop: MassStop, make_tenant: MakeTenant, name: str
) -> None:
    tenant = make_tenant(**PROCESSING, actions=1)
    csv_bytes = b"a,Success\r\n1,Y\r\n"
    answer = respond(packed(csv_bytes, name), 200, ("Content-Type", "application/zip"))

    async def tamper(request: Request, original: bytes, writer: asyncio.StreamWriter) -> bool:
        return await forward(request, answer if request.kind == "file" else original, writer)

    with TamperingProxy(tenant, tamper) as proxy:
        ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--save-responses", env=proxy.environment)
    assert [path.name for path in (ended.directory / "responses").iterdir()] == [f"{tenant.keys[0]}.csv"]
    assert not list(mass_stop.home.rglob("escaped*"))
    assert not Path("/tmp/escaped.csv").exists()


# Texts for a person

TEXT = "\x1b[2J\x1b]0;title\x07\x9b31m\u202egnp\u2028\r=cmd|' /C calc'!A0"


def test_control_characters_of_a_tenant_are_shown_and_never_obeyed(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    """Escape sequences, in a message and in a record; formulas, in a record and in a report as CSV."""
    tenant = make_tenant(**PROCESSING, actions=4)
    refusal = respond(
        msgspec.json.encode(
            {"success": False, "reasons": [{"code": 50000010, "message": TEXT}], "processId": TEXT}
        )
    )
    record = io.StringIO()
    csv.writer(record).writerows([["note", "Success"], [TEXT, "Y"], ["=1+1", "N"], ["@SUM(A1)", ""]])
    file = respond(packed(record.getvalue().encode()), 200, ("Content-Type", "application/zip"))

    async def tamper(request: Request, original: bytes, writer: asyncio.StreamWriter) -> bool:
        if request.kind == "stop" and request.key == tenant.keys[0]:
            return await forward(request, refusal, writer)
        return await forward(request, file if request.kind == "file" else original, writer)

    with TamperingProxy(tenant, tamper) as proxy:
        ended = mass_stop.run(
            tenant, mass_stop.keys(tenant.keys), "--log-level", "debug", "--log-format", "console",
            env=proxy.environment,
        )  # fmt: skip
    printed = mass_stop("report", "run", "--format", "csv").out.decode()
    log = (ended.directory / "run.log").read_bytes()
    assert outcomes(ended.report)[tenant.keys[0]] == "rejected"
    assert [char for char in ended.err if not char.isprintable() and char != "\n"] == []
    assert not {7, 27} & set(log)
    cells = [cell for row in csv.reader(io.StringIO(printed)) for cell in row]
    for verdict in ("succeeded", "failed", "unprocessed"):
        cells += [
            cell for row in table(ended.directory / "remediation" / f"{verdict}.csv") for cell in row.values()
        ]
    assert [cell for cell in cells if cell.startswith(("=", "@", "+", "-"))] == []
