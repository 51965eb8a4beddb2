"""The meaning of each answer for the engine: its kind, retry or not, may have worked or not."""

from codecs import BOM_UTF8

import pytest

from orchestrator.engine.retry import tries
from orchestrator.errors import CallError, Kind
from orchestrator.model import Status
from tests.unit.client.scripted import BASE, FILE, KEY, LOST, STATUS, STOP, SURE, failed_stop, into, refusal
from tests.unit.client.test_status import status_body

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
    (400, Kind.GATEWAY, 8, LOST),
    (403, Kind.GATEWAY, 8, LOST),
    (404, Kind.GATEWAY, 8, LOST),
    (405, Kind.GATEWAY, 8, LOST),
    (422, Kind.GATEWAY, 8, LOST),
    (429, Kind.THROTTLED, 8, SURE),
    (500, Kind.SERVER, 8, LOST),
    (502, Kind.SERVER, 8, LOST),
    (503, Kind.SERVER, 8, LOST),
    (504, Kind.SERVER, 8, LOST),
]

ELSE = {
    Kind.REDIRECTED: [300, 301, 302, 303, 304, 305, 307, 308, 399],
    Kind.GATEWAY: [402, 406, 409, 410, 411, 412, 413, 414, 415, 417, 418, 421, 423, 424, 425, 426, 428, 431,
                           451, 499],
    Kind.SERVER: [408, 501, 505, 507, 508, 511, 520, 521, 522, 524, 529, 530, 599, 600, 999],
}  # fmt: skip
"""HTTP statuses that no page of the API names, by their kind."""

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


@pytest.mark.asyncio
async def test_an_accepted_stop_gives_its_request_id(tenant, client):
    tenant.put(STOP, payload={"success": True}, headers={"Zuora-Request-Id": "r-1"})
    assert await client.stop(KEY, "track") == "r-1"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "more",
    [
        {"reasons": None},
        {"reasons": []},
        {"reasons": ""},
        {"reasons": "none"},
        {"reasons": {}},
        {"reasons": [{"code": [1]}]},
        {"processId": None},
        {"processId": 7},
        {"message": {}},
        {"warnings": ["new here"]},
    ],
)
async def test_an_accepted_stop_may_say_more(tenant, client, more):
    """An accepted stop taken for a failure would be sent again."""
    tenant.put(STOP, payload={"success": True, **more})
    await client.stop(KEY, "track")


@pytest.mark.asyncio
async def test_an_answer_may_start_with_a_byte_order_mark(tenant, client):
    """A reader may ignore it (RFC 8259, section 8.1); a stop that was accepted would be sent again for it."""
    tenant.put(STOP, body=BOM_UTF8 + b'{"success": true}')
    await client.stop(KEY, "track")


@pytest.mark.asyncio
@pytest.mark.parametrize("form", [int, str])
@pytest.mark.parametrize("http_status", [200, 400, 500])
@pytest.mark.parametrize(("category", "kind", "tried", "lost"), CATEGORIES)
async def test_the_category_of_a_code_decides(tenant, client, category, kind, tried, lost, http_status, form):
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
@pytest.mark.parametrize(
    ("http_status", "kind"), [(status, kind) for kind, many in ELSE.items() for status in many]
)
@pytest.mark.parametrize("body", [b"", b'{"success": true}'])
async def test_an_undocumented_http_status_is_treated_by_its_class(tenant, client, http_status, kind, body):
    """With any body: under such a status it is no accepted stop."""
    tenant.put(STOP, status=http_status, body=body)
    error = await failed_stop(client)
    assert (error.kind, error.http_status, error.may_have_worked) == (kind, http_status, True)


@pytest.mark.asyncio
@pytest.mark.parametrize("body", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
async def test_a_malformed_answer_is_retried_and_may_have_worked(tenant, client, body):
    tenant.put(STOP, body=body)
    error = await failed_stop(client)
    assert (error.kind, error.may_have_worked) == (Kind.MALFORMED_ANSWER, True)
    assert tries(error.kind, 8) == 8


@pytest.mark.asyncio
@pytest.mark.parametrize("body", [b"{}", b'{"success": null}', b'{"reasons": []}'])
async def test_an_answer_without_success_is_no_accepted_stop(tenant, client, body):
    tenant.put(STOP, body=body)
    error = await failed_stop(client)
    assert (error.kind, error.may_have_worked) == (Kind.MALFORMED_ANSWER, True)


@pytest.mark.asyncio
@pytest.mark.parametrize("http_status", [201, 202, 203, 206])
async def test_another_2xx_status_counts_if_the_body_says_success(tenant, client, http_status):
    tenant.put(STOP, status=http_status, payload={"success": True}, headers={"Zuora-Request-Id": "r-1"})
    assert await client.stop(KEY, "track") == "r-1"


@pytest.mark.asyncio
@pytest.mark.parametrize("http_status", [201, 202, 203, 206])
@pytest.mark.parametrize("body", [{}, {"success": None}, {"success": False}])
async def test_another_2xx_status_without_success_may_have_worked(tenant, client, http_status, body):
    tenant.put(STOP, status=http_status, payload=body)
    assert (await failed_stop(client)).may_have_worked


@pytest.mark.asyncio
@pytest.mark.parametrize("code", [None, "", "x", "٣", -53100350, "9" * 400, 0])
async def test_an_absurd_code_leaves_the_failure_unknown(tenant, client, code):
    tenant.put(STOP, payload=refusal(code))
    error = await failed_stop(client)
    assert (error.kind, error.may_have_worked) == (Kind.UNKNOWN, True)


@pytest.mark.asyncio
async def test_a_failure_contains_every_id_that_support_asks_for(tenant, client):
    tenant.put(STOP, payload=refusal("53100340", "No such bulk."), headers={"Zuora-Request-Id": "r-1"})
    error = await failed_stop(client)
    assert (error.code, error.http_status, error.message) == (53100340, 200, "No such bulk.")
    assert (error.request_id, error.process_id) == ("r-1", "7F2E")


@pytest.mark.asyncio
@pytest.mark.parametrize("http_status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", [f"{BASE}/elsewhere", "https://foreign.test/stop"])
async def test_a_redirect_is_an_error_and_no_other_host_is_called(tenant, client, http_status, target):
    tenant.put(STOP, status=http_status, headers={"Location": target})
    error = await failed_stop(client)
    assert (error.kind, tries(error.kind, 8), len(tenant.requests)) == (Kind.REDIRECTED, 8, 1)


OURS, ANOTHERS = "prefix-20261124-3", "prefix-20261124-2"


@pytest.mark.asyncio
async def test_an_answer_with_the_track_id_of_another_call_is_refused(tenant, client):
    """With a gateway that answers twice, one action would get the end of another."""
    tenant.get(STATUS, payload=status_body(status="Stopped"), headers={"Zuora-Track-Id": ANOTHERS})
    with pytest.raises(CallError, match="another call") as caught:
        await client.status(KEY, OURS)
    assert (caught.value.kind, caught.value.may_have_worked) == (Kind.MALFORMED_ANSWER, True)


@pytest.mark.asyncio
async def test_a_file_with_the_track_id_of_another_call_is_refused(tenant, client):
    tenant.get(FILE, body=b"PK", content_type="application/zip", headers={"Zuora-Track-Id": ANOTHERS})
    written: list[bytes] = []
    with pytest.raises(CallError, match="another call"):
        await client.download(FILE, OURS, into(written))
    assert written == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "track_id", [OURS, "", "?", "prefix-20261124-", "prefix-20261124-x", "other-2", "prefix"]
)
async def test_an_unknown_track_id_is_ignored(tenant, client, track_id):
    tenant.get(STATUS, payload=status_body(status="Stopped"), headers={"Zuora-Track-Id": track_id})
    assert (await client.status(KEY, OURS)).status is Status.STOPPED
