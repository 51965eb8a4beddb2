"""The file of a journal at work: whether it holds everything by itself, and whether it is still the one at its path."""

import os
from contextlib import suppress
from pathlib import Path

from orchestrator.journal import checksum
from orchestrator.journal.mark import log_of


class JournalFile:
    """The journal at ``path``, held open by a session. Raises OSError if it cannot be opened.

    Closing any descriptor of a file releases all locks that the process has on it. So this descriptor stays open until
    SQLite has closed its own.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        found = os.fstat(self._descriptor)
        self._file = found.st_dev, found.st_ino
        self._log: tuple[int, int] | None = None
        self._alone = True

    def begin(self) -> bool:
        """Records that the log belongs to the file from now on. Returns whether that is new. Raises OSError."""
        if not self._alone:
            return False
        checksum.remove(self._descriptor)
        self._alone = False
        self._log = _identity_of(log_of(self.path))
        return True

    def missing(self) -> list[Path]:
        """The file and its log as far as they were removed or replaced while they were in use."""
        found = []
        if _identity_of(self.path) != self._file:
            found.append(self.path)
        if not self._alone and _identity_of(log_of(self.path)) != self._log:
            found.append(log_of(self.path))
        return found

    def finish(self) -> None:
        """Records that the file holds everything without its log. Raises OSError."""
        checksum.append(self._descriptor)

    def close(self) -> None:
        """Releases the file. Only after SQLite has closed it."""
        with suppress(OSError):
            os.close(self._descriptor)


def _identity_of(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
