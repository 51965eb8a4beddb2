"""Machines as they are: volumes of other owners, archives, read-only media, limits on threads."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.support import PROCESSING, Ended, MassStop, Tenant, lies, outcomes, until, valid

NO_CHMOD = """
import errno, os

def refuse(*_, **__):
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

os.chmod = os.fchmod = refuse
"""


def test_a_volume_whose_modes_cannot_change_holds_a_whole_run(mass_stop: MassStop, tenant: Tenant) -> None:
    (mass_stop.home / "run").mkdir(mode=0o777)
    (mass_stop.home / "run").chmod(0o777)
    ended = mass_stop.run(
        tenant, mass_stop.keys(tenant.keys), "--save-responses", shell=mass_stop.after(NO_CHMOD)
    )
    assert ended.status == 0, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
    assert lies(ended.report, tenant) == []
    assert ended.err.count("run is open to every user of this machine (mode 0777)") == 1


THREADS = """
import threading

left = [{most}]
start = threading.Thread.start

def limited(self):
    if not left[0]:
        raise RuntimeError("can't start new thread")
    left[0] -= 1
    start(self)

threading.Thread.start = limited
"""


@pytest.mark.parametrize("most", [0, 1])
def test_a_lack_of_threads_is_reported_in_one_sentence(
    mass_stop: MassStop, tenant: Tenant, most: int
) -> None:
    limited = mass_stop.after(THREADS.format(most=most))
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), shell=limited)
    assert ended.status == 5, ended
    message = "This machine gives mass-stop no more threads"
    assert sum(message in sentence for sentence in ended.sentences) == 1
    assert "Traceback" not in ended.err
    if (mass_stop.home / "run").exists():
        assert ended.report["run"]["exit_status"] == 5
        assert lies(ended.report, tenant) == []
    else:
        assert tenant.nothing_sent()


# Archives and read-only media


def content(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file of a directory and the directory itself, by name: mode, time of change and bytes."""
    return {
        str(path.relative_to(directory)): (
            path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"",
        )
        for path in (directory, *directory.rglob("*"))
    }  # fmt: skip


def archive(directory: Path) -> None:
    for path in directory.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    directory.chmod(0o555)


@pytest.fixture(params=["archive", "read-only media"])
def read_only(request: pytest.FixtureRequest) -> Iterator[Callable[[Path], None]]:
    """Makes a run read-only: by its modes, or by the mount."""
    mounted: list[Path] = []

    def mount(directory: Path) -> None:
        source = directory.rename(directory.with_name("media"))
        directory.mkdir()
        for options in (["--bind", str(source)], ["-o", "remount,ro,bind"]):
            if subprocess.run(
                ["mount", *options, str(directory)], capture_output=True, check=False
            ).returncode:
                pytest.skip("this machine permits no mount")
        mounted.append(directory)

    yield archive if request.param == "archive" else mount
    for directory in mounted:
        subprocess.run(["umount", directory], check=True)


def killed(mass_stop: MassStop, tenant: Tenant) -> Path:
    """A run whose process was killed: its latest commits are in the log beside the journal."""
    going = mass_stop.start("run", "--yes", "--out", "run", tenant=tenant, stdin=subprocess.PIPE)
    going.feed(tenant.keys)
    until(lambda: tenant.answered("file") == len(tenant.keys), "every result")
    going.signal(signal.SIGKILL)
    going.end()
    assert (mass_stop.home / "run" / "journal.db-wal").stat().st_size
    return mass_stop.home / "run"


@pytest.mark.parametrize("form", ["json", "csv", "html", "markdown"])
def test_a_report_of_a_read_only_run_changes_nothing(
    mass_stop: MassStop, over: Ended, read_only: Callable[[Path], None], form: str
) -> None:
    report = over.report
    read_only(over.directory)
    before = content(over.directory)
    ended = mass_stop("report", "run", "--format", form, "--report", "-")
    assert (ended.status, ended.err) == (0, "")
    assert report["actions"][0]["bulk_key"].encode() in ended.out or form == "markdown"
    assert content(over.directory) == before


def test_a_report_of_a_killed_read_only_run_includes_its_log(
    mass_stop: MassStop, tenant: Tenant, read_only: Callable[[Path], None]
) -> None:
    directory = killed(mass_stop, tenant)
    read_only(directory)
    before = content(directory)
    report = valid(mass_stop("report", "run", "--report", "-").out)
    assert all(action["stop"]["accepted_at"] for action in report["actions"])
    assert len(report["actions"]) == len(tenant.keys)
    assert content(directory) == before


def test_a_report_of_a_killed_run_changes_only_the_report(mass_stop: MassStop, tenant: Tenant) -> None:
    before = content(killed(mass_stop, tenant))
    assert mass_stop("report", "run").status == 0
    after = content(mass_stop.home / "run")
    assert {name for name in after if after[name] != before.get(name)} == {".", "report.json"}


def test_a_report_of_a_read_only_run_needs_another_path(
    mass_stop: MassStop, over: Ended, read_only: Callable[[Path], None]
) -> None:
    read_only(over.directory)
    before = content(over.directory)
    ended = mass_stop("report", "run")
    assert (ended.status, len(ended.sentences)) == (2, 1)
    assert "is read-only" in ended.err
    assert "--report -" in ended.err
    assert content(over.directory) == before
    assert mass_stop("report", "run", "--report", "elsewhere.json").status == 0
    assert (mass_stop.home / "elsewhere.json").is_file()


def test_a_resume_of_a_run_on_read_only_media_is_refused_in_one_sentence(
    mass_stop: MassStop, tenant: Tenant, read_only: Callable[[Path], None]
) -> None:
    mass_stop.run(tenant, mass_stop.keys(tenant.keys))
    read_only(mass_stop.home / "run")
    before = content(mass_stop.home / "run")
    sent = len(tenant.log)
    ended = mass_stop("resume", "run", tenant=tenant)
    assert (ended.status, len(ended.sentences)) == (2, 1)
    assert "is read-only" in ended.err
    assert (content(mass_stop.home / "run"), len(tenant.log)) == (before, sent)


def test_a_plan_on_read_only_media_gives_keys_and_order(
    mass_stop: MassStop, make_tenant: Callable[..., Tenant], read_only: Callable[[Path], None]
) -> None:
    tenant = make_tenant(**PROCESSING, actions=6)
    assert mass_stop("plan", "--out", "plan", mass_stop.keys(tenant.keys), tenant=tenant).status == 0
    read_only(mass_stop.home / "plan")
    before = content(mass_stop.home / "plan")
    ended = mass_stop.run(tenant, "--plan", "plan")
    assert (ended.status, set(outcomes(ended.report))) == (0, set(tenant.keys))
    assert content(mass_stop.home / "plan") == before


# Process substitution


def substituted(command: str) -> str:
    """The script that gives the output of ``command`` as the last argument, as ``<(command)`` of bash."""
    return f"""exec bash -c 'exec "$@" <({command})' bash "$@\""""


@pytest.mark.parametrize("command", ["cat keys.txt", "gzip -c keys.txt"])
def test_keys_from_a_process_substitution_are_stopped(
    mass_stop: MassStop, tenant: Tenant, command: str
) -> None:
    mass_stop.keys(tenant.keys)
    ended = mass_stop.run(tenant, shell=substituted(command))
    assert ended.status == 0, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


def test_a_run_cut_in_a_process_substitution_is_resumed_with_another(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    mass_stop.keys(tenant.keys)
    os.mkfifo(mass_stop.home / "pipe")
    going = mass_stop.start("run", "--yes", "--out", "run", tenant=tenant, shell=substituted("cat pipe"))
    with (mass_stop.home / "pipe").open("w") as pipe:
        pipe.write("".join(f"{key}\n" for key in tenant.keys[:5]))
        pipe.flush()
        until(lambda: tenant.answered("file") == 5, "five results")
        going.signal(signal.SIGINT)
        until(lambda: going.process.poll() is not None, "its end")
    assert going.end().status == 130
    refused = mass_stop("resume", "run", tenant=tenant)
    assert (refused.status, "Give the same input again" in refused.err) == (2, True), refused
    ended = mass_stop("resume", "run", tenant=tenant, shell=substituted("cat keys.txt"))
    assert ended.status == 0, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
    assert {len(tenant.truth(key).stops_received) for key in tenant.keys} == {1}


def test_a_file_behind_a_descriptor_is_found_again_by_a_resume(mass_stop: MassStop, tenant: Tenant) -> None:
    keys = mass_stop.keys(tenant.keys)
    ended = mass_stop.run(tenant, "/dev/stdin", "--deadline", "1ms", shell='exec "$@" < keys.txt')
    assert ended.report["run"]["state"] == "aborted", ended
    keys.chmod(0o600)
    ended = mass_stop("resume", "run", tenant=tenant)
    assert (ended.status, outcomes(ended.report)) == (0, dict.fromkeys(tenant.keys, "stopped")), ended
