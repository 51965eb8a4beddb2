"""Tokens: refused, replaced, late; and credentials that are refused or not there."""

from contextlib import suppress

import pytest

from orchestrator.clock import Clock
from orchestrator.engine.retry import tries
from orchestrator.errors import CallError, CredentialsRefused, Kind, TenantUnreachable, UsageError
from orchestrator.settings import Secret
from orchestrator.zuora.client import ZuoraClient
from orchestrator.zuora.shared_tokens import SharedTokens
from orchestrator.zuora.token import FRESH_TOKENS
from orchestrator.zuora.token_endpoint import TOKEN_TRIES
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


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("http_status", "body"), [(401, {}), (401, refusal(53100340)), (200, refusal(50000011))]
)
async def test_a_refused_token_is_replaced_and_the_call_may_be_tried_once_more(tenant, http_status, body):
    tenant.post(TOKEN, payload={"access_token": "first", "expires_in": 3599})
    tenant.post(TOKEN, payload={"access_token": "second", "expires_in": 3599})
    tenant.put(STOP, status=http_status, payload=body)
    tenant.put(STOP, payload={"success": True})
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        error = await failed_stop(client)
        await client.stop(KEY, "track")
    assert (error.kind, tries(error.kind, 8), error.may_have_worked) == (Kind.UNAUTHENTICATED, 2, SURE)
    assert calls(tenant, "POST", TOKEN) == 2


@pytest.mark.asyncio
async def test_a_refused_ready_token_ends_the_run(tenant, client):
    """The call itself was sent and refused, and is told so; it is the next one that cannot leave."""
    tenant.put(STOP, status=401)
    assert (await failed_stop(client)).kind is Kind.UNAUTHENTICATED
    with pytest.raises(CredentialsRefused, match="ZUORA_TOKEN"):
        await client.stop(KEY, "track")
    assert calls(tenant, "PUT", STOP) == 1


@pytest.mark.asyncio
async def test_so_many_fresh_tokens_refused_end_the_run(tenant):
    tenant.post(TOKEN, payload={"access_token": "fresh"}, repeat=True)
    tenant.put(STOP, status=401, repeat=True)
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        for _ in range(FRESH_TOKENS):
            assert (await failed_stop(client)).kind is Kind.UNAUTHENTICATED
        with pytest.raises(CredentialsRefused):
            await client.stop(KEY, "track")
    assert calls(tenant, "PUT", STOP) == FRESH_TOKENS


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer", [{"payload": {"success": True}}, {"payload": refusal(50000030)}, {"status": 404}]
)
async def test_an_answer_between_refusals_clears_the_token(tenant, answer):
    """Whatever the API refuses a call for, it has let the token in."""
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
async def test_a_file_between_refusals_clears_the_token(tenant):
    tenant.post(TOKEN, payload={"access_token": "fresh"}, repeat=True)
    tenant.put(STOP, status=401, repeat=True)
    tenant.get(FILE, body=b"PK", content_type="application/zip", repeat=True)
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        for _ in range(2 * FRESH_TOKENS):
            assert (await failed_stop(client)).kind is Kind.UNAUTHENTICATED
            await downloaded(client)


@pytest.mark.asyncio
async def test_each_call_for_a_token_is_told(tenant):
    tenant.post(TOKEN, payload={"access_token": "fresh"})
    told: list[None] = []
    async with ZuoraClient(settings(**OAUTH), Clock(), on_token=lambda: told.append(None)) as client:
        await client.authenticate()
    assert len(told) == 1


@pytest.mark.asyncio
async def test_a_token_is_taken_out_of_what_comes_with_it(tenant):
    token = "a-token-of-this-very-hour"
    tenant.post(TOKEN, payload={"access_token": token, "scope": f"of {token}"})
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        await client.authenticate()
        assert client.granted is not None
        assert client.granted.scope == "of …"


@pytest.mark.asyncio
async def test_a_token_that_another_client_was_given_is_taken_out_of_what_the_tenant_says(tenant):
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
async def test_a_token_under_another_status_than_200_is_none(tenant, no_backoff):
    tenant.post(TOKEN, status=500, payload={"access_token": "stale"})
    tenant.post(TOKEN, payload={"access_token": "fresh"})
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        await client.authenticate()
    assert calls(tenant, "POST", TOKEN) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("http_status", [400, 401, 403])
async def test_refused_credentials_are_not_tried_again(tenant, http_status):
    tenant.post(TOKEN, status=http_status, repeat=True)
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        with pytest.raises(CredentialsRefused, match=f"HTTP {http_status}"):
            await client.authenticate()
    assert calls(tenant, "POST", TOKEN) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer",
    [
        {"status": 500},
        {"status": 204},
        {"status": 429},
        {"status": 302, "headers": {"Location": "https://foreign.test/"}},
        {"body": b""},
        {"body": b"<html>"},
        {"body": b'{"access_token": 7}'},
        {"body": b'{"access_token": ""}'},
        {"body": b'{"access_token": "line\\nbreak"}'},
        {"body": b'{"access_token": null, "expires_in": 3599}'},
        {"body": b'{"x":' * 5_000},
        {"exception": OSError(104, "reset")},
        {"exception": TimeoutError()},
    ],
    ids=lambda answer: str(answer)[:40],
)
async def test_a_token_that_does_not_come_is_asked_for_a_few_times(tenant, no_backoff, answer):
    tenant.post(TOKEN, repeat=True, **answer)
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        with pytest.raises(TenantUnreachable, match=f"No token from {TOKEN} after {TOKEN_TRIES} tries"):
            await client.authenticate()
    assert calls(tenant, "POST", TOKEN) == TOKEN_TRIES


@pytest.mark.asyncio
async def test_once_a_token_was_had_another_is_asked_for_as_often_as_any_call(tenant, no_backoff):
    """The credentials are known to be good: an outage of the token endpoint alone must not end a run."""
    tenant.post(TOKEN, payload={"access_token": "first"})
    tenant.put(STOP, status=401)
    tenant.post(TOKEN, status=503, repeat=True)
    async with ZuoraClient(settings(**OAUTH, max_attempts=8), Clock()) as client:
        assert (await failed_stop(client)).kind is Kind.UNAUTHENTICATED
        with pytest.raises(TenantUnreachable, match="after 8 tries"):
            await client.authenticate()
    assert calls(tenant, "POST", TOKEN) == 1 + 8


@pytest.mark.asyncio
async def test_a_token_is_asked_for_no_more_often_than_any_call(tenant, no_backoff):
    tenant.post(TOKEN, status=503, repeat=True)
    async with ZuoraClient(settings(**OAUTH, max_attempts=2), Clock()) as client:
        with pytest.raises(TenantUnreachable, match="after 2 tries"):
            await client.authenticate()
    assert calls(tenant, "POST", TOKEN) == 2


@pytest.mark.asyncio
async def test_a_token_that_comes_late_is_a_token(tenant, no_backoff):
    tenant.post(TOKEN, status=503)
    tenant.post(TOKEN, body=b"<html>")
    tenant.post(TOKEN, payload={"access_token": "fresh"})
    tenant.put(STOP, payload={"success": True})
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        await client.stop(KEY, "track")


ODD: list[object] = [None, "", " ", "soon", "3599", 0, -5, 10**30, 3599.7, 1e300, True, [], {}]


@pytest.mark.asyncio
@pytest.mark.parametrize("told", [{"expires_in": value} for value in ODD] + [{"scope": value} for value in ODD] + [
    {}, {"token_type": None}, {"jti": 7, "unheard_of": {"of": []}},
], ids=str)  # fmt: skip
async def test_a_token_is_one_whatever_is_said_beside_it(tenant, told):
    tenant.post(TOKEN, payload={"access_token": "fresh", **told})
    tenant.put(STOP, payload={"success": True}, repeat=True)
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        for _ in range(3):
            await client.stop(KEY, "track")
    assert calls(tenant, "POST", TOKEN) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("http_status", [201, 202, 203, 206])
async def test_a_token_is_one_under_any_success(tenant, http_status):
    """What else a gateway makes of a 200: to be without a token is to stop nothing."""
    tenant.post(TOKEN, status=http_status, payload={"access_token": "fresh"})
    tenant.put(STOP, payload={"success": True})
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        await client.stop(KEY, "track")


@pytest.mark.parametrize("half", [{"client_id": "id"}, {"client_secret": Secret("secret")}, {}])
def test_without_credentials_the_sentence_says_how_to_give_them(half):
    with pytest.raises(UsageError, match="set ZUORA_CLIENT_ID and ZUORA_CLIENT_SECRET"):
        ZuoraClient(settings(token=None, **half), Clock())


def test_without_a_tenant_no_client_is_made():
    with pytest.raises(UsageError, match="No tenant is named"):
        ZuoraClient(settings(base_url=None), Clock())
