"""Two commands at once: on one run directory the second is refused; on the same keys both end truthfully."""

from collections.abc import Callable

import pytest

from tests.acceptance.support import PROCESSING, Ended, Going, MassStop, Tenant, lies, outcomes, until, valid
from tests.hunts.crash.strace import waiting_run

MakeTenant = Callable[..., Tenant]


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> Tenant:
    return make_tenant(**PROCESSING, actions=6)


@pytest.fixture
def first(mass_stop: MassStop, tenant: Tenant) -> Going:
    """A run in ``run`` that waits for its keys."""
    mass_stop.keys(tenant.keys)
    return waiting_run(mass_stop, tenant)


def ended(going: Going, keys: list[str]) -> Ended:
    """The end of ``going``, whose input is ``keys`` and then ends."""
    going.feed(keys)
    assert going.process.stdin is not None
    going.process.stdin.close()
    going.process.stdin = None
    return going.end()


@pytest.mark.parametrize(
    "command", [("run", "--yes", "--out", "run", "keys.txt"), ("resume", "run", "keys.txt")]
)
def test_a_second_command_on_a_run_directory_is_refused_with_a_sentence(
    mass_stop: MassStop, tenant: Tenant, first: Going, command: tuple[str, ...]
) -> None:
    second = mass_stop(*command, tenant=tenant)
    assert second.status == 2, second
    assert second.sentences == [
        "mass-stop: Another mass-stop is at work in run. Let it end, or give this run a directory of its own (--out)."
    ]
    assert tenant.nothing_sent()
    done = ended(first, tenant.keys)
    assert done.status == 0, done
    assert outcomes(done.report) == dict.fromkeys(tenant.keys, "stopped")
    assert lies(done.report, tenant) == []


def test_a_report_of_a_run_at_work_is_true_and_does_not_disturb_it(
    mass_stop: MassStop, tenant: Tenant, first: Going
) -> None:
    first.feed(tenant.keys[:3])
    until(lambda: tenant.answered("stop") >= 3, "three stops")
    reported = mass_stop("report", "run", "--report", "-")
    assert reported.status == 0, reported
    assert lies(valid(reported.out), tenant) == []
    done = ended(first, tenant.keys[3:])
    assert done.status == 0, done
    assert lies(done.report, tenant) == []
    assert {action["outcome"] for action in done.report["actions"]} == {"stopped"}


@pytest.mark.parametrize("repeat_stop", ["refuse", pytest.param("accept", marks=pytest.mark.hunt)])
def test_two_runs_on_the_same_keys_both_end_truthfully(
    mass_stop: MassStop, make_tenant: MakeTenant, repeat_stop: str
) -> None:
    tenant = make_tenant(**PROCESSING, actions=20, repeat_stop=repeat_stop)
    keys = mass_stop.keys(tenant.keys)
    runs = [
        mass_stop.start("run", "--yes", "--out", name, order, tenant=tenant)
        for name, order in (("one", keys), ("two", mass_stop.keys(reversed(tenant.keys), "reversed.txt")))
    ]
    both = [run.end() for run in runs]
    assert [run.status for run in both] == [0, 0], both
    outcomes_of_both = [outcomes(run.report) for run in both]
    for key in tenant.keys:
        assert tenant.truth(key).status == "Stopped"
        ours = {outcome_of[key] for outcome_of in outcomes_of_both}
        assert ours <= {"stopped", "already_stopped"}
        assert "stopped" in ours, "stopped by one of them, and neither says so"
