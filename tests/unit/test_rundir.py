"""The run directory: its owner's alone, and one process's at a time."""

import errno
import fcntl
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from orchestrator import rundir
from orchestrator.errors import RunDirectoryError


@pytest.fixture
def directory(tmp_path):
    directory = rundir.create(tmp_path / "runs" / "one")
    yield directory
    directory.close()


def test_a_run_id_sorts_by_its_start():
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}", rundir.new_run_id())


def test_no_two_run_ids_are_equal():
    assert len({rundir.new_run_id() for _ in range(200)}) == 200


def test_only_the_owner_can_read_a_run_directory(directory):
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700


def test_an_existing_directory_becomes_readable_by_its_owner_only(tmp_path):
    tmp_path.chmod(0o755)
    rundir.create(tmp_path).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


@pytest.mark.parametrize(("mode", "who"), [(0o777, "every user of this machine"), (0o2770, "its group")])
def test_a_directory_of_another_owner_is_used_with_a_warning(tmp_path, monkeypatch, mode, who):
    """As on a volume that a cluster mounts with fsGroup, on CIFS or on vfat: its mode cannot change."""
    tmp_path.chmod(mode)

    def refuse(path, mode, **_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    directory = rundir.create(tmp_path)
    assert f"{tmp_path} is open to {who} (mode {mode:04o})" in str(directory.warning)
    directory.close()


def test_a_private_directory_has_no_warning(directory):
    assert directory.warning is None


@pytest.mark.parametrize("left", ["journal.db", "report.json"])
def test_a_directory_that_contains_a_run_is_refused(tmp_path, left):
    (tmp_path / left).touch()
    with pytest.raises(RunDirectoryError, match="mass-stop resume"):
        rundir.create(tmp_path)


def test_a_refused_directory_is_not_locked(tmp_path):
    (tmp_path / "journal.db").touch()
    with pytest.raises(RunDirectoryError):
        rundir.create(tmp_path)
    rundir.reopen(tmp_path).close()


def test_a_directory_in_use_is_refused_in_the_same_process(directory):
    with pytest.raises(RunDirectoryError, match="Another mass-stop is at work"):
        rundir.reopen(directory.path)


def test_a_lock_is_awaited_for_a_moment(tmp_path):
    """A report holds it while it opens the journal."""
    held = rundir.create(tmp_path)
    timer = threading.Timer(0.05, held.close)
    timer.start()
    rundir.reopen(tmp_path).close()
    timer.join()


def test_a_directory_in_use_is_refused_to_another_process(directory):
    code = (
        "from pathlib import Path; from orchestrator import rundir; "
        f"rundir.reopen(Path({str(directory.path)!r}))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Another mass-stop is at work" in other.stderr


@pytest.fixture
def shared(tmp_path):
    (tmp_path / "1" / "north").mkdir(parents=True)
    return tmp_path / "1" / "north"


def refusal_of_another_process(directory: Path) -> str:
    code = (
        "from pathlib import Path; from orchestrator import rundir; "
        f"rundir.reopen(Path({str(directory)!r}), shared=True)"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr


def test_a_shared_directory_in_use_is_refused_to_another_process(shared):
    held = rundir.reopen(shared, shared=True)
    assert "Another mass-stop is at work" in refusal_of_another_process(shared)
    held.close()
    assert refusal_of_another_process(shared) == ""


def test_a_shared_directory_is_locked_by_a_file_open_for_writing(shared):
    """NFS shares no lock on a directory with other machines, and none on a file that is open for reading."""
    held = rundir.reopen(shared, shared=True)
    assert stat.S_ISREG(os.fstat(held._lock).st_mode)
    assert fcntl.fcntl(held._lock, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
    rundir.reopen(shared).close()  # so the directory itself is not open
    held.close()


def test_a_locked_shared_directory_can_be_removed(shared):
    """NFS keeps the name of a file that is open, and with it the directory it is in."""
    held = rundir.reopen(shared, shared=True)
    shared.rmdir()
    held.close()


def without_locks(monkeypatch):
    def flock(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)


def test_a_file_system_without_locks_is_not_taken_for_another_process(tmp_path, monkeypatch):
    without_locks(monkeypatch)
    with pytest.raises(RunDirectoryError, match=r"cannot be locked \(No locks available\).*--out") as raised:
        rundir.create(tmp_path)
    assert not isinstance(raised.value, rundir.DirectoryInUse)


def test_a_shared_folder_without_locks_is_refused_with_its_mount_option(shared, monkeypatch):
    without_locks(monkeypatch)
    with pytest.raises(RunDirectoryError, match=r"cannot be locked .*--shared-dir .*NFS.*version 4"):
        rundir.reopen(shared, shared=True)


def test_a_released_directory_is_free(directory):
    directory.close()
    again = rundir.reopen(directory.path)
    again.close()
    directory._lock = rundir.reopen(directory.path)._lock  # what the fixture closes


def test_a_directory_is_free_when_its_process_was_killed(tmp_path):
    code = (
        "import os, signal; from pathlib import Path; from orchestrator import rundir; "
        f"held = rundir.create(Path({str(tmp_path)!r})); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    rundir.reopen(tmp_path).close()


def test_a_file_cannot_be_a_run_directory(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match="a file in its place or above it"):
        rundir.create(tmp_path / "file")


def test_a_directory_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match="a file in its place or above it"):
        rundir.create(tmp_path / "file" / "one")


def test_a_missing_run_directory_is_reported(tmp_path):
    with pytest.raises(RunDirectoryError, match="There is no run directory"):
        rundir.reopen(tmp_path / "missing")


def test_a_run_that_sent_nothing_leaves_no_directory_behind(tmp_path):
    directory = rundir.create(tmp_path / "one")
    directory.journal.touch()
    directory.log.touch()
    directory.discard()
    directory.close()
    assert not directory.path.exists()


def test_a_run_that_sent_nothing_leaves_a_directory_that_was_there_before(tmp_path):
    (tmp_path / "notes.txt").touch()
    directory = rundir.create(tmp_path)
    directory.journal.touch()
    directory.discard()
    directory.close()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["keys.csv", "run.log", "journal.db-wal"])
def test_a_run_that_sent_nothing_keeps_files_of_the_operator_by_any_name(tmp_path, name):
    (tmp_path / name).write_text("mine")
    directory = rundir.create(tmp_path)
    directory.journal.touch()
    directory.discard()
    directory.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_files_of_others_in_a_new_directory_are_kept(tmp_path):
    directory = rundir.create(tmp_path / "one")
    (directory.path / "notes.txt").touch()
    directory.discard()
    directory.close()
    assert [path.name for path in directory.path.iterdir()] == ["notes.txt"]


def test_a_half_written_file_of_a_killed_process_is_removed(tmp_path):
    (tmp_path / "remediation").mkdir()
    left = [tmp_path / ".mass-stop-0011.tmp", tmp_path / "remediation" / ".mass-stop-2233.tmp"]
    for path in (*left, tmp_path / "journal.db"):
        path.touch()
    rundir.reopen(tmp_path).close()
    assert [path.exists() for path in (*left, tmp_path / "journal.db")] == [False, False, True]


def test_the_name_of_each_new_directory_is_synced(tmp_path, monkeypatch):
    """Else a power cut may take the whole run with its directory, however well its files were saved."""
    synced: list[Path] = []
    monkeypatch.setattr(rundir, "sync_directory", synced.append)
    rundir.create(tmp_path / "runs" / "one").close()
    assert sorted(synced) == [tmp_path, tmp_path / "runs"]


def test_a_directory_whose_name_cannot_be_synced_is_used(tmp_path, monkeypatch):
    def fail(directory):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(rundir, "sync_directory", fail)
    rundir.create(tmp_path / "one").close()
