"""The reason of a refusal: what the token endpoint or a gateway says, without credentials, in a few words."""

import json

import pytest

from orchestrator.clock import Clock
from orchestrator.errors import CallError, CredentialsRefused, Kind
from orchestrator.settings import Secret
from orchestrator.zuora.client import ZuoraClient
from tests.unit.client.scripted import OAUTH, STOP, TOKEN, calls, failed_stop, settings
from tests.unit.client.server import ACCEPTED, KEY, failure_of, opened, says, serving

PAGE = b"""<!DOCTYPE html>
<html><head><TITLE class="x">
  Zuora &mdash; Scheduled\tmaintenance </TITLE></head><body>Back at 10</body></html>"""

BLOCKED = b"<html><head><title>Access Denied</title></head><body>Your IP is not allowed</body></html>"


@pytest.mark.asyncio
@pytest.mark.parametrize("http_status", [400, 401, 403])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"message": "Address 192.0.2.1 is not on the allow list"}, "Address 192.0.2.1 is not on the allow list."),
        ({"error": "invalid_client", "error_description": "The client is deactivated."}, "The client is deactivated."),
        ({"error": "invalid_client"}, "invalid_client."),
        ({"success": False, "reasons": [{"code": 50000011, "message": "Wrong\nclient"}]}, "Wrong client."),
        ({"message": "x" * 500}, "x" * 200 + "…"),
        ({"message": 7, "error": "", "error_description": "Client expired!"}, "Client expired!"),
    ],
)  # fmt: skip
async def test_refused_credentials_are_reported_with_the_reason(tenant, http_status, body, reason):
    tenant.post(TOKEN, status=http_status, payload=body)
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        with pytest.raises(CredentialsRefused) as caught:
            await client.authenticate()
    assert f"credentials (HTTP {http_status}): {reason} Check the client id" in str(caught.value)
    assert calls(tenant, "POST", TOKEN) == 1


@pytest.mark.asyncio
async def test_a_reason_is_shown_without_the_secret_in_it(tenant):
    secret = "a-secret-of-some-forty-characters-0123456"
    body = {"error_description": f"client id with secret {secret} is unknown"}
    tenant.post(TOKEN, status=401, payload=body)
    changed = settings(**OAUTH | {"client_secret": Secret(secret)})
    async with ZuoraClient(changed, Clock()) as client:
        with pytest.raises(CredentialsRefused, match=r"client id with secret … is unknown\."):
            await client.authenticate()


@pytest.mark.asyncio
async def test_a_blocked_address_is_reported_with_the_page_and_the_allow_list(tenant):
    """A gateway may open again: a page is no verdict on the credentials."""
    tenant.post(TOKEN, status=403, body=BLOCKED, content_type="text/html", repeat=True)
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        with pytest.raises(CallError, match=r"HTTP 403: Access Denied\. .* allow list"):
            await client.authenticate()


@pytest.mark.asyncio
@pytest.mark.parametrize("http_status", [200, 502, 503])
async def test_maintenance_is_reported_with_its_page_and_zuoras_status_page(tenant, http_status):
    tenant.post(TOKEN, status=http_status, body=PAGE, repeat=True)
    async with ZuoraClient(settings(**OAUTH), Clock()) as client:
        with pytest.raises(CallError) as caught:
            await client.authenticate()
    assert f"HTTP {http_status}: Zuora — Scheduled maintenance." in str(caught.value)
    assert "https://trust.zuora.com" in str(caught.value)


SAID = "A gateway answered HTTP 503: "


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (PAGE, SAID + "Zuora — Scheduled maintenance."),
        (b"\xef\xbb\xbf" + PAGE, SAID + "Zuora — Scheduled maintenance."),
        (
            b"<html><title></title><h1>503 <b>Backend</b> fetch failed</h1>",
            SAID + "503 Backend fetch failed.",
        ),
        (
            b"upstream connect error\nreset reason: overflow",
            SAID + "upstream connect error reset reason: overflow.",
        ),
        (b"<title>\x1b[31mred\x07</title>", SAID + "[31mred."),
        (b"<title>" + b"long " * 50 + b"</title>", SAID + ("long " * 50)[:200].strip() + "…"),
        (b"<html><body>nothing</body></html>", "The tenant answered HTTP 503 without a reason."),
        (b"<title>" * 3000, "The tenant answered HTTP 503 without a reason."),
        (b"\x89PNG\xff\xfe", "The tenant answered HTTP 503 without a reason."),
        (b"", "The tenant answered HTTP 503 without a reason."),
        (json.dumps({"message": "Down for an hour"}).encode(), "Down for an hour"),
        (json.dumps({"error_description": "Down for an hour"}).encode(), "Down for an hour"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_a_failed_call_is_reported_with_what_the_page_says(tenant, client, body, message):
    tenant.put(STOP, status=503, body=body)
    assert (await failed_stop(client)).message == message


@pytest.mark.asyncio
async def test_a_page_is_shown_without_the_token_in_it():
    page = b"<title>No access for Bearer ready-token-of-thirty-two-letters</title>"
    async with serving(says(page, 403, Content_Type="text/html")) as server, opened(server) as client:
        error = await failure_of(client.stop(KEY, "track"))
    assert error.message == "A gateway answered HTTP 403: No access for Bearer …"


@pytest.mark.asyncio
@pytest.mark.parametrize("count", [1, 180])
async def test_headers_of_64_kib_and_of_200_lines_are_accepted(count):
    size = 65_000 if count == 1 else 300
    extra = {f"X_Gateway_{number}": "x" * size for number in range(count)}
    async with serving(says(ACCEPTED, 200, **extra)) as server, opened(server) as client:
        await client.stop(KEY, "track")


@pytest.mark.asyncio
@pytest.mark.parametrize(("count", "size"), [(1, 70_000), (300, 10), (100, 60_000)])
async def test_more_headers_than_that_are_a_malformed_answer(count, size):
    extra = {f"X_Gateway_{number}": "x" * size for number in range(count)}
    async with serving(says(ACCEPTED, 200, **extra)) as server, opened(server) as client:
        error = await failure_of(client.stop(KEY, "track"))
    assert error.kind is Kind.MALFORMED_ANSWER


@pytest.mark.asyncio
async def test_the_size_of_a_body_is_not_counted_as_headers():
    body = b'{"success": true, "x": "' + b"x" * 250_000 + b'"}'
    async with serving(says(body, 200, X_Gateway="x" * 60_000)) as server, opened(server) as client:
        for number in range(3):
            await client.stop(KEY, f"track-{number}")
    assert server.connections == 1
