"""A run whose journal or input was removed, replaced, copied or changed reports the truth."""

import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.support import PROCESSING, Going, MassStop, Tenant, lies, outcomes, until, valid

MakeTenant = Callable[..., Tenant]

SLOW = PROCESSING | {"latency": 0.1}
FILES = ("journal.db", "journal.db-wal", "journal.db-shm")


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> Tenant:
    return make_tenant(**SLOW, actions=200)


@pytest.fixture
def going(mass_stop: MassStop, tenant: Tenant) -> Going:
    """A run in the middle: some stops are accepted, and most of its journal is in the log."""
    keys = mass_stop.keys(tenant.keys)
    running = mass_stop.start("run", "--yes", "--out", "run", keys, "--concurrency", "20", tenant=tenant)
    until(lambda: tenant.answered() >= 60, "stops")
    return running


def kill(going: Going) -> None:
    going.signal(signal.SIGKILL)
    going.end()


def holds_what_was_stopped(mass_stop: MassStop, tenant: Tenant, directory: str | Path) -> None:
    """The report of ``directory`` ends in 5 and claims nothing false."""
    ended = mass_stop("report", directory, "--report", "-")
    assert ended.status == 5, ended
    report = valid(ended.out)
    assert lies(report, tenant) == []
    assert "not_attempted" not in outcomes(report).values()
    assert set(outcomes(report)) == set(tenant.keys)
    assert "nothing was sent" not in ended.err


def test_a_log_removed_before_a_kill_makes_no_stop_unsent(
    mass_stop: MassStop, tenant: Tenant, going: Going
) -> None:
    going.signal(signal.SIGSTOP)  # the run has no time to write its journal again
    (going.directory / "journal.db-wal").unlink()
    kill(going)
    ended = mass_stop("report", "run", "--report", "-")
    assert ended.status == 5, ended
    assert "nothing was sent" not in ended.err
    assert "It is not known whether anything was sent" in ended.err


@pytest.mark.parametrize("name", ["journal.db", "journal.db-wal"])
def test_a_run_whose_files_were_removed_ends_in_five_with_all_results(
    mass_stop: MassStop, tenant: Tenant, going: Going, name: str
) -> None:
    (going.directory / name).unlink()
    ended = going.end()
    assert ended.status == 5, ended
    assert "removed or replaced by another program" in ended.err
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
    again = mass_stop("report", "run", "--report", "-")
    assert again.status == 5, again
    assert outcomes(valid(again.out)) == dict.fromkeys(tenant.keys, "stopped")


def test_files_removed_some_time_before_a_kill_are_written_again(
    mass_stop: MassStop, tenant: Tenant, going: Going
) -> None:
    for name in FILES:
        (going.directory / name).unlink()
    until(lambda: (going.directory / "journal.db-wal").exists(), "a new journal")
    kill(going)
    ended = mass_stop("report", "run", "--report", "-")
    assert ended.status == 5, ended
    assert lies(valid(ended.out), tenant) == []
    resumed = mass_stop("resume", "run", tenant=tenant)
    assert resumed.status == 0, resumed
    assert outcomes(resumed.report) == dict.fromkeys(tenant.keys, "stopped")


def test_a_journal_replaced_during_a_run_ends_it_in_five(
    mass_stop: MassStop, tenant: Tenant, going: Going
) -> None:
    other = going.directory / "other"
    other.write_bytes(b"another file")
    other.replace(going.directory / "journal.db")
    ended = going.end()
    assert ended.status == 5, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
    assert (ended.directory / "journal.replaced").read_bytes() == b"another file"


def test_a_journal_copied_without_its_log_claims_nothing_that_only_the_log_had(
    mass_stop: MassStop, tenant: Tenant, going: Going
) -> None:
    """Its rows are in the file, and the stops since then in the log."""
    journal = going.directory / "journal.db"
    with closing(sqlite3.connect(journal)) as other:
        other.execute("PRAGMA wal_checkpoint")
    answered = tenant.answered()
    until(lambda: tenant.answered() > answered + 40, "more stops")
    kill(going)
    (mass_stop.home / "copy").mkdir()
    shutil.copyfile(journal, mass_stop.home / "copy" / "journal.db")
    holds_what_was_stopped(mass_stop, tenant, "copy")
    resumed = mass_stop("resume", "copy", "--no-results", mass_stop.home / "keys.txt", tenant=tenant)
    assert resumed.status == 0, resumed
    assert outcomes(resumed.report) == dict.fromkeys(tenant.keys, "stopped")


def test_a_journal_copied_while_its_run_is_at_work_is_reported_as_incomplete(
    mass_stop: MassStop, tenant: Tenant, going: Going
) -> None:
    copy = mass_stop.home / "copy"
    copy.mkdir()
    shutil.copyfile(going.directory / "journal.db", copy / "journal.db")
    assert going.end().status == 0
    ended = mass_stop("report", "copy", "--report", "-")
    assert ended.status == 5, ended
    assert "nothing was sent" not in ended.err


def test_the_log_of_another_run_is_not_applied(
    mass_stop: MassStop, tenant: Tenant, going: Going, make_tenant: MakeTenant
) -> None:
    other = make_tenant(**SLOW, actions=50)
    second = mass_stop.start(
        "run", "--yes", "--out", "second", mass_stop.keys(other.keys, "second.txt"), tenant=other
    )
    until(lambda: other.answered() >= 5, "stops")
    kill(second)
    kill(going)
    shutil.copyfile(second.directory / "journal.db-wal", going.directory / "journal.db-wal")
    reported = mass_stop("report", "run", "--report", "-")
    assert reported.status == 5, reported
    sent = tenant.sent()
    resumed = mass_stop("resume", "run", tenant=tenant)
    assert resumed.status == 5, resumed
    assert "belongs to another journal" in resumed.err
    assert tenant.sent() == sent


def test_a_report_modifies_no_archived_run(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**PROCESSING, actions=3)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys))
    for path in ended.directory.rglob("*"):
        if path.is_file():
            path.chmod(0o444)
    before = {path: (path.stat().st_mode, path.stat().st_mtime_ns) for path in ended.directory.iterdir()}
    reported = mass_stop("report", "run", "--report", "-")
    assert reported.status == 0, reported
    assert {
        path: (path.stat().st_mode, path.stat().st_mtime_ns) for path in ended.directory.iterdir()
    } == before


# A source that changed after the run was cut while reading it


ROWS = 200_000


def shorter(text: str) -> str:
    return text[: len(text) * 3 // 4]


def longer(text: str) -> str:
    return text + "f" * 32 + "\n"


def other_rows(text: str) -> str:
    """With the same length, changed after the position that was read."""
    end = 33 * 1000
    return text[:-end] + "".join(f"{number:032x}\n" for number in range(1000))


@pytest.mark.parametrize("change", [shorter, longer, other_rows])
def test_a_source_changed_after_the_cut_is_asked_for_again(
    mass_stop: MassStop, make_tenant: MakeTenant, change: Callable[[str], str]
) -> None:
    tenant = make_tenant(**SLOW, actions=40)
    keys = mass_stop.keys([*tenant.keys, *(f"{number:032x}" for number in range(1 << 60, (1 << 60) + ROWS))])
    going = mass_stop.start("run", "--yes", "--out", "run", keys, "--concurrency", "2", tenant=tenant)
    until(lambda: tenant.sent() >= 2, "stops", 60)
    kill(going)
    text = keys.read_text()
    changed = keys.with_suffix(".changed")
    changed.write_text(change(text))
    changed.replace(keys)
    sent = tenant.sent()
    for given in ((), (keys,)):
        resumed = mass_stop("resume", "run", *given, tenant=tenant)
        assert resumed.status == 2, resumed
        assert "is not what it was when the run began to read it" in resumed.err
    assert tenant.sent() == sent
