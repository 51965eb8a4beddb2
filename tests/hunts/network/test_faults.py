"""Each fault of the simulated tenant, alone and mixed, from now and then to every second call."""

from collections.abc import Callable

import pytest

from orchestrator.simulator import FaultPlan
from orchestrator.simulator.faults import EFFECTS
from tests.acceptance.support import QUICK, Ended, MassStop, Tenant, lies, outcomes

MakeTenant = Callable[..., Tenant]

OVER = {"stopped", "already_stopped", "already_completed", "already_failed", "completed_before_stop"}
HANG = 1.5
TIMEOUT = "0.7s"


def known_lies(ended: Ended, tenant: Tenant) -> list[str]:
    """As `lies`, without the one case that is unknowable. If the answer to a stop was lost and the first status is
    Completed, the action ended before the stop or while it was Stopping."""
    unknowable = {
        f"{action['bulk_key']}: reported already_completed, and our stop took effect"
        for action in ended.report["actions"]
        if action["stop"]["attempts"] > 1
    }
    return [lie for lie in lies(ended.report, tenant) if lie not in unknowable]


def survived(mass_stop: MassStop, tenant: Tenant, faults: FaultPlan, *options: str, keys: int) -> Ended:
    """A run with ``faults``, then a resume without: both reports are true, and at the end all is over."""
    tenant.simulated.set_faults(faults)
    given = mass_stop.keys(tenant.keys[:keys])
    ended = mass_stop.run(tenant, given, "--timeout", TIMEOUT, "--settle", "20s", *options, longest=150)
    tenant.simulated.set_faults(FaultPlan())
    assert known_lies(ended, tenant) == []
    assert set(outcomes(ended.report)) == set(tenant.keys[:keys])
    assert ended.status in (0, 1, 3, 4), ended
    counted = ended.report["summary"]["calls"]
    arrived = {kind: tenant.sent(kind) for kind in ("stop", "status", "file", "token")}
    # A call that timed out before it came to the tenant was made, and never arrived.
    assert all(counted[kind] >= arrived[kind] for kind in arrived), (counted, arrived)
    if ended.status != 0:
        ended = mass_stop("resume", "run", tenant=tenant, longest=60)
    assert known_lies(ended, tenant) == []
    assert set(outcomes(ended.report).values()) <= OVER, ended
    return ended


@pytest.mark.hunt
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
@pytest.mark.parametrize("kind", [*EFFECTS, "mixed"])
def test_a_fault_costs_time_and_the_report_stays_true(
    mass_stop: MassStop, make_tenant: MakeTenant, kind: str, share: float
) -> None:
    seed = int(share * 100)
    tenant = make_tenant(**QUICK, actions=60, seed=seed)
    mixed = FaultPlan.level(share)
    plan = mixed if kind == "mixed" else FaultPlan({kind: share}, hang_seconds=HANG)
    ended = survived(mass_stop, tenant, plan, keys=60)
    assert share < 0.1 or tenant.simulated.fault_counts, ended


@pytest.mark.hunt
@pytest.mark.parametrize("kind", ["reset", "503", "hang", "answer_lost"])
def test_a_tenant_where_every_call_fails_is_reported_truly(
    mass_stop: MassStop, make_tenant: MakeTenant, kind: str
) -> None:
    tenant = make_tenant(**QUICK, actions=12)
    plan = FaultPlan({kind: 1.0}, hang_seconds=HANG, max_consecutive=10_000)
    survived(mass_stop, tenant, plan, "--wait-for-tenant", "20s", keys=12)
