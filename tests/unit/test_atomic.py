"""Files that appear completely or not at all."""

import errno
import os
import resource
import stat
from pathlib import Path

import pytest

from orchestrator.atomic import own_directory, replacing, sync_directory


def write(path: Path, data: bytes, **options) -> None:
    with replacing(path, **options) as file:
        file.write(data)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "report.json"
    path.write_bytes(b"old")
    return path


class Syncs:
    """Every fsync by the kind of file; an entry in ``fail`` makes the nth one fail."""

    def __init__(self) -> None:
        self.real = os.fsync
        self.seen: list[str] = []
        self.fail: dict[int, int] = {}

    def __call__(self, descriptor: int) -> None:
        self.seen.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        if len(self.seen) in self.fail:
            raise OSError(self.fail[len(self.seen)], "made up")
        self.real(descriptor)


@pytest.fixture
def syncs(monkeypatch):
    syncs = Syncs()
    monkeypatch.setattr(os, "fsync", syncs)
    return syncs


def write_half(path: Path, error: type[BaseException]) -> None:
    with replacing(path) as file:
        file.write(b"half")
        raise error


def test_the_file_has_the_written_content(tmp_path):
    write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"


def test_an_existing_file_is_replaced(old):
    write(old, b"new")
    assert old.read_bytes() == b"new"


def test_nothing_else_is_left_in_the_directory(old):
    write(old, b"new")
    assert list(old.parent.iterdir()) == [old]


def test_before_the_end_the_old_content_is_unchanged(old):
    with replacing(old) as file:
        file.write(b"new")
        file.flush()
        assert old.read_bytes() == b"old"


def test_only_the_owner_can_read_the_temporary_file(tmp_path):
    with replacing(tmp_path / "a", mode=0o644):
        assert [mode(path) for path in tmp_path.iterdir()] == [0o600]


@pytest.mark.parametrize("wanted", [0o600, 0o644])
def test_the_mode_is_the_one_asked_for_whatever_the_umask(tmp_path, wanted):
    before = os.umask(0o277)
    try:
        write(tmp_path / "a", b"", mode=wanted)
    finally:
        os.umask(before)
    assert mode(tmp_path / "a") == wanted


def test_a_wider_mode_of_the_old_file_is_not_kept(old):
    old.chmod(0o666)
    write(old, b"new")
    assert mode(old) == 0o600


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_an_exception_leaves_the_old_content(old, error):
    with pytest.raises(error):
        write_half(old, error)
    assert old.read_bytes() == b"old"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_no_temporary_file(tmp_path, error):
    with pytest.raises(error):
        write_half(tmp_path / "a", error)
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_synced_before_and_the_directory_after_the_rename(old, syncs):
    write(old, b"new")
    assert syncs.seen == ["file", "directory"]


def test_a_failed_fsync_is_not_retried(old, syncs):
    syncs.fail[1] = errno.EIO
    with pytest.raises(OSError, match="made up"):
        write(old, b"new")
    assert syncs.seen == ["file"]


def test_a_failed_fsync_leaves_the_directory_unchanged(old, syncs):
    syncs.fail[1] = errno.EIO
    with pytest.raises(OSError, match="made up"):
        write(old, b"new")
    assert {path: path.read_bytes() for path in old.parent.iterdir()} == {old: b"old"}


def test_a_failed_fsync_of_the_directory_is_reported(old, syncs):
    syncs.fail[2] = errno.EIO
    with pytest.raises(OSError, match="made up"):
        write(old, b"new")


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_directories_is_accepted(tmp_path, syncs, code):
    syncs.fail[1] = code
    sync_directory(tmp_path)


@pytest.fixture
def small_files_only():
    """No file may grow past 100 KB: a write that fails in its middle, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [100_001, 10_000_000])
def test_a_failed_write_leaves_the_directory_unchanged(old, small_files_only, size):
    with pytest.raises(OSError, match="File too large"):
        write(old, b"x" * size)
    assert {path: path.read_bytes() for path in old.parent.iterdir()} == {old: b"old"}


def test_a_symbolic_link_is_replaced_and_not_followed(old, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(old)
    write(link, b"new")
    assert (old.read_bytes(), link.is_symlink()) == (b"old", False)


def test_a_directory_is_not_replaced(tmp_path):
    with pytest.raises(OSError, match="not a regular file"):
        write(tmp_path, b"new")


def test_a_link_to_a_device_is_not_replaced(tmp_path):
    (tmp_path / "link").symlink_to("/dev/null")
    with pytest.raises(OSError, match="not a regular file"):
        write(tmp_path / "link", b"new")


def test_a_missing_directory_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        write(tmp_path / "none" / "a", b"new")


def test_a_name_of_the_maximum_length_works(tmp_path):
    write(tmp_path / ("n" * 255), b"new")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"new"


def test_a_file_is_written_where_modes_cannot_be_set(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refuse)
    with replacing(tmp_path / "file") as file:
        file.write(b"whole")
    own_directory(tmp_path / "directory")
    assert (tmp_path / "file").read_bytes() == b"whole"
