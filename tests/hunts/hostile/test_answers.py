"""Malformed bodies and headers: one key for each, in one run.

The tenant acts on each stop. A malformed answer costs attempts, and the report stays true.
"""

import asyncio
from collections.abc import Callable

import pytest

from tests.acceptance.support import PROCESSING, MassStop, Tenant, lies, outcomes
from tests.hunts.hostile.cases import BODIES, HEADER_VALUES, HEADERS
from tests.hunts.tampering import Request, TamperingProxy, forward, respond

MakeTenant = Callable[..., Tenant]

QUIET = PROCESSING | {"latency": 0.0, "rate_headers": False, "concurrency_headers": False}


class InPlaceOf:
    """Replaces the first ``times`` answers of one kind for each key."""

    def __init__(self, kind: str, instead: dict[str, bytes], times: int = 1) -> None:
        self.kind, self.instead, self.times = kind, instead, times
        self.given = 0

    async def __call__(self, request: Request, answer: bytes, writer: asyncio.StreamWriter) -> bool:
        if request.kind == self.kind and request.nth <= self.times and request.key in self.instead:
            self.given += 1
            answer = self.instead[request.key]
        return await forward(request, answer, writer)


@pytest.mark.parametrize("kind", ["stop", "status"])
def test_a_malformed_body_costs_an_attempt_and_keeps_the_report_true(
    mass_stop: MassStop, make_tenant: MakeTenant, kind: str
) -> None:
    # Three of four keys get answers. If none did, it would be an outage.
    tenant = make_tenant(**QUIET, actions=4 * len(BODIES))
    malformed = tenant.keys[::4]
    tamper = InPlaceOf(
        kind, {key: respond(body) for key, body in zip(malformed, BODIES.values(), strict=True)}
    )
    with TamperingProxy(tenant, tamper) as proxy:
        ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--no-results", env=proxy.environment)
    named = dict(zip(malformed, BODIES, strict=True))
    assert {
        named.get(key, key): outcome
        for key, outcome in outcomes(ended.report).items()
        if outcome != "stopped"
    } == {}
    assert (tamper.given, ended.status, lies(ended.report, tenant)) == (len(BODIES), 0, []), ended


@pytest.mark.hunt
def test_a_status_that_is_always_malformed_leaves_a_stop_unconfirmed(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    """Except where the status itself is valid."""
    tenant = make_tenant(**QUIET, actions=len(BODIES))
    instead = {key: respond(body) for key, body in zip(tenant.keys, BODIES.values(), strict=True)}
    with TamperingProxy(tenant, InPlaceOf("status", instead, times=10**9)) as proxy:
        ended = mass_stop.run(
            tenant, mass_stop.keys(tenant.keys), "--no-results", "--max-attempts", "2", "--wait-for-tenant", "3s",
            env=proxy.environment,
        )  # fmt: skip
    assert (ended.status, lies(ended.report, tenant)) == (4, []), ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "unconfirmed")
    assert ended.report["run"]["reason"]
    for action in ended.report["actions"]:
        assert action["stop"]["accepted_at"] is not None
        # The run gave the tenant up before some statuses were read. The error of these is the reason of the run.
        assert action["error"] is None or 0 < len(action["error"]["message"]) <= 1_000


def with_headers(mass_stop: MassStop, tenant: Tenant, kind: str, absurd: Callable[[int], str]) -> None:
    """A run in which each answer of ``kind`` to key number n (from 0) carries the lines ``absurd(n)``."""

    async def tamper(request: Request, answer: bytes, writer: asyncio.StreamWriter) -> bool:
        if request.kind == kind:
            lines = absurd(tenant.keys.index(request.key))
            answer = answer.replace(b"\r\n", f"\r\n{lines}".encode("latin-1"), 1)
        return await forward(request, answer, writer)

    with TamperingProxy(tenant, tamper) as proxy:
        ended = mass_stop.run(
            tenant, mass_stop.keys(tenant.keys), "--no-results", env=proxy.environment,
        )  # fmt: skip
    assert ended.status == 0, ended
    assert lies(ended.report, tenant) == []
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
    assert "\x9b" not in ended.err


@pytest.mark.parametrize("kind", ["stop", "status"])
def test_malformed_headers_are_ignored(mass_stop: MassStop, make_tenant: MakeTenant, kind: str) -> None:
    """The everyday form: all of the headers in each answer, so that each meets each value in one run."""

    def absurd(n: int) -> str:
        values = (HEADER_VALUES[(n + turn) % len(HEADER_VALUES)] for turn in range(len(HEADERS)))
        return "".join(f"{name}: {value}\r\n" for name, value in zip(HEADERS, values, strict=True))

    with_headers(mass_stop, make_tenant(**QUIET, actions=len(HEADER_VALUES)), kind, absurd)


@pytest.mark.hunt
@pytest.mark.parametrize("kind", ["stop", "status"])
@pytest.mark.parametrize("name", HEADERS)
def test_a_malformed_header_is_ignored(
    mass_stop: MassStop, make_tenant: MakeTenant, name: str, kind: str
) -> None:
    tenant = make_tenant(**QUIET, actions=len(HEADER_VALUES))
    with_headers(mass_stop, tenant, kind, lambda n: f"{name}: {HEADER_VALUES[n]}\r\n")
