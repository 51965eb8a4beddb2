"""Calls that hang for minutes, and the installed command."""

import json
from collections import Counter
from collections.abc import Callable

import pytest

from orchestrator.simulator import FaultPlan
from tests.acceptance.support import PROCESSING, MassStop, Tenant, lies, outcomes

MakeTenant = Callable[..., Tenant]

HANG = 600.0


def hanging(make_tenant: MakeTenant, actions: int = 80) -> Tenant:
    """Every twentieth call hangs for longer than a run lasts. Half of these calls take effect."""
    tenant = make_tenant(**PROCESSING | {"latency": 0.03}, actions=actions, seed=3)
    tenant.simulated.set_faults(FaultPlan({"hang": 0.05}, hang_seconds=HANG))
    return tenant


def test_a_run_with_hanging_calls_ends_long_before_the_hang_does(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = hanging(make_tenant)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys))
    assert any(call.ended is None for call in tenant.log), "no call hangs any more"
    assert ended.status == 0, ended
    assert set(outcomes(ended.report).values()) == {"stopped"}
    assert lies(ended.report, tenant) == []
    calls = ended.report["summary"]["calls"]
    assert calls["hedged"] > 0
    assert f"{calls['hedged']} hedged" in ended.err


def test_every_send_of_a_hedged_call_is_counted_and_has_a_track_id(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = hanging(make_tenant)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--log-level", "debug")
    received = [call for call in tenant.simulated.log if call.kind in ("stop", "status", "file")]
    calls = ended.report["summary"]["calls"]
    assert Counter(call.kind for call in received) == {
        kind: calls[kind] for kind in ("stop", "status", "file") if calls[kind]
    }
    assert len({call.track_id for call in received}) == len(received)
    events = [json.loads(line) for line in (ended.directory / "run.log").read_text("utf-8").splitlines()]
    hedged = [event for event in events if event["event"] == "call.hedged"]
    assert len(hedged) == calls["hedged"]
    assert {event["track_id"] for event in hedged} <= {call.track_id for call in received}


@pytest.mark.parametrize("value", ["off", "20s"])
def test_hedged_calls_can_be_turned_off_or_delayed(
    mass_stop: MassStop, make_tenant: MakeTenant, value: str
) -> None:
    tenant = hanging(make_tenant, actions=30)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--hedge", value, "--timeout", "1s")
    assert ended.report["summary"]["calls"]["hedged"] == 0
    assert lies(ended.report, tenant) == []
