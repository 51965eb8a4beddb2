"""Tokens: refused, replaced, late; and credentials that are refused or missing."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from itertools import pairwise
from types import SimpleNamespace
from typing import cast

import aiohttp
import pytest

from orchestrator.clock import Clock
from orchestrator.errors import CallError, CredentialsRefused, Kind, UsageError
from orchestrator.settings import Secret
from orchestrator.zuora import token
from orchestrator.zuora.client import ZuoraClient
from orchestrator.zuora.redaction import Redaction
from orchestrator.zuora.shared_tokens import SharedTokens
from orchestrator.zuora.token import FRESH_TOKENS
from orchestrator.zuora.token_endpoint import TokenEndpoint
from tests.simulation.virtual import now, virtually
from tests.unit.client.scripted import (
    FILE,
    KEY,
    OAUTH,
    STOP,
    SURE,
    TOKEN,
    calls,
    failed_stop,
    refusal,
    settings,
)
from tests.unit.client.test_files import downloaded


@pytest.fixture
def no_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials are at fault after some refused tokens, however fast they came."""
    monkeypatch.setattr(token, "REFUSED_FOR", 0.0)
    monkeypatch.setattr(token, "PAUSE_AFTER_REFUSAL", 0.0)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("http_status", "body"), [(401, {}), (401, refusal(53100340)), (200, refusal(50000011))]
)
async def test_a_refused_token_is_replaced_and_the_call_is_retryable(tenant, http_status, body):
    tenant.post(TOKEN, payload={"access_token": "first", "expires_in": 3599})
    tenant.post(TOKEN, payload={"access_token": "second", "expires_in": 3599})
    tenant.put(STOP, status=http_status, payload=body)
    tenant.put(STOP, payload={"success": True})
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        error = await failed_stop(client)
        await client.stop(KEY, "track")
    assert (error.kind, error.may_have_worked) == (Kind.UNAUTHENTICATED, SURE)
    assert calls(tenant, "POST", TOKEN) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer", [{"payload": {"success": True}}, {"payload": refusal(50000030)}, {"payload": refusal(50000040)}]
)
async def test_an_answer_between_refusals_clears_the_token(tenant, answer, no_minute):
    """If the API refuses a call for another reason, it has accepted the token."""
    tenant.post(TOKEN, payload={"access_token": "fresh"}, repeat=True)
    for _ in range(2 * FRESH_TOKENS):
        tenant.put(STOP, status=401)
        tenant.put(STOP, **{"payload": {}, **answer})
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        for _ in range(2 * FRESH_TOKENS):
            assert (await failed_stop(client)).kind is Kind.UNAUTHENTICATED
            with suppress(CallError):
                await client.stop(KEY, "track")


@pytest.mark.asyncio
async def test_a_file_between_refusals_clears_the_token(tenant, no_minute):
    tenant.post(TOKEN, payload={"access_token": "fresh"}, repeat=True)
    tenant.put(STOP, status=401, repeat=True)
    tenant.get(FILE, body=b"PK", content_type="application/zip", repeat=True)
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        for _ in range(2 * FRESH_TOKENS):
            assert (await failed_stop(client)).kind is Kind.UNAUTHENTICATED
            await downloaded(client)


@pytest.mark.asyncio
async def test_each_call_for_a_token_is_reported(tenant):
    tenant.post(TOKEN, payload={"access_token": "fresh"})
    reports: list[None] = []
    async with ZuoraClient(settings(**OAUTH), Clock(), on_token=lambda: reports.append(None)) as client:
        await client.authenticate()
    assert len(reports) == 1


@pytest.mark.asyncio
async def test_the_token_is_removed_from_the_rest_of_its_response(tenant):
    token = "a-token-of-this-very-hour"
    tenant.post(TOKEN, payload={"access_token": token, "scope": f"of {token}"})
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        await client.authenticate()
        assert client.granted is not None
        assert client.granted.scope == "of …"


@pytest.mark.asyncio
async def test_a_token_of_another_client_is_removed_from_messages(tenant):
    token = "a-token-of-this-very-hour"
    tenant.post(TOKEN, payload={"access_token": token})
    tenant.put(STOP, status=400, payload={"success": False, "reasons": [{"message": f"{token} is wrong"}]})
    clock = Clock()
    shared = SharedTokens(clock)
    async with (
        ZuoraClient(settings(**OAUTH), clock, tokens=shared) as first,
        ZuoraClient(settings(**OAUTH), clock, tokens=shared) as second,
    ):
        await first.authenticate()
        assert (await failed_stop(second)).message == "… is wrong"
    assert calls(tenant, "POST", TOKEN) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("http_status", [400, 401, 403])
@pytest.mark.parametrize("body", [{"error": "invalid_client"}, {"message": "No."}])
async def test_refused_credentials_are_final(tenant, http_status, body):
    tenant.post(TOKEN, status=http_status, payload=body, repeat=True)
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        with pytest.raises(CredentialsRefused, match=f"HTTP {http_status}"):
            await client.authenticate()
    assert calls(tenant, "POST", TOKEN) == 1


NO_TOKEN = [
    ({"status": 500}, False),
    ({"status": 500, "payload": {"access_token": "stale"}}, False),
    ({"status": 503, "body": b"<html>"}, False),
    ({"status": 204}, True),
    ({"status": 429}, False),
    ({"status": 302, "headers": {"Location": "https://foreign.test/"}}, True),
    ({"status": 401}, True),
    ({"status": 403, "body": b"<html>"}, True),
    ({"status": 403, "body": b"{}"}, False),
    ({"body": b""}, True),
    ({"body": b"<html>"}, True),
    ({"body": b'{"access_token": 7}'}, False),
    ({"body": b'{"access_token": ""}'}, False),
    ({"body": b'{"access_token": "line\\nbreak"}'}, False),
    ({"body": b'{"access_token": null, "expires_in": 3599}'}, False),
    ({"body": b'{"x":' * 5_000}, True),
    ({"exception": OSError(104, "reset")}, False),
    ({"exception": TimeoutError()}, False),
]
"""Answers to the token request that are not final, and whether a wrong address may cause them."""


@pytest.mark.asyncio
@pytest.mark.parametrize(("answer", "wrong_address"), NO_TOKEN, ids=lambda value: str(value)[:40])
async def test_a_failed_token_request_can_be_retried(tenant, answer, wrong_address):
    tenant.post(TOKEN, **answer)
    tenant.post(TOKEN, payload={"access_token": "fresh"})
    tenant.put(STOP, payload={"success": True})
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        with pytest.raises(CallError, match=f"No token from {TOKEN}: ") as caught:
            await client.authenticate()
        await client.stop(KEY, "track")
    error = caught.value
    assert (error.by_api, error.may_have_worked, error.wrong_address) == (False, False, wrong_address)
    assert error.kind is not Kind.UNAUTHENTICATED, "no token was refused"


def test_a_token_request_that_hangs_does_not_delay_the_next_one():
    """The next one leaves after 1 to 2 seconds, and the first response counts."""
    requests: list[float] = []

    async def post(url: str, form: Mapping[str, str]) -> tuple[aiohttp.ClientResponse, bytes]:
        requests.append(now())
        await asyncio.sleep(30.0 if now() < 20.0 else 0.1)
        return cast(
            aiohttp.ClientResponse, SimpleNamespace(status=200, headers={})
        ), b'{"access_token": "fresh"}'

    async def main() -> float:
        endpoint = TokenEndpoint(settings(**OAUTH), post, Redaction("secret"), Clock(now), lambda: None)
        assert (await endpoint.fetch()).text == "fresh"
        return now()

    assert virtually(main()) <= 22.2
    assert all(1.0 <= after - before <= 2.01 for before, after in pairwise(requests))


ODD: list[object] = [None, "", " ", "soon", "3599", 0, -5, 10**30, 3599.7, 1e300, True, [], {}]


@pytest.mark.asyncio
@pytest.mark.parametrize("fields", [{"expires_in": value} for value in ODD] + [{"scope": value} for value in ODD] + [
    {}, {"token_type": None}, {"jti": 7, "unheard_of": {"of": []}},
], ids=str)  # fmt: skip
async def test_other_fields_beside_a_token_are_ignored(tenant, fields):
    tenant.post(TOKEN, payload={"access_token": "fresh", **fields})
    tenant.put(STOP, payload={"success": True}, repeat=True)
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        for _ in range(3):
            await client.stop(KEY, "track")
    assert calls(tenant, "POST", TOKEN) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("http_status", [201, 202, 203, 206])
async def test_a_token_with_any_2xx_status_is_accepted(tenant, http_status):
    """Other forms of a 200 from a gateway: without a token nothing is stopped."""
    tenant.post(TOKEN, status=http_status, payload={"access_token": "fresh"})
    tenant.put(STOP, payload={"success": True})
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        await client.stop(KEY, "track")


@pytest.mark.parametrize("half", [{"client_id": "id"}, {"client_secret": Secret("secret")}, {}])
def test_without_credentials_the_message_says_how_to_give_them(half):
    with pytest.raises(UsageError, match="set ZUORA_CLIENT_ID and ZUORA_CLIENT_SECRET"):
        ZuoraClient(settings(token=None, **half), Clock())


def test_without_a_tenant_no_client_is_made():
    with pytest.raises(UsageError, match="No tenant is named"):
        ZuoraClient(settings(base_url=None), Clock())
