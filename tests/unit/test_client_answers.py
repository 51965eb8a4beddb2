"""What each answer of the tenant means to the engine: kind, try again or not, may have worked or not."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio

from orchestrator.clock import Clock
from orchestrator.engine.retry import tries
from orchestrator.errors import CallError, CredentialsRefused, Kind, TenantUnreachable, UsageError
from orchestrator.model import Answered, Records, Status, Window
from orchestrator.settings import Secret, Settings
from orchestrator.zuora import client as client_module
from orchestrator.zuora.client import TOKEN_TRIES, ZuoraClient
from orchestrator.zuora.token import FRESH_TOKENS
from orchestrator.zuora.wire import LONGEST_ADDRESS
from tests.aioresponses_compat import aioresponses

BASE = "https://rest.zuora.test"
KEY = "402892f04c97b89a014c97bb30a50003"
FILE = f"{BASE}/v1/files/402892"
STOP, STATUS, TOKEN = f"{BASE}/v1/bulk/{KEY}/stop", f"{BASE}/v1/bulk/{KEY}", f"{BASE}/oauth/token"

LOST, SURE = True, False

CATEGORIES = [
    # category, kind, tries of eight, may have worked
    (10, Kind.NO_PERMISSION, 1, SURE),
    (20, Kind.INVALID_REQUEST, 1, SURE),
    (21, Kind.INVALID_REQUEST, 1, SURE),
    (22, Kind.INVALID_REQUEST, 1, SURE),
    (23, Kind.INVALID_REQUEST, 1, SURE),
    (24, Kind.INVALID_REQUEST, 1, SURE),
    (25, Kind.INVALID_REQUEST, 1, SURE),
    (26, Kind.INVALID_REQUEST, 1, SURE),
    (27, Kind.INVALID_REQUEST, 1, SURE),
    (30, Kind.WRONG_STATE, 1, SURE),
    (40, Kind.NOT_FOUND, 1, SURE),
    (45, Kind.UNSUPPORTED, 1, SURE),
    (50, Kind.LOCKED, 8, SURE),
    (60, Kind.INTERNAL, 4, LOST),
    (61, Kind.TEMPORARY, 8, SURE),
    (70, Kind.THROTTLED, 8, SURE),
    (90, Kind.INVALID_REQUEST, 1, SURE),
    (99, Kind.INTEGRATION, 4, LOST),
]
"""The table "Errors" of the API page, but 11, which is the token's business."""

HTTP = [
    # HTTP status, kind, tries of eight, may have worked
    (400, Kind.INVALID_REQUEST, 1, SURE),
    (403, Kind.NO_PERMISSION, 1, SURE),
    (404, Kind.NOT_FOUND, 1, SURE),
    (405, Kind.UNSUPPORTED, 1, SURE),
    (422, Kind.INVALID_REQUEST, 1, SURE),
    (429, Kind.THROTTLED, 8, SURE),
    (500, Kind.SERVER, 8, LOST),
    (502, Kind.SERVER, 8, LOST),
    (503, Kind.SERVER, 8, LOST),
    (504, Kind.SERVER, 8, LOST),
]

NOT_UNDERSTOOD = {
    "empty": b"",
    "html": b"<html><body>Bad gateway</body></html>",
    "cut short": b'{"success": tr',
    "null": b"null",
    "a list": b"[]",
    "a text": b'"success"',
    "a number": b"1",
    "no utf-8": b'{"success": "\xff"}',
    "success as text": b'{"success": "true"}',
    "success as number": b'{"success": 1}',
    "reasons as text": b'{"success": false, "reasons": "no"}',
    "reasons of text": b'{"success": false, "reasons": ["no"]}',
    "code as list": b'{"success": false, "reasons": [{"code": [53100350]}]}',
    "code as fraction": b'{"success": false, "reasons": [{"code": 5.5}]}',
    "code of five thousand digits": b'{"success": false, "reasons": [{"code": ' + b"9" * 5000 + b"}]}",
    "two answers": b'{"success": true}{"success": true}',
    "a deep well": b'{"x":' * 5_000,
}
"""Bodies under HTTP 200 that are no answer of the API."""


def refusal(code: object, message: object = "No.") -> dict[str, Any]:
    return {"success": False, "processId": "7F2E", "reasons": [{"code": code, "message": message}]}


def settings(**changes: Any) -> Settings:
    return Settings(**{"base_url": BASE, "token": Secret("ready"), **changes})


OAUTH = {"token": None, "client_id": "id", "client_secret": Secret("secret")}
"""Changes to the settings that make the client fetch its own token."""


@pytest.fixture
def tenant():
    with aioresponses() as mocked:
        yield mocked


@pytest.fixture
def answers() -> list[Answered]:
    """What the client showed of each answer."""
    return []


@pytest_asyncio.fixture
async def client(answers: list[Answered]) -> AsyncIterator[ZuoraClient]:
    async with ZuoraClient(settings(), Clock(), answers.append) as opened:
        yield opened


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token's call is the one that the client tries again by itself; its waits are not what is tested."""
    monkeypatch.setattr(client_module, "TOKEN_BACKOFF", 0.0)


async def failed_stop(client: ZuoraClient) -> CallError:
    with pytest.raises(CallError) as caught:
        await client.stop(KEY, "track")
    return caught.value


async def failed_status(client: ZuoraClient) -> CallError:
    with pytest.raises(CallError) as caught:
        await client.status(KEY, "track")
    return caught.value


def calls(tenant: Any, method: str, url: str) -> int:
    return sum(len(made) for (verb, at), made in tenant.requests.items() if (verb, str(at)) == (method, url))


# ------------------------------------------------------------------------------------------ stop


@pytest.mark.asyncio
async def test_an_accepted_stop_gives_its_request_id(tenant, client):
    tenant.put(STOP, payload={"success": True}, headers={"Zuora-Request-Id": "r-1"})
    assert (await client.stop(KEY, "track")).request_id == "r-1"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "more", [{"reasons": None}, {"reasons": []}, {"processId": None}, {"warnings": ["new here"]}]
)
async def test_an_accepted_stop_may_say_more(tenant, client, more):
    """An accepted stop taken for a failure would be sent again."""
    tenant.put(STOP, payload={"success": True, **more})
    await client.stop(KEY, "track")


@pytest.mark.asyncio
@pytest.mark.parametrize("form", [int, str])
@pytest.mark.parametrize("http_status", [200, 400, 500])
@pytest.mark.parametrize(("category", "kind", "tried", "lost"), CATEGORIES)
async def test_a_category_decides(tenant, client, category, kind, tried, lost, http_status, form):
    tenant.put(STOP, status=http_status, payload=refusal(form(53100300 + category)))
    error = await failed_stop(client)
    assert (error.kind, tries(error.kind, 8), error.may_have_worked) == (kind, tried, lost)


@pytest.mark.asyncio
@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"{}"])
@pytest.mark.parametrize(("http_status", "kind", "tried", "lost"), HTTP)
async def test_without_a_reason_the_http_status_decides(tenant, client, http_status, kind, tried, lost, body):
    tenant.put(STOP, status=http_status, body=body)
    error = await failed_stop(client)
    assert (error.kind, tries(error.kind, 8), error.may_have_worked) == (kind, tried, lost)


@pytest.mark.asyncio
@pytest.mark.parametrize("body", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
async def test_an_answer_that_is_none_is_tried_again_and_may_have_worked(tenant, client, body):
    tenant.put(STOP, body=body)
    error = await failed_stop(client)
    assert (error.kind, error.may_have_worked) == (Kind.MALFORMED_ANSWER, True)
    assert tries(error.kind, 8) == 8


@pytest.mark.asyncio
@pytest.mark.parametrize("body", [b"{}", b'{"success": null}', b'{"reasons": []}'])
async def test_an_answer_that_does_not_say_success_is_no_accepted_stop(tenant, client, body):
    tenant.put(STOP, body=body)
    error = await failed_stop(client)
    assert (error.kind, error.may_have_worked) == (Kind.MALFORMED_ANSWER, True)


@pytest.mark.asyncio
@pytest.mark.parametrize("http_status", [201, 202, 203, 206])
async def test_another_success_than_200_is_not_documented_and_may_have_worked(tenant, client, http_status):
    tenant.put(STOP, status=http_status, payload={"success": True})
    error = await failed_stop(client)
    assert (error.kind, error.may_have_worked) == (Kind.UNKNOWN, True)


@pytest.mark.asyncio
@pytest.mark.parametrize("code", [None, "", "x", "٣", -53100350, "9" * 400, 0])
async def test_an_absurd_code_leaves_the_failure_unknown(tenant, client, code):
    tenant.put(STOP, payload=refusal(code))
    error = await failed_stop(client)
    assert (error.kind, error.may_have_worked) == (Kind.UNKNOWN, True)


@pytest.mark.asyncio
async def test_a_failure_tells_all_that_support_asks_for(tenant, client):
    tenant.put(STOP, payload=refusal("53100340", "No such bulk."), headers={"Zuora-Request-Id": "r-1"})
    error = await failed_stop(client)
    assert (error.code, error.http_status, error.message) == (53100340, 200, "No such bulk.")
    assert (error.request_id, error.process_id) == ("r-1", "7F2E")


@pytest.mark.asyncio
@pytest.mark.parametrize("http_status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", [f"{BASE}/elsewhere", "https://foreign.test/stop"])
async def test_a_redirect_is_an_error_and_nobody_else_is_called(tenant, client, http_status, target):
    tenant.put(STOP, status=http_status, headers={"Location": target})
    error = await failed_stop(client)
    assert (error.kind, tries(error.kind, 8), len(tenant.requests)) == (Kind.REDIRECTED, 1, 1)


# ------------------------------------------------------------------------------------------ limits


@pytest.mark.asyncio
async def test_every_answer_shows_its_limits(tenant, client, answers):
    tenant.put(
        STOP,
        payload={"success": True},
        headers={
            "ratelimit-limit": "50000, 50000;w=60",
            "RateLimit-Remaining": "399",
            "RATELIMIT-RESET": "12",
            "Concurrency-Limit-Limit": "40",
            "Concurrency-Limit-Remaining": "12",
        },
    )
    await client.stop(KEY, "track")
    limits = answers[0].limits
    assert (limits.windows, limits.remaining, limits.reset) == ((Window(50_000, 60),), 399, 12.0)
    assert (limits.concurrency, limits.concurrency_remaining) == (40, 12)


@pytest.mark.asyncio
@pytest.mark.parametrize(("headers", "wait"), [({"Retry-After": "2"}, 2.0), ({}, None)])
@pytest.mark.parametrize(("http_status", "body"), [(429, {}), (200, refusal(50000070))])
async def test_a_throttled_call_shows_its_wait(tenant, client, answers, http_status, body, headers, wait):
    tenant.put(STOP, status=http_status, payload=body, headers=headers)
    error = await failed_stop(client)
    assert (answers[0].throttled, answers[0].retry_after, error.retry_after) == (True, wait, wait)


@pytest.mark.asyncio
@pytest.mark.parametrize("remaining", [{}, {"RateLimit-Remaining": "0"}])
async def test_a_429_with_nothing_but_a_reset_waits_for_that(tenant, client, answers, remaining):
    tenant.put(STOP, status=429, headers={"RateLimit-Reset": "9", **remaining})
    error = await failed_stop(client)
    assert (answers[0].retry_after, error.retry_after) == (9.0, 9.0)


@pytest.mark.asyncio
async def test_a_429_for_concurrency_does_not_wait_for_the_rate_to_reset(tenant, client):
    tenant.put(STOP, status=429, headers={"RateLimit-Reset": "3000", "RateLimit-Remaining": "1000"})
    assert (await failed_stop(client)).retry_after is None


@pytest.mark.asyncio
async def test_a_503_may_ask_for_a_wait(tenant, client, answers):
    tenant.put(STOP, status=503, headers={"Retry-After": "5"})
    error = await failed_stop(client)
    assert (answers[0].throttled, answers[0].retry_after, error.retry_after) == (False, 5.0, 5.0)


@pytest.mark.asyncio
async def test_a_retry_after_that_is_a_date_is_held_against_the_answers_own(tenant, client):
    tenant.put(
        STOP,
        status=429,
        headers={"Retry-After": "Tue, 24 Nov 2026 03:00:30 GMT", "Date": "Tue, 24 Nov 2026 03:00:00 GMT"},
    )
    assert (await failed_stop(client)).retry_after == 30.0


@pytest.mark.asyncio
async def test_malformed_headers_do_not_hide_the_answer(tenant, client, answers):
    names = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Concurrency-Limit-Limit")
    tenant.put(STOP, payload={"success": True}, headers=dict.fromkeys(names, "9" * 400))
    await client.stop(KEY, "track")
    assert answers[0].limits.remaining is None


# ------------------------------------------------------------------------------------------ status


def status_body(**fields: object) -> dict[str, object]:
    return {"success": True, "status": "Stopped", **fields}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("counts", "records"),
    [
        ((100, 40, 4, 36), Records(100, 40, 36, 4, 60, "status")),
        (("100", "40", "4", "36"), Records(100, 40, 36, 4, 60, "status")),
        ((None, None, None, None), Records(source="none")),
        (("", "", "", ""), Records(source="none")),
        ((100, None, None, None), Records(total=100, source="status")),
    ],
    ids=["numbers", "strings", "null", "empty", "total alone"],
)
async def test_counts_are_taken_in_every_form(tenant, client, counts, records):
    names = ("totalCount", "processedCount", "errorCount", "successCount")
    tenant.get(STATUS, payload=status_body(**dict(zip(names, counts, strict=True))))
    assert (await client.status(KEY, "track")).value.records == records


@pytest.mark.asyncio
@pytest.mark.parametrize("status", list(Status))
async def test_every_documented_status_is_read(tenant, client, status):
    tenant.get(STATUS, payload=status_body(status=status.value))
    assert (await client.status(KEY, "track")).value.status is status


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "fields",
    [
        {"status": "Cancelled"},
        {"status": None},
        {"status": 3},
        {"status": ["Stopped"]},
        {"success": "true"},
    ],
    ids=str,
)
async def test_a_status_that_makes_no_sense_is_read_again(tenant, client, fields):
    tenant.get(STATUS, payload=status_body(**fields))
    error = await failed_status(client)
    assert (error.kind, tries(error.kind, 8)) == (Kind.MALFORMED_ANSWER, 8)


@pytest.mark.asyncio
async def test_a_failed_reading_tells_the_request(tenant, client):
    tenant.get(STATUS, payload=status_body(status="Cancelled"), headers={"Zuora-Request-Id": "r-1"})
    error = await failed_status(client)
    assert (error.request_id, error.http_status) == ("r-1", 200)
    assert "'Cancelled' is no status" in error.message


# ------------------------------------------------------------------------------- whose answer it is


OURS, ANOTHERS = "prefix-20261124-3", "prefix-20261124-2"


@pytest.mark.asyncio
async def test_an_answer_that_names_another_of_our_calls_is_not_taken_for_this_ones(tenant, client):
    """A gateway that answers twice would have one action's end told as another's."""
    tenant.get(STATUS, payload=status_body(status="Stopped"), headers={"Zuora-Track-Id": ANOTHERS})
    with pytest.raises(CallError, match="another call") as caught:
        await client.status(KEY, OURS)
    assert (caught.value.kind, caught.value.may_have_worked) == (Kind.MALFORMED_ANSWER, True)


@pytest.mark.asyncio
async def test_a_file_that_names_another_of_our_calls_is_not_taken_for_this_ones(tenant, client):
    tenant.get(FILE, body=b"PK", content_type="application/zip", headers={"Zuora-Track-Id": ANOTHERS})
    written: list[bytes] = []
    with pytest.raises(CallError, match="another call"):
        await client.download(FILE, OURS, written.append)
    assert written == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "told", [OURS, "", "?", "prefix-20261124-", "prefix-20261124-x", "other-2", "prefix"]
)
async def test_an_echo_that_is_none_of_ours_says_nothing(tenant, client, told):
    tenant.get(STATUS, payload=status_body(status="Stopped"), headers={"Zuora-Track-Id": told})
    assert (await client.status(KEY, OURS)).value.status is Status.STOPPED


# ------------------------------------------------------------------------------------------ the token


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
        {"status": 429},
        {"status": 302, "headers": {"Location": "https://foreign.test/"}},
        {"body": b""},
        {"body": b"<html>"},
        {"body": b'{"access_token": 7}'},
        {"body": b'{"access_token": ""}'},
        {"body": b'{"access_token": "line\\nbreak"}'},
        {"body": b'{"access_token": "t", "expires_in": "soon"}'},
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


@pytest.mark.parametrize("half", [{"client_id": "id"}, {"client_secret": Secret("secret")}, {}])
def test_without_credentials_the_sentence_says_how_to_give_them(half):
    with pytest.raises(UsageError, match="set ZUORA_CLIENT_ID and ZUORA_CLIENT_SECRET"):
        ZuoraClient(settings(token=None, **half), Clock())


def test_without_a_tenant_no_client_is_made():
    with pytest.raises(UsageError, match="No tenant is named"):
        ZuoraClient(settings(base_url=None), Clock())


# ------------------------------------------------------------------------------------------ response files


async def downloaded(client: ZuoraClient, address: str = FILE) -> bytes:
    chunks: list[bytes] = []
    await client.download(address, "track", chunks.append)
    return b"".join(chunks)


@pytest.mark.asyncio
@pytest.mark.parametrize("address", [FILE, "/v1/files/402892", f"{BASE}:443/v1/files/402892"])
async def test_a_response_file_is_handed_over_as_it_is(tenant, client, address):
    own = re.compile(r"https://rest\.zuora\.test(:443)?/v1/files/402892")
    tenant.get(own, body=b"PK\x03\x04zip", content_type="application/zip;charset=UTF-8")
    assert await downloaded(client, address) == b"PK\x03\x04zip"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "address",
    [
        "https://foreign.test/v1/files/402892",
        "http://rest.zuora.test/v1/files/402892",
        "https://rest.zuora.test:8443/v1/files/402892",
        "https://rest.zuora.test.foreign.test/v1/files/402892",
        "https://rest.zuora.test@foreign.test/v1/files/402892",
        "//foreign.test/v1/files/402892",
        "https://[foreign/v1/files/402892",
        "https://rest.zuora.test:port/v1/files/402892",
        "file:///etc/passwd",
        "javascript:alert(1)",
    ],
)
async def test_a_file_on_another_host_is_not_called_at_all(tenant, client, address):
    with pytest.raises(CallError) as caught:
        await downloaded(client, address)
    assert (caught.value.kind, tenant.requests) == (Kind.FOREIGN_ADDRESS, {})


@pytest.mark.asyncio
async def test_a_file_with_an_address_of_absurd_length_is_not_called_at_all(tenant, client):
    with pytest.raises(CallError) as caught:
        await downloaded(client, f"{BASE}/v1/files/{'4' * LONGEST_ADDRESS}")
    assert (caught.value.kind, tenant.requests) == (Kind.BAD_FILE, {})


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"payload": refusal(50000050)}, Kind.LOCKED),
        ({"payload": refusal(50000040)}, Kind.NOT_FOUND),
        ({"body": b"<html>", "content_type": "text/html"}, Kind.MALFORMED_ANSWER),
        ({"body": b"", "content_type": "application/zip"}, Kind.MALFORMED_ANSWER),
        ({"body": b"no zip", "content_type": "application/zip"}, Kind.MALFORMED_ANSWER),
        ({"status": 404}, Kind.NOT_FOUND),
        ({"status": 429}, Kind.THROTTLED),
        ({"status": 503}, Kind.SERVER),
        ({"status": 302, "headers": {"Location": "https://foreign.test/file"}}, Kind.REDIRECTED),
    ],
    ids=str,
)
async def test_what_comes_in_place_of_a_file_is_a_failure_and_not_written(tenant, client, answer, kind):
    tenant.get(FILE, **answer)
    written: list[bytes] = []
    with pytest.raises(CallError) as caught:
        await client.download(FILE, "track", written.append)
    assert (caught.value.kind, written) == (kind, [])


@pytest.mark.asyncio
@pytest.mark.parametrize("content_type", ["text/csv;charset=UTF-8", "application/csv"])
async def test_a_file_that_was_unpacked_on_the_way_is_taken_as_it_is(tenant, client, content_type):
    tenant.get(FILE, body=b"Id,Success\n1,Y\n", content_type=content_type)
    assert await downloaded(client) == b"Id,Success\n1,Y\n"


@pytest.mark.asyncio
async def test_a_disk_that_is_full_is_not_called_a_lost_connection(tenant, client):
    """The machine's own failure must reach who can tell the operator, not be tried eight times."""
    tenant.get(FILE, body=b"PK", content_type="application/zip")
    full = OSError(28, "No space left on device")

    def write(chunk: bytes) -> None:
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
