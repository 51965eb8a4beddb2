"""The commands on a run whose files the disk damaged."""

import zipfile
from collections.abc import Callable

import pytest

from tests.acceptance.support import PROCESSING, MassStop, Tenant, lies, outcomes, table, valid
from tests.hunts.crash.strace import Point, needs_strace, run_killed_at

MakeTenant = Callable[..., Tenant]


@pytest.fixture
def damaged(mass_stop: MassStop, make_tenant: MakeTenant) -> Tenant:
    """The tenant of a finished run in ``run``, with one changed bit in one key of its journal."""
    tenant = make_tenant(**PROCESSING, actions=12)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys))
    assert ended.status == 0, ended
    journal = ended.directory / "journal.db"
    data = bytearray(journal.read_bytes())
    place = data.index(
        tenant.keys[3].encode()
    )  # rows lie from the end of a page to its start: this is in the table
    for found in range(place, len(data)):
        if data[found : found + 32] == tenant.keys[3].encode():
            data[found] ^= 1
    journal.write_bytes(data)
    tenant.simulated._tenant.ledger.calls.clear()
    return tenant


def test_report_shows_what_is_valid_and_what_is_not_and_ends_in_five(
    mass_stop: MassStop, damaged: Tenant
) -> None:
    reported = mass_stop("report", "run", "--report", "-")
    assert reported.status == 5, reported
    report = valid(reported.out)
    assert lies(report, damaged) == []
    assert (
        outcomes(report).items() >= {key: "stopped" for key in damaged.keys if key != damaged.keys[3]}.items()
    )
    assert report["actions"][3]["outcome"] == "unconfirmed"
    assert report["actions"][3]["error"]["kind"] == "journal_damaged"
    assert "cannot be trusted (row 4)" in reported.err


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_a_report_for_people_starts_with_the_damage(mass_stop: MassStop, damaged: Tenant, form: str) -> None:
    shown = mass_stop("report", "run", "--format", form, "--report", "-").out.decode()
    assert "Journal damaged" in shown
    assert "cannot be trusted (row 4)" in shown


def test_resume_sends_nothing_and_says_what_to_do(mass_stop: MassStop, damaged: Tenant) -> None:
    ended = mass_stop("resume", "run", tenant=damaged)
    assert ended.status == 5, ended
    assert len(ended.sentences) == 1
    assert "another --out" in ended.err
    assert damaged.nothing_sent()


def test_a_plan_that_was_damaged_stops_nothing(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    """A key with one bit changed may be the key of another action."""
    tenant = make_tenant(**PROCESSING, actions=4)
    mass_stop("plan", mass_stop.keys(tenant.keys), "--out", "planned", tenant=tenant)
    journal = mass_stop.home / "planned" / "journal.db"
    journal.write_bytes(journal.read_bytes().replace(tenant.keys[2].encode(), b"f" * 32))
    ended = mass_stop.run(tenant, "--plan", "planned")
    assert ended.status == 5, ended
    assert tenant.sent("stop") == 0


@needs_strace
def test_an_empty_response_file_after_a_power_cut_is_downloaded_again(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**PROCESSING, actions=4)
    mass_stop.keys(tenant.keys)
    assert run_killed_at(mass_stop, tenant, Point("first", "fchmod", 1))  # counted, not in remediation
    files = sorted((mass_stop.home / "run" / ".responses").iterdir())
    assert len(files) == 4
    assert all(zipfile.is_zipfile(file) for file in files)
    files[0].write_bytes(b"")
    ended = mass_stop("resume", "run", tenant=tenant)
    assert ended.status == 0, ended
    assert lies(ended.report, tenant) == []
    unprocessed = {row["bulk_key"] for row in table(ended.directory / "remediation" / "unprocessed.csv")}
    assert unprocessed == set(tenant.keys)
