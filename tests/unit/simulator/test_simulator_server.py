"""The simulated tenant on a real socket."""

import asyncio
import csv
import gc
import io
import json
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from orchestrator.model import Status
from orchestrator.simulator import FaultPlan, SimulatedTenant, TenantConfig, serve


async def _session(tenant: SimulatedTenant) -> aiohttp.ClientSession:
    env = tenant.environment()
    form = {
        "client_id": env["ZUORA_CLIENT_ID"],
        "client_secret": env["ZUORA_CLIENT_SECRET"],
        "grant_type": "client_credentials",
    }
    async with (
        aiohttp.ClientSession(env["ZUORA_BASE_URL"]) as session,
        session.post("/oauth/token", data=form) as answer,
    ):
        token = (await answer.json())["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "gzip"}
    # One connection a call: aiohttp would send a PUT again by itself on a kept one that was closed.
    return aiohttp.ClientSession(
        env["ZUORA_BASE_URL"], headers=headers, connector=aiohttp.TCPConnector(force_close=True)
    )


async def _stop(session: aiohttp.ClientSession, key: str) -> tuple[int, bytes]:
    async with session.put(f"/v1/bulk/{key}/stop") as answer:
        return answer.status, await answer.read()


@pytest.mark.asyncio
async def test_actions_are_stopped_over_http_and_the_truth_agrees() -> None:
    now = 0.0
    async with (
        SimulatedTenant(clock=lambda: now, actions=5, latency=0, mix={"Processing": 1}) as tenant,
        await _session(tenant) as session,
    ):
        for key in tenant.keys:
            assert await _stop(session, key) == (200, b'{"success": true}')
        now = 10.0
        for key in tenant.keys:
            async with session.get(f"/v1/bulk/{key}") as answer:
                status = await answer.json()
            truth = tenant.truth(key)
            assert status["status"] == truth.status
            assert int(status["processedCount"]) == truth.processed
            async with session.get(status["outputURL"]) as answer:
                assert answer.headers["Content-Type"] == "application/zip;charset=UTF-8"
                assert (await answer.read()).startswith(b"PK")
            assert (truth.stop_effective_at, truth.stops_received) == (0.0, (0.0,))
        assert tenant.calls == {"token": 1, "stop": 5, "status": 5, "file": 5}
        assert [call.http for call in tenant.log] == [200] * 16
        assert tenant.problems == []


@pytest.mark.asyncio
async def test_calls_beyond_the_concurrency_limit_are_refused_at_once() -> None:
    async with (
        SimulatedTenant(actions=20, latency=0.2, latency_jitter=0, concurrency=5) as tenant,
        await _session(tenant) as session,
    ):
        answers = await asyncio.gather(*(_stop(session, key) for key in tenant.keys))
        assert sorted(status for status, _ in answers) == [200] * 5 + [429] * 15
        assert (tenant.peak_in_flight, tenant.throttled, tenant.in_flight) == (5, 15, 0)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("reset", aiohttp.ClientOSError),
        ("answer_lost", aiohttp.ServerDisconnectedError),
        ("hang", aiohttp.ServerDisconnectedError),
        ("truncated", aiohttp.ClientPayloadError),
    ],
)
async def test_a_connection_fault_has_the_configured_kind(kind: str, error: type[Exception]) -> None:
    async with SimulatedTenant(actions=1, latency=0, mix={"Processing": 1}) as tenant:
        async with await _session(tenant) as session:
            tenant.set_faults(FaultPlan({kind: 1.0}, hang_seconds=0.01))
            with pytest.raises(error):
                await _stop(session, tenant.keys[0])
        call = tenant.log[-1]
        assert (call.fault, call.http) == (kind, None)
        assert tenant.fault_counts[kind] >= 1
        stopped = tenant.truth(tenant.keys[0]).stop_effective_at is not None
        assert stopped is (kind in ("answer_lost", "truncated")) or kind == "hang"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "status"), [("500", 500), ("502", 502), ("503", 503), ("504", 504), ("html", 200)]
)
async def test_a_broken_gateway_answers_without_json(kind: str, status: int) -> None:
    async with SimulatedTenant(actions=1, latency=0) as tenant, await _session(tenant) as session:
        tenant.set_faults(FaultPlan({kind: 1.0}))
        code, body = await _stop(session, tenant.keys[0])
        assert code == status
        assert b'"success": true' not in body


@pytest.mark.asyncio
async def test_a_tenant_ends_hanging_calls_when_it_stops() -> None:
    tenant = SimulatedTenant(actions=1, latency=0)
    await tenant.start()
    async with await _session(tenant) as session:
        tenant.set_faults(FaultPlan({"hang": 1.0}))
        hanging = asyncio.create_task(_stop(session, tenant.keys[0]))
        async with asyncio.timeout(60):
            while not tenant.fault_counts:  # noqa: ASYNC110 - a tenant has no event for what only this test asks
                await asyncio.sleep(0)
            assert tenant.in_flight == 0
            await tenant.stop()
            with pytest.raises(aiohttp.ClientError):
                await hanging


@pytest.mark.asyncio
async def test_a_tenant_returns_from_an_outage_with_its_actions() -> None:
    tenant = SimulatedTenant(actions=1, latency=0, mix={"Processing": 1}, stopping_time=(0, 0), speed=(1, 1))
    url = await tenant.start()
    async with await _session(tenant) as session:
        await _stop(session, tenant.keys[0])
        await tenant.stop()
        with pytest.raises(aiohttp.ClientConnectionError):
            await _stop(session, tenant.keys[0])
        assert await tenant.start(port=int(url.rsplit(":", 1)[1])) == url
        assert (await _stop(session, tenant.keys[0]))[0] == 200
        await tenant.stop()
    assert tenant.truth(tenant.keys[0]).status is Status.STOPPED


@pytest.mark.asyncio
async def test_the_truth_is_served_over_http_without_a_token() -> None:
    async with (
        SimulatedTenant(actions=3, latency=0) as tenant,
        aiohttp.ClientSession(tenant.base_url) as session,
    ):
        async with session.get("/_truth") as answer:
            facts: dict[str, Any] = await answer.json()
        assert list(facts["actions"]) == tenant.keys
        assert facts["actions"][tenant.keys[0]]["total"] == tenant.truth(tenant.keys[0]).total
        assert tenant.log == []


@pytest.mark.asyncio
async def test_serve_writes_the_keys_with_their_speed_and_announces_the_environment(tmp_path: Path) -> None:
    announced: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
    config = TenantConfig(actions=4, seed=7)
    serving = asyncio.create_task(serve(config, 0, tmp_path / "keys.csv", announced.set_result))
    env = await announced
    assert env["ZUORA_CLIENT_SECRET"] == config.client_secret
    rows = list(csv.DictReader((tmp_path / "keys.csv").read_text().splitlines()))
    tenant = SimulatedTenant(config)
    assert [row["bulk_key"] for row in rows] == tenant.keys
    assert [float(row["records_a_second"]) for row in rows] == [
        pytest.approx(tenant.truth(key).speed, abs=0.001) for key in tenant.keys
    ]
    async with aiohttp.ClientSession(env["ZUORA_BASE_URL"]) as session, session.get("/_truth") as answer:
        assert answer.status == 200
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving


@pytest.mark.asyncio
async def test_a_connection_during_the_stop_leaves_no_socket_behind() -> None:
    tenant = SimulatedTenant(actions=1)
    port = int((await tenant.start()).rsplit(":", 1)[1])
    callers = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
    for _ in range(2):  # the loop has accepted them, and they are about to be let in
        await asyncio.sleep(0)
    await tenant.stop()
    for caller in callers:
        caller.close()
    gc.collect()  # what was left open complains, and a complaint fails the test


def _upload(data: bytes, kind: str = "ImportFXRate") -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(data), filename="upload.csv", content_type="text/csv")
    form.add_field("params", json.dumps({"actionType": kind}))
    return form


@pytest.mark.asyncio
async def test_an_uploaded_file_becomes_an_action_that_completes() -> None:
    now = 0.0
    async with (
        SimulatedTenant(clock=lambda: now, actions=1, latency=0, failing=(1.0, 1.0)) as tenant,
        await _session(tenant) as session,
    ):
        async with session.post("/v1/bulk", data=_upload(b"Currency Pair\r\nEUR-USD\r\n")) as answer:
            key = (await answer.json())["bulkKey"]
        now = 1_000.0
        truth = tenant.truth(key)
        assert (truth.status, truth.action_type, truth.succeeded) == (Status.COMPLETED, "ImportFXRate", 1)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "form",
    [
        _upload(b"Currency Pair,Success\r\nEUR-USD,\r\n"),
        _upload(b"Currency Pair\r\nEUR-USD\r\n", "Unheard"),
        _upload(b"#note\r\n" + b"x" * 4_000_000),
        _upload(b"PK no zip"),
    ],
    ids=["a column of the API", "an unknown type", "too large", "no zip"],
)
async def test_an_upload_that_cannot_be_used_is_refused(form: aiohttp.FormData) -> None:
    async with SimulatedTenant(actions=1, latency=0) as tenant, await _session(tenant) as session:
        async with session.post("/v1/bulk", data=form) as answer:
            assert (answer.status, (await answer.json())["success"]) == (400, False)
        assert len(tenant.keys) == 1
