"""Calls through a proxy, with a tenant over TLS whose name only the proxy resolves."""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from orchestrator.clock import Clock
from orchestrator.errors import CallError, Kind, TenantUnreachable
from orchestrator.settings import Secret
from orchestrator.zuora.client import ZuoraClient
from tests.recording_proxy import RecordingProxy
from tests.unit.client.server import KEY, Answer, Server, failure_of, ready, says

HOST = "tenant.mass-stop.test"

Behind = Callable[..., AbstractAsyncContextManager[tuple[Server, ZuoraClient, RecordingProxy]]]


@pytest.fixture
def behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Behind:
    """Opens a tenant that follows a script, a proxy, and a client that uses it."""
    authority = trustme.CA()
    ca_file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    for name in ("MASS_STOP_PROXY", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    @asynccontextmanager
    async def opened(
        *script: Answer, userinfo: str | None = None, timeout: float = 60.0, **proxied: Any
    ) -> AsyncIterator[tuple[Server, ZuoraClient, RecordingProxy]]:
        server = Server(list(script) or [says()])
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
        port = listener.sockets[0].getsockname()[1]
        with RecordingProxy({HOST: port}, **proxied) as proxy:
            settings = ready(
                f"https://{HOST}:{port}", proxy=proxy.url, ca_file=str(ca_file), timeout=timeout,
                proxy_credentials=None if userinfo is None else Secret(userinfo),
            )  # fmt: skip
            async with ZuoraClient(settings, Clock()) as client:
                yield server, client, proxy
        listener.close()
        if others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others, timeout=2)
        await asyncio.sleep(0.02)  # closing TLS takes a few turns of the loop

    return opened


@pytest.mark.asyncio
async def test_neither_side_sees_the_credentials_for_the_other(behind: Behind):
    async with behind(userinfo="user:pässword", credentials="user:pässword") as (server, client, proxy):
        await client.stop(KEY, "track")
    assert "proxy-authorization" not in server.requests[0].headers
    assert server.requests[0].headers["authorization"] == ["Bearer ready-token"]
    assert b64encode("user:pässword".encode()) in proxy.seen
    assert b"ready-token" not in proxy.seen


@pytest.mark.asyncio
async def test_a_connection_through_the_proxy_is_used_again(behind: Behind):
    async with behind() as (server, client, proxy):
        for number in range(3):
            await client.stop(KEY, f"track-{number}")
    assert (len(server.requests), len(proxy.heads)) == (3, 1)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 403 Forbidden\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: https://elsewhere.test/\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX",
        b"\x00\x01\x02\r\n\r\n",
        b"\n",
        None,
    ],
    ids=str,
)
async def test_a_call_without_a_tunnel_never_left(behind: Behind, answer: bytes | None):
    async with behind(answer=answer, timeout=1.0) as (server, client, _):
        error = await failure_of(client.stop(KEY, "track"))
    assert (error.kind, error.may_have_worked, server.requests) == (Kind.CONNECT_FAILED, False, [])


@pytest.mark.asyncio
async def test_a_407_after_an_answer_of_the_tenant_ends_the_run_too(behind: Behind):
    async with behind(says(Connection="close")) as (_, client, proxy):
        await client.stop(KEY, "track-1")
        proxy.credentials = "other:password"
        with pytest.raises(TenantUnreachable, match=r"requires credentials \(HTTP 407\)"):
            await client.stop(KEY, "track-2")


@pytest.mark.asyncio
async def test_credentials_that_a_proxy_repeats_are_not_shown(behind: Behind):
    answer = b"HTTP/1.1 503 wrong-horse-battery is unknown\r\n\r\n"
    async with behind(userinfo="user:wrong-horse-battery", answer=answer) as (_, client, _):
        error = await failure_of(client.stop(KEY, "track"))
    assert "503, … is unknown" in error.message


@pytest.mark.asyncio
async def test_a_proxy_that_does_not_offer_basic_authentication_is_reported(behind: Behind):
    answer = (
        b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate\r\n"
        b'Proxy-Authenticate: NTLM realm="corp, inc"\r\n\r\n'
    )
    async with behind(answer=answer) as (_, client, _):
        with pytest.raises(TenantUnreachable, match=r"by Negotiate, NTLM\. mass-stop can send .* Basic only"):
            await client.stop(KEY, "track")


@pytest.mark.asyncio
async def test_a_call_with_an_unresolved_name_fails_without_ending_the_run(behind: Behind):
    """A name may resolve later: only a rejected certificate and a 407 end the run at once."""
    async with behind() as (_, client, proxy):
        proxy.ports.clear()
        with pytest.raises(CallError, match=r"HTTP 502, Bad Gateway, ERR_DNS_FAIL"):
            await client.stop(KEY, "track")


@pytest.mark.asyncio
async def test_a_slow_proxy_is_waited_for(behind: Behind):
    async with behind(delay=0.3) as (server, client, _):
        await client.stop(KEY, "track")
    assert len(server.requests) == 1
