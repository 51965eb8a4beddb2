"""The bytes of each call on a real socket."""

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from orchestrator.clock import Clock
from orchestrator.settings import Secret
from orchestrator.version import VERSION
from orchestrator.zuora.client import ZuoraClient
from tests.unit.client.server import KEY, Request, opened, ready, says, serving


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
async def test_a_stop_has_exactly_the_documented_headers():
    """A header that aiohttp begins to add fails this test. No Idempotency-Key: PUT must not have one."""
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
