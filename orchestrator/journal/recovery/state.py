"""The files of a journal without SQLite: what they hold, and whether the log belongs to the file."""

import os
import struct
from pathlib import Path

from orchestrator.journal import checksum, database, mark
from orchestrator.rundir import JOURNAL

_LOG_MISSING = "its log {} is missing"
_LOG_FOREIGN = "its log is missing, and the file {} beside it belongs to another journal or to another time"
LEFT = "the disk took no more"


class FileState:
    """The state of the files of the journal at ``path``, without SQLite. Raises RunDirectoryError or OSError.

    Attributes:
        damaged: the digest does not match.
        foreign: the log beside the journal belongs to another one.
        closed: the file alone holds everything.
        lost: why the journal ends before its run did, in a few words; None if that is not known yet.
        last: the mark of the last commit that the log should add.
    """

    def __init__(self, path: Path) -> None:
        database.require_journal(path)
        file, log, digest = mark.of_file(path), mark.read_log(path), checksum.holds(path)
        old_form = file is None
        self.last = log.last if log is not None else None
        self.damaged = digest is False
        self.foreign = log is not None and (not log.belongs_to(file) or (old_form and digest is True))
        adds = (
            log is not None and not self.foreign and (file is None or self.last is None or self.last > file)
        )
        # In form 3 a journal without write permission was left behind by its run; one with a digest was archived.
        left = database.was_left(path) or (old_form and digest is None and not path.stat().st_mode & 0o200)
        self.closed = digest is True and not adds and not left
        self.lost: str | None = None
        if left:
            self.lost = LEFT
        elif not self.closed and (log is None or self.foreign):
            self.lost = (_LOG_FOREIGN if self.foreign else _LOG_MISSING).format(mark.log_of(path).name)


def is_read_only(directory: Path) -> bool:
    """Whether the run in ``directory`` was archived, or lies on read-only media. Raises OSError.

    The mode counts for root as well.
    """
    if not directory.stat().st_mode & 0o222 or not os.access(directory, os.W_OK):
        return True
    journal = directory / JOURNAL
    return not journal.stat().st_mode & 0o222 and FileState(journal).lost != LEFT


def indexed_frames(path: Path) -> int:
    """How many frames the log had by the index of the process that wrote it last (-shm); 0 if that is not known.

    The index is never ahead of what a sync of the log has returned for (SQLite, "WAL-mode File Format", 2.1).
    """
    try:
        with path.with_name(f"{path.name}-shm").open("rb") as file:
            header = file.read(48)
    except OSError:
        return 0
    if len(header) < 48:
        return 0
    first = second = 0
    words = struct.unpack("=12I", header)
    for even, odd in zip(words[0:10:2], words[1:10:2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return words[4] if (first, second) == words[10:12] else 0
