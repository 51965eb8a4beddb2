"""The machine fails: a full disk, closed streams. Stopping continues."""

import asyncio
import fcntl
import hashlib
import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.support import (
    LONGEST,
    PROCESSING,
    Ended,
    MassStop,
    Tenant,
    lies,
    outcomes,
    until,
    valid,
)

MakeTenant = Callable[..., Tenant]


@pytest.fixture
def full_disk(mass_stop: MassStop) -> Iterator[str]:
    """A script for sh that runs a command in whose ``disk`` directory there is room for 64 KiB and no more.

    A small file system if one can be mounted; otherwise files may not grow, which is refused likewise.
    """
    disk = mass_stop.home / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    try:
        yield 'exec "$@"' if mounted.returncode == 0 else 'ulimit -f 64; exec "$@"'
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", disk], check=True)


NO_ROOM = {
    "a small disk": "",
    "no room for the journal": 'ulimit -f 8; exec "$@"',
    "room for the journal only": 'ulimit -f 128; exec "$@"',
}


@pytest.fixture(params=NO_ROOM)
def on_a_full_disk(
    request: pytest.FixtureRequest, mass_stop: MassStop, make_tenant: MakeTenant, full_disk: str
) -> tuple[Tenant, Ended]:
    """A run of 80 keys on a disk that fills up; its report went to standard output."""
    tenant = make_tenant(**PROCESSING, actions=80)
    keys = mass_stop.keys(tenant.keys)
    shell = NO_ROOM[request.param] or full_disk
    ended = mass_stop.run(tenant, keys, "--report", "-", out="disk/run", shell=shell)
    return tenant, ended


def test_on_a_full_disk_every_stop_goes_out_and_the_exit_status_is_five_with_a_sentence(
    on_a_full_disk: tuple[Tenant, Ended],
) -> None:
    tenant, ended = on_a_full_disk
    assert all(tenant.truth(key).stop_effective_at for key in tenant.keys), ended
    assert ended.status == 5, ended
    assert "Traceback" not in ended.err
    assert any("trouble" in line or line.startswith("mass-stop:") for line in ended.sentences), ended
    report = valid(ended.out)
    assert outcomes(report) == dict.fromkeys(tenant.keys, "stopped")
    assert report["run"]["exit_status"] == 5


def test_a_report_that_cannot_be_saved_is_not_lost(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**PROCESSING, actions=30)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--no-results", shell='ulimit -f 8; exec "$@"')
    assert ended.status == 5, ended
    assert not (ended.directory / "report.json").exists()
    assert all(key in ended.err for key in tenant.keys)


def test_a_run_whose_disk_was_full_is_resumed_or_reported_once_there_is_room(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**PROCESSING, actions=60)
    keys = mass_stop.keys(tenant.keys)
    # 150 kB: less than the log of the run takes, more than the journal, which so finds room at the end.
    full = mass_stop.run(tenant, keys, "--no-results", shell='ulimit -f 300; exec "$@"')
    assert full.status == 5, full
    ended = mass_stop("resume", "run", tenant=tenant)
    assert ended.status == 0, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
    assert lies(ended.report, tenant) == []


@pytest.mark.parametrize("shell", ['exec "$@" 2>&-', 'exec "$@" 2>/dev/full', 'exec "$@" >&- 2>&-'])
def test_a_standard_error_that_accepts_no_output_changes_nothing(
    mass_stop: MassStop, tenant: Tenant, shell: str
) -> None:
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), shell=shell)
    assert ended.status == 0, ended
    assert ended.err == ""
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


def test_a_closed_standard_error_changes_nothing(mass_stop: MassStop, tenant: Tenant) -> None:
    read, write = os.pipe()
    os.close(read)
    going = mass_stop.start(
        "run", "--yes", "--out", "run", mass_stop.keys(tenant.keys), tenant=tenant, stderr=write
    )
    os.close(write)
    ended = going.end()
    assert ended.status == 0
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


@pytest.mark.parametrize(
    ("shell", "target"),
    [
        ('exec "$@" >&-', "-"),
        ('exec "$@" >/dev/full', "-"),
        ('exec "$@"', "/dev/full"),
        ('exec "$@"', "/proc/no/such/directory/report.json"),
    ],
)
def test_a_copy_of_the_report_that_cannot_be_written_ends_in_five_after_all_stops(
    mass_stop: MassStop, tenant: Tenant, shell: str, target: str
) -> None:
    keys = mass_stop.keys(tenant.keys)
    ended = mass_stop.run(tenant, keys, "--no-results", "--report", target, shell=shell)
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
    assert ended.status == ended.report["run"]["exit_status"] == 5, ended
    assert "Traceback" not in ended.err
    assert "report" in ended.sentences[-1]
    assert f"mass-stop: {ended.report['run']['reason']}" == ended.sentences[-1]
    digest = hashlib.sha256((ended.directory / "report.json").read_bytes()).hexdigest()
    assert digest in (ended.directory / "report.html").read_text()


def test_a_report_path_that_is_a_directory_is_refused_before_anything_is_sent(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--report", ".")
    assert ended.status == 2, ended
    assert tenant.nothing_sent()


def test_a_reader_that_closes_the_report_early_is_reported_and_is_no_failure(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    """As `mass-stop run --report - | head -1`: nothing failed on this machine, and the report is complete."""
    keys = mass_stop.keys(tenant.keys)
    read, write = os.pipe()
    os.close(read)
    going = mass_stop.start(
        "run", "--yes", "--out", "run", keys, "--no-results", "--report", "-", tenant=tenant, stdout=write
    )
    os.close(write)
    ended = going.end()
    assert ended.status == ended.report["run"]["exit_status"] == 0, ended
    assert ended.sentences[-1] == (
        "mass-stop: The reader closed standard output before the report was complete. "
        "It is whole in run/report.json."
    )
    assert ended.sentences[-1].startswith("mass-stop:")


def test_a_run_directory_that_cannot_be_made_is_refused(mass_stop: MassStop, tenant: Tenant) -> None:
    (mass_stop.home / "file").write_text("")
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), out="file/run")
    assert ended.status == 2, ended
    assert len(ended.sentences) == 1
    assert tenant.nothing_sent()


def test_a_working_directory_that_was_taken_away_ends_in_a_sentence(
    mass_stop: MassStop, tenant: Tenant, tmp_path: Path
) -> None:
    keys = mass_stop.keys(tenant.keys)
    shell = 'mkdir gone; cd gone; rmdir ../gone; exec "$@"'
    ended = mass_stop("run", "--yes", keys, tenant=tenant, shell=shell)
    assert ended.status == 2, ended
    assert "Traceback" not in ended.err


def test_few_file_descriptors_prevent_no_stop(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**PROCESSING | {"latency": 0.05}, actions=60)
    keys = mass_stop.keys(tenant.keys)
    ended = mass_stop.run(tenant, keys, "--no-results", shell='ulimit -n 30; exec "$@"')
    assert all(tenant.truth(key).stop_effective_at for key in tenant.keys), ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


def test_a_run_continues_when_the_tenant_returns(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**PROCESSING | {"latency": 0.03}, actions=30)
    going = mass_stop.start(
        "run", "--yes", "--out", "run", "--concurrency", "2", "--no-results", mass_stop.keys(tenant.keys),
        tenant=tenant,
    )  # fmt: skip
    until(lambda: tenant.answered("stop") >= 4, "some stops")
    port = int(tenant.environment["ZUORA_BASE_URL"].rpartition(":")[2])
    tenant.cut()
    asyncio.run_coroutine_threadsafe(tenant.simulated.start(port=port), tenant._loop).result(LONGEST)
    ended = going.end()
    assert ended.status == 0, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


def test_a_report_into_a_pipe_without_a_reader_can_be_interrupted(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    """Only kill -9 could end it, which a supervisor sends late."""
    os.mkfifo(mass_stop.home / "pipe")
    keys = mass_stop.keys(tenant.keys)
    going = mass_stop.start(
        "run", "--yes", "--out", "run", keys, "--no-results", "--report", "pipe", tenant=tenant
    )
    stderr = going.process.stderr
    assert stderr is not None
    until(lambda: b"run/report.json" in os.read(stderr.fileno(), 65_536), "the last words before the copy")
    going.signal(signal.SIGTERM)  # once: another one may come when the command no longer listens
    ended = going.end()
    assert (ended.status, ended.report["run"]["exit_status"]) == (143, 143), ended
    assert ended.sentences[-1] == f"mass-stop: {ended.report['run']['reason']}"
    assert "its reader had not read it when SIGTERM arrived" in ended.sentences[-1]


def test_a_report_on_a_blocked_standard_output_can_be_interrupted(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    keys = mass_stop.keys(tenant.keys)
    going = mass_stop.start(
        "run", "--yes", "--out", "run", keys, "--no-results", "--report", "-", tenant=tenant, stdout=write
    )
    os.close(write)
    until(lambda: select.select([read], [], [], 0)[0], "the report's first bytes")
    going.signal(signal.SIGINT)
    ended = going.end()
    os.close(read)
    assert (ended.status, ended.report["run"]["exit_status"]) == (130, 130), ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


@pytest.mark.parametrize(
    "words", [("report", "--schema"), ("completion", "bash"), ("run", "--help"), ("--help",), ("--version",)]
)
@pytest.mark.parametrize(
    ("where", "why"), [("/dev/full", "No space left on device"), ("&-", "Bad file descriptor")]
)
def test_a_failed_write_to_standard_output_is_reported(
    mass_stop: MassStop, words: tuple[str, ...], where: str, why: str
) -> None:
    ended = mass_stop(*words, shell=f'exec "$@" >{where}')
    assert (ended.status, ended.sentences) == (
        5,
        [f"mass-stop: Nothing can be written to standard output: {why}."],
    )
