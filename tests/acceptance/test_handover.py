"""Keys for a person: ``needs-person.csv``, ``--retry-rejected``, ``--latest`` and ``report --only``."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.support import PROCESSING, MassStop, Tenant, outcomes, table

UNKNOWN = "f" * 32


@pytest.fixture
def tenant(tenants: list[Tenant]) -> Iterator[Tenant]:
    with Tenant(seed=11, actions=4, **PROCESSING) as tenant:
        tenants.append(tenant)
        yield tenant


def source(mass_stop: MassStop, keys: list[str], name: str = "keys.csv") -> Path:
    path = mass_stop.home / name
    path.write_text("bulk_key,owner,source\n" + "".join(f"{key},Ada,job {n}\n" for n, key in enumerate(keys)))
    return path


def test_every_key_that_needs_a_person_is_listed_with_its_labels(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(tenant, source(mass_stop, [*tenant.keys, UNKNOWN, "short"]).name, "--no-results")
    assert ended.status == 1, ended
    rejected, malformed = table(ended.directory / "needs-person.csv")
    message = rejected.pop("message")
    assert rejected == {
        "bulk_key": UNKNOWN, "tenant": "", "source": "keys.csv", "row": "6", "owner": "Ada", "label_source": "job 4",
        "outcome": "rejected", "error_kind": "not_found",
    }  # fmt: skip
    assert message
    assert (malformed["bulk_key"], malformed["row"], malformed["outcome"]) == ("", "7", "malformed")
    assert malformed["message"].endswith("The row holds: short")


def test_the_list_has_a_header_only_if_no_key_needs_a_person(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(tenant, *tenant.keys, "--no-results")
    assert (ended.directory / "needs-person.csv").read_text().splitlines() == [
        "bulk_key,tenant,source,row,outcome,error_kind,message"
    ]


def test_the_list_is_a_source_of_the_next_run_and_of_the_one_after(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    first = mass_stop.run(tenant, source(mass_stop, [UNKNOWN, "short"]), "--no-results", out="first")
    second = mass_stop.run(tenant, first.directory / "needs-person.csv", "--no-results", out="second")
    third = mass_stop.run(tenant, second.directory / "needs-person.csv", "--no-results", out="third")
    assert [ended.status for ended in (first, second, third)] == [1, 1, 1]
    assert "skipped rows without a bulk key: 1" in second.err
    (row,) = table(third.directory / "needs-person.csv")
    assert (row["bulk_key"], row["owner"], row["label_source"]) == (UNKNOWN, "Ada", "job 0")


def test_the_tenant_of_each_key_is_in_the_list(mass_stop: MassStop, tenant: Tenant) -> None:
    (mass_stop.home / "tenants.toml").write_text(
        f'[tenants.one]\nbase_url = "{tenant.environment["ZUORA_BASE_URL"]}"\n'
        'client_id_env = "ZUORA_CLIENT_ID"\nclient_secret_env = "ZUORA_CLIENT_SECRET"\n'
    )
    (mass_stop.home / "keys.csv").write_text(f"bulk_key,tenant\n{UNKNOWN},one\n{tenant.keys[0]},one\n")
    options = ("--tenants", "tenants.toml", "--no-results")
    first = mass_stop.run(tenant, "keys.csv", *options, out="first")
    second = mass_stop.run(tenant, first.directory / "needs-person.csv", *options, out="second")
    rows = [table(ended.directory / "needs-person.csv") for ended in (first, second)]
    assert [[(row["bulk_key"], row["tenant"]) for row in found] for found in rows] == [[(UNKNOWN, "one")]] * 2


def test_resume_retries_refused_keys_only_with_retry_rejected(mass_stop: MassStop, tenant: Tenant) -> None:
    mass_stop.run(tenant, tenant.keys[0], UNKNOWN, "--no-results")
    sent = tenant.sent("stop")
    assert mass_stop("resume", "run", tenant=tenant).status == 1
    assert tenant.sent("stop") == sent
    ended = mass_stop("resume", "run", "--retry-rejected", tenant=tenant)
    assert (ended.status, tenant.sent("stop")) == (1, sent + 1)
    assert outcomes(ended.report) == {tenant.keys[0]: "stopped", UNKNOWN: "rejected"}


def test_a_refused_key_that_is_not_tried_again_stays_refused(mass_stop: MassStop, tenant: Tenant) -> None:
    mass_stop.run(tenant, UNKNOWN, "--no-results")
    mass_stop("resume", "run", "--retry-rejected", "--deadline", "1ms", tenant=tenant)
    report = json.loads(mass_stop("report", "run", "--report", "-").out)
    assert (report["actions"][0]["outcome"], report["actions"][0]["error"]["kind"]) == (
        "rejected",
        "not_found",
    )


def run_with_id(mass_stop: MassStop, tenant: Tenant, run_id: str, key: str) -> None:
    assert mass_stop.run(tenant, key, "--no-results", out=f"runs/{run_id}").status == 0


def test_latest_is_the_newest_run_by_its_id(mass_stop: MassStop, tenant: Tenant) -> None:
    run_with_id(mass_stop, tenant, "20261123-225014-000000", tenant.keys[0])
    run_with_id(mass_stop, tenant, "20261123-225013-ffffff", tenant.keys[1])
    ended = mass_stop("report", "--latest", "--report", "-")
    assert "The latest run is runs/20261123-225014-000000." in ended.err
    assert set(outcomes(json.loads(ended.out))) == {tenant.keys[0]}


def test_of_two_runs_of_the_same_second_the_later_id_is_resumed_and_named(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    run_with_id(mass_stop, tenant, "20261123-225013-bbbbbb", tenant.keys[1])
    run_with_id(mass_stop, tenant, "20261123-225013-aaaaaa", tenant.keys[0])
    ended = mass_stop("resume", "--latest", tenant=tenant)
    assert ended.status == 0, ended
    assert (
        "The latest run is runs/20261123-225013-bbbbbb. runs/20261123-225013-aaaaaa began in the same second; "
        "the later id counts."
    ) in ended.err


def test_a_run_with_a_name_of_its_own_counts_by_its_start(mass_stop: MassStop, tenant: Tenant) -> None:
    run_with_id(mass_stop, tenant, "20201123-225013-bbbbbb", tenant.keys[0])
    run_with_id(mass_stop, tenant, "tonight", tenant.keys[1])
    assert "The latest run is runs/tonight." in mass_stop("report", "--latest", "--report", "-").err


@pytest.mark.parametrize("command", ["resume", "report"])
def test_without_a_run_latest_ends_in_status_2(mass_stop: MassStop, command: str) -> None:
    ended = mass_stop(command, "--latest")
    assert (ended.status, "There is no run in" in ended.err) == (2, True)


def test_report_only_lists_one_outcome_or_those_that_need_a_person(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    mass_stop.run(tenant, *tenant.keys, UNKNOWN, "--no-results")
    person = json.loads(mass_stop("report", "run", "--only", "needs-person", "--report", "-").out)
    assert outcomes(person) == {UNKNOWN: "rejected"}
    assert person["summary"]["keys"] == 5
    stopped = mass_stop("report", "run", "--only", "stopped", "--format", "csv", "--report", "-").out
    assert {row["bulk_key"] for row in csv.DictReader(io.StringIO(stopped.decode()))} == set(tenant.keys)


def test_report_only_never_replaces_the_report_of_the_run(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(tenant, tenant.keys[0], "--no-results")
    before = (ended.directory / "report.json").read_bytes()
    assert mass_stop("report", "run", "--only", "stopped").status == 2
    assert (ended.directory / "report.json").read_bytes() == before
