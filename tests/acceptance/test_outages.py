"""The installed command and a tenant that is down for a while: it waits, and finishes by itself."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from tests.acceptance.support import PROCESSING, QUICK, Going, MassStop, Tenant, lies, outcomes, until
from tests.faulty_gateway import FaultyGateway, page
from tests.hunts.tampering import Request, TamperingProxy, forward, respond

MakeTenant = Callable[..., Tenant]

FAULTS: dict[str, str | bytes] = {
    "refuse": "refuse",
    "reset": "reset",
    "hang": "hang",
    "503": page(503),
    "HTML under 200": page(200),
    "302": page(302),
    "401": page(401),
    "403": page(403),
    "404": page(404),
    "an empty 403": page(403, b""),
    "foreign JSON under 200": page(200, b'{"hello": "world"}'),
}


def port_of(tenant: Tenant) -> int:
    return int(tenant.environment["ZUORA_BASE_URL"].rpartition(":")[2])


def is_noticed(run: Going, gateway: FaultyGateway) -> bool:
    """Whether as many requests as there are slots have met the fault; a refused connection is in the log alone."""
    if gateway.fault == "refuse":
        return "outage.started" in (run.directory / "run.log").read_text()
    return gateway.met >= 4


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_run_finishes_by_itself_after_an_outage(
    mass_stop: MassStop, make_tenant: MakeTenant, fault: str | bytes
) -> None:
    tenant = make_tenant(**PROCESSING | {"latency": 0.05}, actions=80)
    with FaultyGateway(port_of(tenant)) as gateway:
        gateway.break_down(fault, after=12)
        going = mass_stop.start(
            "run", "--yes", "--out", "run", "--no-results", "--concurrency", "4", mass_stop.keys(tenant.keys),
            tenant=tenant, env={"ZUORA_BASE_URL": gateway.base_url},
        )  # fmt: skip
        until(lambda: is_noticed(going, gateway), "the outage")
        back = gateway.repair()
        ended = going.end()
    assert (ended.status, lies(ended.report, tenant)) == (0, []), ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
    assert any(at >= back for at in gateway.stops), "all stops were sent before the outage ended"


def test_a_tenant_that_stays_unreachable_ends_the_run_in_four(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**PROCESSING | {"latency": 0.05}, actions=80)
    with FaultyGateway(port_of(tenant)) as gateway:
        gateway.break_down(page(503), after=12)
        ended = mass_stop.run(
            tenant, mass_stop.keys(tenant.keys), "--concurrency", "4", "--wait-for-tenant", "2s",
            env={"ZUORA_BASE_URL": gateway.base_url},
        )  # fmt: skip
        assert (ended.status, lies(ended.report, tenant)) == (4, []), ended
        assert "--wait-for-tenant" in ended.report["run"]["reason"]
        gateway.repair()
        ended = mass_stop("resume", "run", tenant=tenant, env={"ZUORA_BASE_URL": gateway.base_url})
    assert (ended.status, outcomes(ended.report)) == (0, dict.fromkeys(tenant.keys, "stopped")), ended


def test_giving_up_ends_in_four_though_the_tenant_said_only_that_actions_were_over(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**QUICK | {"latency": 0.05, "mix": {"Stopped": 1}}, actions=80)
    with FaultyGateway(port_of(tenant)) as gateway:
        gateway.break_down("refuse", after=12)
        ended = mass_stop.run(
            tenant, mass_stop.keys(tenant.keys), "--concurrency", "4", "--wait-for-tenant", "1s",
            env={"ZUORA_BASE_URL": gateway.base_url},
        )  # fmt: skip
    assert (ended.status, lies(ended.report, tenant)) == (4, []), ended
    assert "--wait-for-tenant" in ended.report["run"]["reason"]
    assert "stopped" not in ended.report["summary"]["outcomes"]


@pytest.mark.parametrize("fault", ["refuse", page(401)])
def test_giving_up_ends_in_three_if_no_stop_was_sent(
    mass_stop: MassStop, make_tenant: MakeTenant, fault: str | bytes
) -> None:
    """With a token from elsewhere, the first call is a stop."""
    tenant = make_tenant(**PROCESSING, actions=6)
    with FaultyGateway(port_of(tenant)) as gateway:
        gateway.break_down(fault)
        ended = mass_stop(
            "run", "--yes", "--out", "run", "--wait-for-tenant", "1s", mass_stop.keys(tenant.keys), tenant=tenant,
            env={"ZUORA_BASE_URL": gateway.base_url, "ZUORA_TOKEN": "token", "ZUORA_CLIENT_SECRET": ""},
        )  # fmt: skip
    assert ended.status == 3, ended
    assert set(outcomes(ended.report).values()) <= {"not_attempted", "unreachable"}


def test_stops_that_took_effect_behind_a_gateway_page_are_reported_as_stopped(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**PROCESSING | {"latency": 0.05}, actions=30)
    blocked = tenant.keys[3:6]

    async def block(request: Request, answer: bytes, writer: asyncio.StreamWriter) -> bool:
        if request.kind == "stop" and request.key in blocked:
            answer = respond(b"<title>Request blocked</title>", 403, ("Content-Type", "text/html"))
        return await forward(request, answer, writer)

    with TamperingProxy(tenant, block) as proxy:
        ended = mass_stop.run(
            tenant, mass_stop.keys(tenant.keys), "--no-results", "--max-attempts", "3", env=proxy.environment,
        )  # fmt: skip
    assert (ended.status, lies(ended.report, tenant)) == (0, []), ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


def test_a_wrong_bearer_token_is_tried_for_some_seconds_and_ends_in_three(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    ended = mass_stop.run(
        tenant, mass_stop.keys(tenant.keys), env={"ZUORA_TOKEN": "wrong", "ZUORA_CLIENT_SECRET": ""}
    )
    assert ended.status == 3, ended
    assert "The bearer token was refused by the tenant" in ended.report["run"]["reason"]
    assert ended.report["run"]["duration_seconds"] >= 4.0


BURSTS = [page(code) for code in (200, 302, 307, 400, 401, 403, 404, 405, 409, 418, 421, 423, 425, 451, 499)] + [
    *map(page, (500, 502, 503, 504)), page(403, b""), page(404, b""),
]  # fmt: skip
"""Answers of a gateway. None of them has a code of the API, so none is final."""


def _is_answered(tenant: Tenant, stops: int) -> bool:
    return tenant.answered() >= stops


@pytest.mark.parametrize("ready_token", [False, True], ids=["OAuth", "ready token"])
def test_a_burst_of_each_answer_of_a_gateway_costs_no_key(
    mass_stop: MassStop, make_tenant: MakeTenant, ready_token: bool
) -> None:
    """One after the other, in one run. Each lasts until some calls have met it."""
    tenant = make_tenant(**PROCESSING | {"latency": 0.02}, actions=12 * len(BURSTS) + 40)
    env = {}
    if ready_token:
        env["ZUORA_TOKEN"] = "ready-token-4711"
        tenant.simulated._tenant._tokens[env["ZUORA_TOKEN"]] = float("inf")
    with FaultyGateway(port_of(tenant)) as gateway:
        going = mass_stop.start(
            "run", "--yes", "--out", "run", "--no-results", "--concurrency", "4", mass_stop.keys(tenant.keys),
            tenant=tenant, env=env | {"ZUORA_BASE_URL": gateway.base_url},
        )  # fmt: skip
        for number, burst in enumerate(BURSTS):
            until(partial(_is_answered, tenant, 12 * number + 4), "some stops")
            gateway.break_down(burst)
            until(lambda: gateway.met >= 5, f"calls that met {burst[:14]!r}")
            gateway.repair()
        ended = going.end()
    assert (ended.status, lies(ended.report, tenant)) == (0, []), ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
