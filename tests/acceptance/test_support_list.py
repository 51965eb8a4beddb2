"""``report --format support``: the list for Zuora support of keys whose end is not known."""

import math
from collections.abc import Iterator

import pytest

from orchestrator.simulator import FaultPlan
from tests.acceptance.support import PROCESSING, MassStop, Tenant


@pytest.fixture
def tenant(tenants: list[Tenant]) -> Iterator[Tenant]:
    with Tenant(seed=19, actions=2, **PROCESSING | {"stopping_time": (0.0, 0.0)}) as tenant:
        tenants.append(tenant)
        yield tenant


def test_an_unconfirmed_key_is_listed_with_its_stop_and_its_ids(mass_stop: MassStop, tenant: Tenant) -> None:
    key = tenant.keys[0]
    action = tenant.simulated._tenant.actions.find(key)
    assert action is not None
    action.linger = math.inf
    ended = mass_stop.run(tenant, *tenant.keys, "--settle", "100ms", "--no-results")
    (stop,) = (one["stop"] for one in ended.report["actions"] if one["bulk_key"] == key)
    text = mass_stop("report", "run", "--format", "support", "--report", "-").out.decode()
    assert f"Tenant: {tenant.simulated.base_url}" in text
    assert "unconfirmed: 1 mass actions" in text
    assert f"{key}, unconfirmed, last status Stopping" in text
    assert (
        f"{stop['accepted_at']}  PUT /v1/bulk/{key}/stop  accepted, request id {stop['request_id']}" in text
    )
    assert f"track id {stop['track_id']}" in text
    assert tenant.keys[1] not in text


def test_each_failed_call_of_a_key_has_its_code_and_ids(mass_stop: MassStop, tenants: list[Tenant]) -> None:
    with Tenant(
        seed=20, actions=1, faults=FaultPlan({"internal": 1}, max_consecutive=1000), **PROCESSING
    ) as tenant:
        tenants.append(tenant)
        mass_stop.run(tenant, *tenant.keys, "--max-attempts", "2", "--settle", "1s", "--no-results")
    text = mass_stop("report", "run", "--format", "support", "--report", "-").out.decode()
    lines = [line for line in text.splitlines() if f"PUT /v1/bulk/{tenant.keys[0]}/stop" in line]
    assert lines
    assert all(word in lines[0] for word in ("code ", "request id ", "process id ", "track id "))


def test_the_list_of_a_run_is_written_beside_its_report(mass_stop: MassStop, tenant: Tenant) -> None:
    mass_stop.run(tenant, *tenant.keys, "--no-results")
    assert mass_stop("report", "run", "--format", "support").status == 0
    assert "unreachable: 0 mass actions" in (mass_stop.home / "run" / "support.txt").read_text()
