"""A tenant that goes away and comes back, tokens that end, clocks that jump."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from orchestrator.simulator import FaultPlan
from tests.acceptance.support import LONGEST, PROCESSING, MassStop, Tenant, lies, outcomes, until
from tests.hunts.clocks import faked, needs_faketime
from tests.hunts.tampering import Request, TamperingProxy, forward, respond

__all__ = ["faked"]

MakeTenant = Callable[..., Tenant]


def test_forty_refused_tokens_at_once_fetch_one_new_token(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**PROCESSING | {"latency": 0.4}, actions=120)
    going = mass_stop.start(
        "run", "--yes", "--out", "run", "--no-results", "--headroom", "0", mass_stop.keys(tenant.keys),
        tenant=tenant,
    )  # fmt: skip
    until(lambda: tenant.simulated.in_flight >= 30 and tenant.answered() >= 1, "calls in flight")
    tenant.simulated.revoke_tokens()
    ended = going.end()
    assert (ended.status, tenant.sent("token")) == (0, 2), ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


class NoTokens:
    """The token endpoint is down after the first token, until the test ends that."""

    def __init__(self) -> None:
        self.down = False
        self.refused = 0

    async def __call__(self, request: Request, answer: bytes, writer: asyncio.StreamWriter) -> bool:
        if request.kind != "token" or not self.down:
            return await forward(request, answer, writer)
        self.refused += 1
        return await forward(request, respond(b"<html>", 503, ("Content-Type", "text/html")), writer)


def test_a_token_endpoint_that_is_down_for_a_while_ends_no_run(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**PROCESSING | {"latency": 0.05}, actions=60)
    tokens = NoTokens()
    with TamperingProxy(tenant, tokens) as proxy:
        going = mass_stop.start(
            "run", "--yes", "--out", "run", "--no-results", "--concurrency", "4", mass_stop.keys(tenant.keys),
            tenant=tenant, env=proxy.environment,
        )  # fmt: skip
        until(lambda: tenant.answered() >= 8, "some stops")
        tokens.down = True
        tenant.simulated.revoke_tokens()
        until(lambda: tokens.refused >= 3, "tokens asked for in vain")
        tokens.down = False
        ended = going.end()
    assert ended.status == 0, ended
    assert lies(ended.report, tenant) == []
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


@pytest.mark.hunt
@pytest.mark.parametrize("seconds", [1.0, 5.0, 15.0])
def test_a_tenant_that_fails_and_returns_is_reported_truly(
    mass_stop: MassStop, make_tenant: MakeTenant, seconds: float
) -> None:
    tenant = make_tenant(**PROCESSING | {"latency": 0.05}, actions=80)
    going = mass_stop.start(
        "run", "--yes", "--out", "run", "--concurrency", "5", "--timeout", "2s", mass_stop.keys(tenant.keys),
        tenant=tenant,
    )  # fmt: skip
    until(lambda: tenant.answered() >= 10, "some stops")
    port = int(tenant.environment["ZUORA_BASE_URL"].rpartition(":")[2])
    tenant.cut()
    threading.Event().wait(seconds)
    asyncio.run_coroutine_threadsafe(tenant.simulated.start(port=port), tenant._loop).result(LONGEST)
    ended = going.end(120)
    assert lies(ended.report, tenant) == []
    assert ended.status in (0, 4), ended
    if ended.status == 4:
        ended = mass_stop("resume", "run", tenant=tenant, longest=60)
    assert (ended.status, outcomes(ended.report)) == (0, dict.fromkeys(tenant.keys, "stopped"))


# Clocks


@needs_faketime
@pytest.mark.parametrize(
    "skew", ["-3650d", *(pytest.param(skew, marks=pytest.mark.hunt) for skew in ("-1h", "+1h", "+3650d"))]
)
def test_a_wrong_clock_costs_no_stop_and_no_wait(
    mass_stop: MassStop, make_tenant: MakeTenant, faked: Callable[..., dict[str, str]], skew: str
) -> None:
    """A tenant that throttles by dates is waited for by its own clock, not by ours."""
    tenant = make_tenant(
        **PROCESSING, actions=24, retry_after="date", faults=FaultPlan({"limit": 0.2}), token_lifetime=3.0
    )
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), env=faked(FAKETIME=skew), longest=150)
    assert (ended.status, lies(ended.report, tenant)) == (0, []), ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
    off = datetime.fromisoformat(ended.report["run"]["started_at"]) - datetime.now(UTC)
    assert abs(off.total_seconds()) > 3_000, "the command saw the right time"
    timing = ended.report["summary"]["timing"]
    assert 0 <= timing["first_stop_seconds"] <= timing["last_stop_seconds"] <= timing["settled_seconds"] < 200
    assert 0 <= ended.report["run"]["duration_seconds"] < 200


@needs_faketime
@pytest.mark.parametrize("jump", ["-86400", pytest.param("+86400", marks=pytest.mark.hunt)])
def test_a_clock_that_jumps_in_the_middle_of_a_run_changes_nothing(
    mass_stop: MassStop, make_tenant: MakeTenant, faked: Callable[..., dict[str, str]], jump: str
) -> None:
    tenant = make_tenant(**PROCESSING | {"latency": 0.05}, actions=24)
    clock = mass_stop.home / "clock"
    clock.write_text("+0\n")
    going = mass_stop.start(
        "run", "--yes", "--out", "run", "--concurrency", "4", "--deadline", "10m", mass_stop.keys(tenant.keys),
        tenant=tenant, env=faked(FAKETIME_TIMESTAMP_FILE=str(clock), FAKETIME_NO_CACHE="1"),
    )  # fmt: skip
    until(lambda: tenant.answered() >= 8, "some stops")
    jumped = clock.with_suffix(".jumped")
    jumped.write_text(f"{jump}\n")
    jumped.replace(clock)  # at no moment is there a file that says nothing
    ended = going.end(120)
    assert (ended.status, lies(ended.report, tenant)) == (0, []), ended
    accepted = [action["stop"]["accepted_at"] for action in ended.report["actions"]]
    first, last = (datetime.fromisoformat(of(accepted)) for of in (min, max))
    assert 0 <= (last - first).total_seconds() < 200
    assert abs((first - datetime.now(UTC)).total_seconds()) < 200
    assert b"Traceback" not in (ended.directory / "run.log").read_bytes()
