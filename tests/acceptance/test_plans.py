"""A plan gives the next run its keys: all of them, or none."""

import signal
import subprocess
from collections.abc import Callable

from tests.acceptance.support import PROCESSING, MassStop, Tenant, outcomes, until


def test_a_plan_whose_input_was_cut_gives_no_run_its_keys_until_it_is_resumed(
    mass_stop: MassStop, make_tenant: Callable[..., Tenant]
) -> None:
    tenant = make_tenant(**PROCESSING, actions=3)
    going = mass_stop.start("plan", "--out", "plan", tenant=tenant, stdin=subprocess.PIPE)
    going.feed(tenant.keys[:1])
    until(lambda: tenant.sent("status"), "the first status, with the pipe open")
    going.signal(signal.SIGTERM)
    plan = going.end()
    assert (plan.status, len(plan.report["actions"])) == (143, 1)
    assert "mass-stop resume plan SOURCE" in plan.err

    refused = mass_stop.run(tenant, "--plan", "plan")
    assert (refused.status, tenant.sent("stop")) == (2, 0)
    assert "mass-stop resume plan SOURCE" in refused.err

    keys = mass_stop.keys(tenant.keys)
    assert mass_stop("resume", "plan", keys, tenant=tenant).status == 0
    ended = mass_stop.run(tenant, "--plan", "plan")
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
