"""Hosts that the client does not call, and its report of each answer."""

import asyncio

import pytest

from orchestrator.errors import Kind
from orchestrator.model import Answered
from orchestrator.settings import Secret
from tests.unit.client.scripted import into
from tests.unit.client.server import KEY, Server, failure_of, hangs_up, listening, opened, says, serving


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
async def test_a_redirected_token_call_takes_the_secret_nowhere():
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
        error = await failure_of(client.download("/v1/files/1", "track", into([])))
    assert (error.kind, foreign.connections) == (Kind.REDIRECTED, 0)


@pytest.mark.asyncio
async def test_a_file_on_another_port_is_downloaded_from_the_tenants_own_port():
    chunks: list[bytes] = []
    file = says(b"PK", Content_Type="application/zip")
    async with serving(says()) as foreign, serving(file) as server, opened(server) as client:
        await client.download(foreign.base + "/v1/files/1", "track", into(chunks))
    assert (foreign.connections, [request.target for request in server.requests]) == (0, ["/v1/files/1"])


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "name", ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
)
async def test_a_loopback_address_never_uses_a_proxy(monkeypatch, name):
    async with serving(says()) as proxy, serving(says()) as server:
        monkeypatch.setenv(name, proxy.base)
        async with opened(server, proxy=proxy.base) as client:
            await client.stop(KEY, "track")
    assert (proxy.connections, len(server.requests)) == (0, 1)


@pytest.mark.asyncio
async def test_every_answer_is_observed_and_no_lost_one():
    answers: list[Answered] = []
    refusal = says(b'{"success": false, "reasons": [{"code": 50000070}]}')
    async with serving(says(), refusal, hangs_up) as server, opened(server, answers) as client:
        await client.stop(KEY, "track-1")
        await failure_of(client.stop(KEY, "track-2"))
        await failure_of(client.stop(KEY, "track-3"))
    assert [answer.throttled for answer in answers] == [False, True]


@pytest.mark.asyncio
async def test_an_answer_has_the_clock_of_the_tenant():
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
        async with asyncio.timeout(60):
            await gone.wait()
