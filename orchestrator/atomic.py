"""Files that appear whole or not at all, also after a power cut.

A temporary file beside the target is written and synced, and renamed over the target.
Then the directory is synced, so that the rename itself lasts. A failed step raises its OSError; the caller
words it for the operator.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_PREFIX, _SUFFIX = ".mass-stop-", ".tmp"
_NO_MODES = (errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.ENOSYS)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def replacing(path: Path, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A binary file to write to, which takes the place of ``path`` when the block ends well.

    Until then it has another name in the same directory, readable by its owner only. In the end it has exactly
    ``mode``, whatever the umask, if the file system has modes. On any exception, in the block or while saving, the
    temporary file is removed and ``path`` keeps what it had. A symbolic link at ``path`` is replaced, not followed.

    Raises:
        OSError: the file cannot be written, saved or renamed, or ``path`` is a directory, a device or a pipe.
    """
    _refuse_special_file(path)
    temporary = path.with_name(f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}")
    file = os.fdopen(os.open(temporary, _NEW, 0o600), "wb")
    try:
        try:
            yield file
            file.flush()
            set_mode(file.fileno(), mode)  # the umask has no say
            os.fsync(file.fileno())  # not tried again if it fails: the second may succeed on lost pages
        finally:
            with suppress(OSError):  # after a failed write, the same error would be raised again
                file.close()
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def own_directory(path: Path) -> None:
    """Create the directory ``path`` with mode 0700. One that exists gets this mode.

    Raises:
        OSError: it cannot be created, or is a symbolic link, which may lead to a directory of another user.
    """
    path.mkdir(mode=0o700, exist_ok=True)
    if path.is_symlink():
        raise OSError(errno.ELOOP, "a symbolic link, which is not followed", str(path))
    set_mode(path, 0o700)


def set_mode(target: Path | int, mode: int) -> None:
    """Set the mode of a path or descriptor, if this user owns it and its file system has modes.

    Raises OSError if the disk fails.
    """
    try:
        os.chmod(target, mode)  # noqa: PTH101 - it takes a descriptor as well
    except OSError as error:
        if error.errno not in _NO_MODES:
            raise


def sync_directory(directory: Path) -> None:
    """Make renames and new files in ``directory`` survive a power cut. Raises OSError.

    Some network file systems cannot do this for a directory. Nothing happens on them.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def clear_leftovers(directory: Path) -> None:
    """Remove the temporary files of a process that was killed. Only for the process that locked ``directory``."""
    with suppress(OSError):
        for path in directory.glob(f"{_PREFIX}*{_SUFFIX}"):
            path.unlink(missing_ok=True)


def _refuse_special_file(path: Path) -> None:
    """A rename over ``/dev/null`` or ``/dev/stdout`` would work for root, and take them from everyone."""
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(kind):
        raise OSError(errno.EINVAL, "not a regular file, so it cannot be replaced", str(path))


def append(path: Path, data: bytes | bytearray | memoryview) -> None:
    """Writes ``data`` at the end of ``path``; a new file is 0600. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(data)


def sync(path: Path) -> None:
    """Makes the content of ``path`` survive a power cut. Raises OSError."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
