"""The limits and the waits in an answer."""

import pytest

from orchestrator.model import Window
from tests.unit.client.scripted import KEY, STOP, failed_stop, refusal


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
@pytest.mark.parametrize(
    ("headers", "wait"), [({"Retry-After": "2"}, 2.0), ({"Retry-After": "2.5"}, 2.5), ({}, None)]
)
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
async def test_a_503_may_have_a_retry_after(tenant, client, answers):
    tenant.put(STOP, status=503, headers={"Retry-After": "5"})
    error = await failed_stop(client)
    assert (answers[0].throttled, answers[0].retry_after, error.retry_after) == (False, 5.0, 5.0)


@pytest.mark.asyncio
async def test_a_retry_after_date_is_compared_with_the_date_of_the_answer(tenant, client):
    tenant.put(
        STOP,
        status=429,
        headers={"Retry-After": "Tue, 24 Nov 2026 03:00:30 GMT", "Date": "Tue, 24 Nov 2026 03:00:00 GMT"},
    )
    assert (await failed_stop(client)).retry_after == 30.0


@pytest.mark.asyncio
async def test_malformed_headers_do_not_affect_the_answer(tenant, client, answers):
    names = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Concurrency-Limit-Limit")
    tenant.put(STOP, payload={"success": True}, headers=dict.fromkeys(names, "9" * 400))
    await client.stop(KEY, "track")
    assert answers[0].limits.remaining is None
