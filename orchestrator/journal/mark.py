"""The identity of a journal, which its log repeats with every commit.

SQLite applies any write-ahead log that lies beside a database, even one of another database. So the journal holds one
row with a random id and the number of its latest commit, and every commit writes that row. The row has a page of its
own, so that it can be read from the file and from the log without SQLite. Together they show whether the log belongs
to the file, and whether commits are missing between them.
"""

import os
import re
import secrets
import sqlite3
from pathlib import Path
from typing import BinaryIO, NamedTuple

PAGE = 4096
"""Bytes of a page of every journal."""

_ROOT = 2  # the table is the first of the schema
_TEXT = re.compile(rb"mass-stop journal ([0-9a-f]{16}) (\d{12})")
_MAGIC = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_HEADER, _FRAME = 32, 24


class Mark(NamedTuple):
    """The id of a journal and the number of its latest commit."""

    id: str
    commit: int

    def __str__(self) -> str:
        return f"mass-stop journal {self.id} {self.commit:012d}"

    @property
    def next(self) -> "Mark":
        return Mark(self.id, self.commit + 1)


def new() -> Mark:
    """The mark of a new journal."""
    return Mark(secrets.token_hex(8), 0)


def read(connection: sqlite3.Connection) -> Mark | None:
    """The mark of the journal behind ``connection``, with its log. Raises sqlite3.Error."""
    row = connection.execute("SELECT text FROM mark").fetchone()
    return _found(str(row[0]).encode()) if row else None


class Log(NamedTuple):
    """The marks of the first and the last commit in a log; None for commits without a mark."""

    first: Mark | None
    last: Mark | None

    def belongs_to(self, file: Mark | None) -> bool:
        """Whether this log continues the file with this mark. A journal of an old form has no mark and takes any."""
        if file is None:
            return True
        if self.first is None or self.last is None or {self.first.id, self.last.id} != {file.id}:
            return False
        return self.first.commit <= file.commit + 1 and file.commit <= self.last.commit


def of_file(journal: Path) -> Mark | None:
    """The mark in the file itself, without its log. Raises OSError."""
    with journal.open("rb") as file:
        file.seek((_ROOT - 1) * PAGE)
        return _found(file.read(PAGE))


def log_of(journal: Path) -> Path:
    """The path of the log of ``journal``."""
    return journal.with_name(f"{journal.name}-wal")


def read_log(journal: Path) -> Log | None:
    """The commits in the log of ``journal``; None without a log or without a commit in it. Raises OSError."""
    try:
        with log_of(journal).open("rb") as file:
            return _read(file)
    except FileNotFoundError:
        return None


def _read(file: BinaryIO) -> Log | None:
    header = file.read(_HEADER)
    if len(header) < _HEADER or header[:4] not in _MAGIC:
        return None
    if int.from_bytes(header[8:12], "big") != PAGE:
        return Log(None, None)
    salts = header[16:24]
    commits: list[Mark | None] = []
    seen = None
    size = os.fstat(file.fileno()).st_size
    for start in range(_HEADER, size - _FRAME - PAGE + 1, _FRAME + PAGE):
        file.seek(start)
        frame = file.read(_FRAME)
        if frame[8:16] != salts:  # an earlier generation of the log
            break
        if int.from_bytes(frame[:4], "big") == _ROOT:
            seen = _found(file.read(PAGE))
        if int.from_bytes(frame[4:8], "big"):  # the last frame of a commit
            commits = [*commits[:1], seen]
    return Log(commits[0], commits[-1]) if commits else None


def _found(data: bytes) -> Mark | None:
    match = _TEXT.search(data)
    return Mark(match[1].decode(), int(match[2])) if match else None
