"""Response files, and answers in their place."""

import json
import re

import pytest

from orchestrator.clock import Clock
from orchestrator.errors import CallError, Kind
from orchestrator.zuora import client as client_module
from orchestrator.zuora.client import ZuoraClient
from orchestrator.zuora.responses import LONGEST_ADDRESS
from tests.unit.client.scripted import BASE, FILE, OAUTH, TOKEN, calls, into, refusal, settings


async def downloaded(client: ZuoraClient, address: str = FILE) -> bytes:
    chunks: list[bytes] = []
    await client.download(address, "track", into(chunks))
    return b"".join(chunks)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "address",
    [
        FILE,
        "/v1/files/402892",
        "v1/files/402892",
        f"{BASE}:443/v1/files/402892",
        f"{BASE}/v1/files/402892?version=1#part",
        f"{BASE}/v1/files/402892.csv.zip",
        f"{BASE}/v1/files/402892/",
        "https://rest.zuora.com/v1/files/402892",
        "https://apisandbox-api.zuora.com/rest/v1/files/402892",
        "http://rest.zuora.test/v1/files/402892",
        "https://rest.zuora.test:8443/v1/files/402892",
        "https://user:password@foreign.test/v1/files/402892",
        "//foreign.test/v1/files/402892",
        "https://[foreign/v1/files/402892",
        "https://rest.zuora.test:port/v1/files/402892",
    ],
)
async def test_a_response_file_comes_from_the_tenants_own_base_address(tenant, client, address):
    tenant.get(FILE, body=b"PK\x03\x04zip", content_type="application/zip;charset=UTF-8")
    assert await downloaded(client, address) == b"PK\x03\x04zip"
    assert [str(url) for _, url in tenant.requests] == [FILE]


@pytest.mark.asyncio
async def test_a_response_file_is_downloaded_below_the_prefix_of_the_base_address(tenant):
    own = "https://gateway.test/zuora/eu/v1/files/4-0_a"
    tenant.get(own, body=b"PK", content_type="application/zip")
    async with ZuoraClient(settings(base_url="https://gateway.test/zuora/eu"), Clock()) as client:
        assert await downloaded(client, "https://rest.zuora.com/v1/files/4-0_a") == b"PK"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "address",
    [
        "https://rest.zuora.com/v1/files/",
        "https://rest.zuora.com/v1/files/402892/status",
        "https://rest.zuora.com/v1/files/../bulk/402892",
        "https://rest.zuora.com/v1/files/40%2F2892",
        "https://rest.zuora.com/v1/files/402892 40",
        "https://rest.zuora.com/v1/filesets/402892",
        "https://rest.zuora.com/download?file=/v1/files/402892",
        "https://rest.zuora.com/download#/v1/files/402892",
        "https://rest.zuora.com/v1/files/٤٠٢",
        "file:///etc/passwd",
        "javascript:alert(1)",
    ],
)
async def test_an_address_without_a_file_id_is_not_called_and_is_shown(tenant, client, address):
    with pytest.raises(CallError, match=re.escape(address)) as caught:
        await downloaded(client, address)
    assert (caught.value.kind, tenant.requests) == (Kind.NO_RESPONSE_FILE, {})


@pytest.mark.asyncio
async def test_an_address_of_absurd_length_is_not_called_and_is_shown_in_part(tenant, client):
    with pytest.raises(CallError) as caught:
        await downloaded(client, f"{BASE}/v1/files/{'4' * LONGEST_ADDRESS}")
    assert (caught.value.kind, tenant.requests) == (Kind.NO_RESPONSE_FILE, {})
    assert len(caught.value.message) < 400


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "status",
    [{"accessible": False, "status": "ARCHIVED"}, {"status": "archived"}, {"accessible": False}],
    ids=str,
)
async def test_an_archived_file_is_explained_with_the_call_that_restores_it(tenant, client, status):
    tenant.get(f"{FILE}/status", payload={"success": True, **status})
    sentence = await client.archived("https://rest.zuora.com/v1/files/402892", "track")
    assert f"PUT {FILE}/restore" in (sentence or "")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "status",
    [{"accessible": True, "status": "RESTORED"}, {"status": 7}, {"accessible": "no"}, {}],
    ids=str,
)
async def test_a_file_that_the_tenant_can_deliver_is_not_called_archived(tenant, client, status):
    tenant.get(f"{FILE}/status", payload={"success": True, **status})
    assert await client.archived(FILE, "track") is None


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"payload": refusal(50000050)}, Kind.LOCKED),
        ({"payload": refusal(50000040)}, Kind.NOT_FOUND),
        ({"body": b"<html>", "content_type": "text/html"}, Kind.MALFORMED_ANSWER),
        ({"body": b"", "content_type": "application/zip"}, Kind.MALFORMED_ANSWER),
        ({"body": b"no zip", "content_type": "application/zip"}, Kind.MALFORMED_ANSWER),
        ({"status": 404}, Kind.GATEWAY),
        ({"status": 429}, Kind.THROTTLED),
        ({"status": 503}, Kind.SERVER),
        ({"status": 302, "headers": {"Location": "https://foreign.test/file"}}, Kind.REDIRECTED),
    ],
    ids=str,
)
async def test_a_failure_instead_of_a_file_is_not_written(tenant, client, answer, kind):
    tenant.get(FILE, **answer)
    written: list[bytes] = []
    with pytest.raises(CallError) as caught:
        await client.download(FILE, "track", into(written))
    assert (caught.value.kind, written) == (kind, [])


@pytest.mark.asyncio
@pytest.mark.parametrize("content_type", ["text/csv;charset=UTF-8", "application/csv"])
async def test_a_file_that_was_decompressed_in_transit_is_accepted(tenant, client, content_type):
    tenant.get(FILE, body=b"Id,Success\n1,Y\n", content_type=content_type)
    assert await downloaded(client) == b"Id,Success\n1,Y\n"


@pytest.mark.asyncio
async def test_a_disk_that_is_full_is_not_called_a_lost_connection(tenant, client):
    """A local failure must reach the operator; it is not retried eight times."""
    tenant.get(FILE, body=b"PK", content_type="application/zip")
    full = OSError(28, "No space left on device")

    async def write(chunk: bytes) -> None:
        raise full

    with pytest.raises(OSError, match="No space left") as caught:
        await client.download(FILE, "track", write)
    assert caught.value is full


@pytest.mark.asyncio
async def test_a_file_larger_than_documented_is_cut_off(tenant, client, monkeypatch):
    monkeypatch.setattr(client_module, "LARGEST_FILE", 10)
    tenant.get(FILE, body=b"PK" + b"x" * 9, content_type="application/zip")
    with pytest.raises(CallError) as caught:
        await downloaded(client)
    assert caught.value.kind is Kind.TOO_LARGE


@pytest.mark.asyncio
async def test_a_file_shows_its_limits_as_every_answer_does(tenant, client, answers):
    tenant.get(FILE, body=b"PK", headers={"Concurrency-Limit-Limit": "40"}, content_type="application/zip")
    await downloaded(client)
    assert answers[0].limits.concurrency == 40


@pytest.mark.asyncio
async def test_a_file_asked_for_with_an_old_token_has_it_replaced(tenant):
    tenant.post(TOKEN, payload={"access_token": "fresh"}, repeat=True)
    tenant.get(FILE, status=401, body=json.dumps({}))
    tenant.get(FILE, body=b"PK", content_type="application/zip")
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        with pytest.raises(CallError):
            await downloaded(client)
        assert await downloaded(client) == b"PK"
    assert calls(tenant, "POST", TOKEN) == 2


@pytest.mark.asyncio
async def test_a_refused_file_shows_its_limits_as_every_answer_does(tenant, client, answers):
    tenant.get(FILE, status=429, headers={"Retry-After": "7"})
    with pytest.raises(CallError):
        await downloaded(client)
    assert [(answer.throttled, answer.retry_after) for answer in answers] == [(True, 7.0)]
