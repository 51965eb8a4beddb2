"""The client's reading of a status."""

import json

import pytest

from orchestrator.engine.retry import tries
from orchestrator.errors import Kind
from orchestrator.model import Records, Status
from tests.unit.client.scripted import KEY, STATUS, failed_status


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
    assert (await client.status(KEY, "track")).records == records


@pytest.mark.asyncio
@pytest.mark.parametrize("status", list(Status))
async def test_every_documented_status_is_read(tenant, client, status):
    tenant.get(STATUS, payload=status_body(status=status.value))
    assert (await client.status(KEY, "track")).status is status


@pytest.mark.asyncio
@pytest.mark.parametrize("address", [None, "", " "], ids=repr)
async def test_an_empty_address_is_no_response_file(tenant, client, address):
    """An empty one was once requested as an address, and the answer made an endless run."""
    tenant.get(STATUS, payload=status_body(outputURL=address))
    assert (await client.status(KEY, "track")).output_url is None


@pytest.mark.asyncio
@pytest.mark.parametrize("address", [7, True, [], ["a"], {}], ids=repr)
async def test_an_address_that_is_no_text_is_kept_to_be_quoted(tenant, client, address):
    tenant.get(STATUS, payload=status_body(outputURL=address))
    assert (await client.status(KEY, "track")).output_url == json.dumps(address)


@pytest.mark.asyncio
@pytest.mark.parametrize("reasons", ["", "none", 7, {}, [None]], ids=repr)
async def test_reasons_beside_a_success_are_no_failure(tenant, client, reasons):
    tenant.get(STATUS, payload=status_body(reasons=reasons))
    assert (await client.status(KEY, "track")).status is Status.STOPPED


@pytest.mark.asyncio
@pytest.mark.parametrize("spelling", ["STOPPED", "stopped", " Stopped\n"])
async def test_a_status_is_read_whatever_its_case(tenant, client, spelling):
    tenant.get(STATUS, payload=status_body(status=spelling))
    assert (await client.status(KEY, "track")).status is Status.STOPPED


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
async def test_a_malformed_status_is_read_again(tenant, client, fields):
    tenant.get(STATUS, payload=status_body(**fields))
    error = await failed_status(client)
    assert (error.kind, tries(error.kind, 8)) == (Kind.MALFORMED_ANSWER, 8)


@pytest.mark.asyncio
async def test_a_failed_poll_has_its_request_id(tenant, client):
    tenant.get(STATUS, payload=status_body(status="Cancelled"), headers={"Zuora-Request-Id": "r-1"})
    error = await failed_status(client)
    assert (error.request_id, error.http_status) == ("r-1", 200)
    assert "'Cancelled' is no status" in error.message
