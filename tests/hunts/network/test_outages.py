"""A tenant that goes away and comes back, tokens that end, clocks that jump."""

import asyncio
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.simulator import FaultPlan
from tests.acceptance.support import PROCESSING, MassStop, Tenant, lies, outcomes, until
from tests.hunts.meddling import Asked, Meddler, honest, respond

MakeTenant = Callable[..., Tenant]

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def test_forty_refused_tokens_at_once_ask_for_one_other(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**PROCESSING | {"latency": 0.4}, actions=120)
    going = mass_stop.start(
        "run", "--yes", "--out", "run", "--no-results", "--headroom", "0", mass_stop.keys(tenant.keys),
        tenant=tenant,
    )  # fmt: skip
    until(lambda: tenant.simulated.in_flight >= 30 and tenant.answered() >= 1, "calls in flight")
    tenant.simulated.revoke_tokens()
    ended = going.end(40)
    assert (ended.status, tenant.sent("token")) == (0, 2), ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


class NoTokens:
    """The token endpoint is down, but for the first token, until it is told otherwise."""

    def __init__(self) -> None:
        self.down = False
        self.refused = 0

    async def __call__(self, asked: Asked, answer: bytes, back: asyncio.StreamWriter) -> bool:
        if asked.kind != "token" or not self.down:
            return await honest(asked, answer, back)
        self.refused += 1
        return await honest(asked, respond(b"<html>", 503, ("Content-Type", "text/html")), back)


def test_a_token_endpoint_that_is_down_for_a_while_ends_no_run(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**PROCESSING | {"latency": 0.05}, actions=60)
    tokens = NoTokens()
    with Meddler(tenant, tokens) as between:
        going = mass_stop.start(
            "run", "--yes", "--out", "run", "--no-results", "--concurrency", "4", mass_stop.keys(tenant.keys),
            tenant=tenant, env=between.environment,
        )  # fmt: skip
        until(lambda: tenant.answered() >= 8, "some stops")
        tokens.down = True
        tenant.simulated.revoke_tokens()
        until(lambda: tokens.refused >= 3, "tokens asked for in vain")
        tokens.down = False
        ended = going.end(60)
    assert ended.status == 0, ended
    assert lies(ended.report, tenant) == []
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


@pytest.mark.hunt
@pytest.mark.parametrize("seconds", [1.0, 5.0, 15.0])
def test_a_tenant_that_goes_away_and_comes_back_is_told_truly(
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
    asyncio.run_coroutine_threadsafe(tenant.simulated.start(port=port), tenant._loop).result(5)
    ended = going.end(120)
    assert lies(ended.report, tenant) == []
    assert ended.status in (0, 4), ended
    if ended.status == 4:
        ended = mass_stop("resume", "run", tenant=tenant, longest=60)
    assert (ended.status, outcomes(ended.report)) == (0, dict.fromkeys(tenant.keys, "stopped"))


# Clocks


def faked(**how: str) -> dict[str, str]:
    """The environment in which the machine's clock is off; what counts time-outs goes on as it is."""
    return {"LD_PRELOAD": str(FAKETIME), "DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1"} | how


needs_faketime = pytest.mark.skipif(
    FAKETIME is None, reason="libfaketime is not installed (Debian: libfaketime)"
)


@needs_faketime
@pytest.mark.hunt
@pytest.mark.parametrize("skew", ["-3650d", "-1h", "+1h", "+3650d"])
def test_a_clock_that_is_wrong_costs_no_stop_and_no_wait(
    mass_stop: MassStop, make_tenant: MakeTenant, skew: str
) -> None:
    """A tenant that throttles by dates is waited for by its own clock, not by ours."""
    tenant = make_tenant(
        **PROCESSING, actions=40, retry_after="date", faults=FaultPlan.only("limit", 0.2), token_lifetime=3.0
    )
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), env=faked(FAKETIME=skew), longest=60)
    assert (ended.status, lies(ended.report, tenant)) == (0, []), ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
    timing = ended.report["summary"]["timing"]
    assert 0 <= timing["first_stop_seconds"] <= timing["last_stop_seconds"] <= timing["settled_seconds"] < 100
    assert 0 <= ended.report["run"]["duration_seconds"] < 100


@needs_faketime
@pytest.mark.hunt
@pytest.mark.parametrize("jump", ["-86400", "+86400"])
def test_a_clock_that_jumps_in_the_middle_of_a_run_changes_nothing(
    mass_stop: MassStop, make_tenant: MakeTenant, jump: str
) -> None:
    tenant = make_tenant(**PROCESSING | {"latency": 0.05}, actions=40)
    clock = mass_stop.home / "clock"
    clock.write_text("+0\n")
    going = mass_stop.start(
        "run", "--yes", "--out", "run", "--concurrency", "4", "--deadline", "10m", mass_stop.keys(tenant.keys),
        tenant=tenant, env=faked(FAKETIME_TIMESTAMP_FILE=str(clock)),
    )  # fmt: skip
    until(lambda: tenant.answered() >= 8, "some stops")
    clock.write_text(f"{jump}\n")
    ended = going.end(60)
    assert (ended.status, lies(ended.report, tenant)) == (0, []), ended
    accepted = [action["stop"]["accepted_at"] for action in ended.report["actions"]]
    first, last = (datetime.fromisoformat(of(accepted)) for of in (min, max))
    assert 0 <= (last - first).total_seconds() < 100
    assert abs((first - datetime.now(UTC)).total_seconds()) < 100
    log = (ended.directory / "run.log").read_bytes()
    assert b"Traceback" not in log
