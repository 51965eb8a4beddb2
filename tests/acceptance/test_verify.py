"""``mass-stop verify``: every status of a finished run, read again and compared with its report."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.simulator.actions import Action
from tests.acceptance.support import PROCESSING, Ended, MassStop, Tenant

UNKNOWN = "f" * 32


@pytest.fixture
def tenant(tenants: list[Tenant]) -> Iterator[Tenant]:
    with Tenant(seed=13, actions=4, **PROCESSING) as tenant:
        tenants.append(tenant)
        yield tenant


@pytest.fixture
def stopped(mass_stop: MassStop, tenant: Tenant) -> Ended:
    """A finished run that stopped every action of the tenant."""
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys))
    assert ended.status == 0, ended
    return ended


def action_of(tenant: Tenant, key: str) -> Action:
    found = tenant.simulated._tenant.actions.find(key)
    assert found is not None
    return found


def continues(tenant: Tenant, key: str) -> None:
    """Lets a stopped action process records again."""
    action = action_of(tenant, key)
    action.stop_at, action.halts, action.completes = None, math.inf, math.inf


def verify(mass_stop: MassStop, tenant: Tenant, *more: str) -> Ended:
    return mass_stop("verify", "run", *more, tenant=tenant)


def files_of(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_a_lasting_stop_is_verified_without_another_stop(
    mass_stop: MassStop, tenant: Tenant, stopped: Ended
) -> None:
    sent = tenant.sent("stop")
    ended = verify(mass_stop, tenant)
    assert ended.status == 0, ended
    assert "Verified: 4 actions are over, and no known count changed after the end." in ended.err
    assert tenant.sent("stop") == sent
    (verification,) = stopped.report["run"]["verifications"]
    found = {
        name: verification[name] for name in ("keys", "over", "not_over", "changed", "unread", "findings")
    }
    assert found == {"keys": 4, "over": 4, "not_over": 0, "changed": 0, "unread": 0, "findings": []}


def test_an_action_that_processes_records_again_is_named(
    mass_stop: MassStop, tenant: Tenant, stopped: Ended
) -> None:
    continues(tenant, tenant.keys[2])
    ended = verify(mass_stop, tenant)
    assert ended.status == 1, ended
    assert "NOT verified: 3 of 4 actions over, 1 finding." in ended.err
    (finding,) = stopped.report["run"]["verifications"][0]["findings"]
    assert (finding["bulk_key"], finding["row"], finding["kind"]) == (tenant.keys[2], 3, "not_over")
    assert finding["message"].startswith("It is Processing with ")
    assert finding["message"].endswith("and was reported as stopped.")
    assert {action["outcome"] for action in stopped.report["actions"]} == {"stopped"}


def test_a_count_that_changed_after_the_end_is_named(
    mass_stop: MassStop, tenant: Tenant, stopped: Ended
) -> None:
    action_of(tenant, tenant.keys[0]).speed *= 1.5
    ended = verify(mass_stop, tenant)
    assert ended.status == 1, ended
    (finding,) = stopped.report["run"]["verifications"][0]["findings"]
    assert (finding["bulk_key"], finding["kind"]) == (tenant.keys[0], "changed")
    assert finding["message"].startswith("It was Stopped with ")


def test_the_findings_are_on_the_page_and_in_markdown(
    mass_stop: MassStop, tenant: Tenant, stopped: Ended
) -> None:
    continues(tenant, tenant.keys[2])
    verify(mass_stop, tenant)
    page = (stopped.directory / "report.html").read_text()
    markdown = mass_stop("report", "run", "--format", "markdown", "--report", "-").out.decode()
    for text in (page, markdown):
        assert "3 of 4 actions over, 1 not over" in text
        assert "and was reported as stopped." in text


def test_a_status_that_cannot_be_read_is_a_finding(mass_stop: MassStop, tenant: Tenant) -> None:
    mass_stop.run(tenant, tenant.keys[0], UNKNOWN, "--no-results")
    ended = verify(mass_stop, tenant)
    assert ended.status == 1, ended
    (finding,) = ended_report(mass_stop)["run"]["verifications"][0]["findings"]
    assert (finding["bulk_key"], finding["kind"]) == (UNKNOWN, "unread")


def ended_report(mass_stop: MassStop) -> dict:  # type: ignore[type-arg]
    return Ended(0, b"", "", mass_stop.home / "run").report


def test_each_verification_is_kept_and_a_resume_keeps_them(
    mass_stop: MassStop, tenant: Tenant, stopped: Ended
) -> None:
    assert [verify(mass_stop, tenant).status for _ in range(2)] == [0, 0]
    assert mass_stop("resume", "run", tenant=tenant).status == 0
    assert len(stopped.report["run"]["verifications"]) == 2


def test_an_action_that_ended_after_the_run_is_no_finding(mass_stop: MassStop, tenant: Tenant) -> None:
    key = tenant.keys[0]
    action_of(tenant, key).linger = math.inf
    first = mass_stop.run(tenant, key, "--settle", "100ms", "--no-results")
    assert first.report["summary"]["outcomes"] == {"unconfirmed": 1}, first
    action_of(tenant, key).halts = 0.0
    assert verify(mass_stop, tenant).status == 0


def test_a_read_only_run_is_verified_and_not_changed(
    mass_stop: MassStop, tenant: Tenant, stopped: Ended
) -> None:
    stopped.directory.chmod(0o500)
    before = files_of(stopped.directory)
    ended = verify(mass_stop, tenant)
    stopped.directory.chmod(0o700)
    assert ended.status == 0, ended
    assert "Verified: 4 actions are over" in ended.err
    assert "The run in run is read-only: these findings were not kept." in ended.err
    assert files_of(stopped.directory) == before


def test_a_plan_is_not_verified(mass_stop: MassStop, tenant: Tenant) -> None:
    mass_stop("plan", *tenant.keys, "--out", "run", tenant=tenant)
    ended = verify(mass_stop, tenant)
    assert ended.status == 2
    assert ended.sentences == [
        "mass-stop: run is a plan: it stopped nothing. Verify the run that was made from it."
    ]


def test_a_drill_is_not_verified(mass_stop: MassStop, tenant: Tenant) -> None:
    mass_stop("drill", "--actions", "2", "--faults", "none", "--out", "run")
    ended = verify(mass_stop, tenant)
    assert ended.status == 2
    assert ended.sentences == [
        "mass-stop: run is a drill: its simulated tenant is gone, so there is nothing to verify."
    ]


def test_an_unfinished_run_is_not_verified(mass_stop: MassStop, tenant: Tenant) -> None:
    mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--deadline", "1ms")
    ended = verify(mass_stop, tenant)
    assert ended.status == 2
    assert ended.sentences == [
        "mass-stop: The run in run is not finished (aborted). Finish it first: mass-stop resume run"
    ]


def test_a_run_of_another_tenant_is_not_verified(mass_stop: MassStop, tenant: Tenant, stopped: Ended) -> None:
    ended = verify(mass_stop, tenant, "--base-url", "http://127.0.0.1:9")
    assert ended.status == 2
    assert "The run in run belongs to" in ended.err
    assert "verifications" not in stopped.report["run"]


def test_a_folder_without_a_run_is_not_verified(mass_stop: MassStop, tenant: Tenant) -> None:
    (mass_stop.home / "run").mkdir()
    ended = verify(mass_stop, tenant)
    assert (ended.status, len(ended.sentences)) == (2, 1)


def test_a_verification_that_is_cut_is_not_kept(mass_stop: MassStop, tenant: Tenant, stopped: Ended) -> None:
    ended = verify(mass_stop, tenant, "--deadline", "1ms")
    assert ended.status == 4, ended
    assert "The verification was not completed, and nothing was kept" in ended.err
    assert "verifications" not in stopped.report["run"]


def test_several_tenants_are_verified(mass_stop: MassStop, tenant: Tenant, tenants: list[Tenant]) -> None:
    with Tenant(
        seed=14, actions=2, client_secret=tenant.simulated.config.client_secret, **PROCESSING
    ) as other:
        tenants.append(other)
        entry = 'client_id_env = "ZUORA_CLIENT_ID"\nclient_secret_env = "ZUORA_CLIENT_SECRET"\n'
        (mass_stop.home / "tenants.toml").write_text(
            f'[tenants.one]\nbase_url = "{tenant.simulated.base_url}"\n{entry}'
            f'[tenants.two]\nbase_url = "{other.simulated.base_url}"\n{entry}'
        )
        rows = [f"{key},one" for key in tenant.keys] + [f"{key},two" for key in other.keys]
        (mass_stop.home / "keys.csv").write_text("\n".join(["bulk_key,tenant", *rows]))
        first = mass_stop.run(tenant, "keys.csv", "--tenants", "tenants.toml", "--no-results")
        assert first.status == 0, first
        continues(other, other.keys[1])
        ended = verify(mass_stop, tenant)
    assert ended.status == 1, ended
    (finding,) = first.report["run"]["verifications"][0]["findings"]
    assert (finding["bulk_key"], finding["tenant"], finding["row"]) == (other.keys[1], "two", 7)
