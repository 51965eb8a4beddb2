"""Read bulk keys from a file, a named pipe, standard input or the command line, and yield them as rows.

Each module is one step: a generator that reads from the previous step only when it needs more.

    raw       descriptor -> bytes      reports that it may wait, hashes, unpacks gzip
    text      bytes -> lines           checks UTF-8, limits a line
    records   lines -> cells           finds the delimiter, counts lines, limits a stray quote
    rows      cells -> InputRow        finds the key columns, names the labels, explains malformed rows
    json_rows text -> InputRow         the same for JSON

All steps block, so they belong in a thread. Memory does not grow with the input.
"""

import hashlib
import os
import select
import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from orchestrator.errors import InputError
from orchestrator.model import InputRow
from orchestrator.sources.cells import bulk_key, looks_damaged
from orchestrator.sources.json_rows import check_json, is_json, parse_json
from orchestrator.sources.raw import Descriptor, sentence, unpack
from orchestrator.sources.records import parse_records
from orchestrator.sources.rows import NOTHING_CHOSEN, Wanted, parse_rows
from orchestrator.sources.text import decode, read_start, refuse_document, split_lines

ARGUMENTS = "<arguments>"
"""The name of a source that consists of keys on the command line."""

STANDARD_INPUT = "<stdin>"
"""The name of standard input as a source."""

_STDIN = 0


def is_key_argument(spec: str) -> bool:
    """Return whether an argument is a bulk key and not the name of a file."""
    return bulk_key(spec) is not None and not os.path.lexists(spec)


def join_key_arguments(specs: Sequence[str]) -> list[str]:
    """Return the arguments, with neighbouring keys joined into one source: ``KEY KEY``."""
    joined: list[str] = []
    for are_keys, group in groupby(specs, is_key_argument):
        arguments = list(group)
        joined += [" ".join(arguments)] if are_keys else arguments
    return joined


def open_source(spec: str) -> "Source":
    """Return the source of one argument: a path, ``-`` for standard input (descriptor 0), or keys with spaces between.

    A regular file is opened once as a test. Nothing is read, and no descriptor stays open.

    Raises:
        InputError: the file does not exist, is a directory, or must not be read.
    """
    if spec == "-":
        return Source(STANDARD_INPUT, None)
    if all(map(is_key_argument, spec.split(" "))):
        return _KeyArguments(spec)
    path = Path(spec).absolute()
    try:
        if not stat.S_ISFIFO(path.stat().st_mode):  # opening a named pipe would block until it has a writer
            path.open("rb", buffering=0).close()
    except (OSError, ValueError) as error:
        almost = f" A bulk key has 32 letters or digits; this has {len(spec)}." if looks_damaged(spec) else ""
        raise InputError(sentence(spec, error) + almost) from error
    return Source(spec, _lasting(path), opened_at=str(path))


def _lasting(path: Path) -> str | None:
    """Return the path at which a later process finds the source, or None for a shell's pipe as in ``<(command)``."""
    if not str(path).startswith(("/dev/fd/", "/dev/stdin", "/proc/")):
        return str(path)
    behind = os.path.realpath(path)
    return behind if Path(behind).is_file() and not behind.startswith("/proc/") else None


class Content(NamedTuple):
    """The number of bytes of a file and their SHA-256."""

    size: int
    sha256: str


def content_of(path: Path) -> Content | None:
    """Return the content of a regular file, or None for any other. Raises OSError."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Content(file.tell(), digest)


class Source:
    """One source of bulk keys.

    Attributes:
        name: the path as it was given, or ``<stdin>``.
        path: the absolute path; None for standard input and other pipes that a later process cannot open.
        sha256: hex digest of the raw bytes (compressed ones for gzip), after all were read.
        size: number of raw bytes, after all were read.
        content: size and digest of a regular file, known before the first row.
        skipped: rows of a ``needs-person.csv`` without a key, which are not yielded.
    """

    def __init__(self, name: str, path: str | None, *, opened_at: str | None = None) -> None:
        """``opened_at`` is the path to open, or None for descriptor 0."""
        self.name = name
        self.path = path
        self._opened_at = opened_at
        self.sha256: str | None = None
        self.size = 0
        self.content: Content | None = None
        self.skipped = 0

    def read(
        self, wanted: Wanted = NOTHING_CHOSEN, on_wait: Callable[[], None] = lambda: None
    ) -> Generator[InputRow, None, None]:
        """Yield a row for each key and each malformed row, in order, as soon as its last line is read.

        A regular file is checked to its end before the first row; a pipe is read chunk by chunk. ``on_wait`` is called
        before every operation that may block, so that the caller can process earlier rows first.

        Raises:
            InputError: the source cannot be read, is not UTF-8 text, lacks a chosen column, or has an ambiguous key
                column.
        """
        self.sha256, self.skipped = None, 0
        fd = self._open(on_wait)
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                self._check(fd, on_wait)
            raw = Descriptor(fd, self.name, on_wait)
            for row in self._parse(raw, wanted):
                if row is None:
                    self.skipped += 1
                else:
                    yield row
            self.sha256, self.size = raw.sha256.hexdigest(), raw.size
        finally:
            if fd != _STDIN:
                os.close(fd)

    def ready(self) -> bool:
        """Return whether a read returns at once: always for a file, and for standard input if it has data."""
        return self.is_file() or (self._opened_at is None and bool(select.select([_STDIN], [], [], 0)[0]))

    def is_file(self) -> bool:
        """Return whether the source is a regular file, which has an end."""
        if self._opened_at is not None:
            return Path(self._opened_at).is_file()
        return stat.S_ISREG(os.fstat(_STDIN).st_mode)

    def _open(self, on_wait: Callable[[], None]) -> int:
        if self._opened_at is None:
            return _STDIN
        on_wait()  # opening a named pipe blocks until it has a writer
        try:
            return os.open(self._opened_at, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(sentence(self.name, error)) from error

    def _parse(self, raw: Descriptor, wanted: Wanted) -> Iterator[InputRow | None]:
        start, pieces = read_start(decode(unpack(raw, self.name), self.name))
        refuse_document(start, self.name)
        if is_json(start):
            return parse_json(pieces, self.name, wanted)
        records = parse_records(split_lines(pieces), wanted.headers, any_key=wanted.any_key)
        return parse_rows(records, self.name, wanted)

    def _check(self, fd: int, on_wait: Callable[[], None]) -> None:
        """Read a regular file to its end, so that no key is sent from a file with an unreadable part."""
        begin = os.lseek(fd, 0, os.SEEK_CUR)
        raw = Descriptor(fd, self.name, on_wait)
        start, pieces = read_start(decode(unpack(raw, self.name), self.name))
        if is_json(start):
            check_json(pieces, self.name)
        for _ in pieces:
            pass
        self.content = Content(raw.size, raw.sha256.hexdigest())
        os.lseek(fd, begin, os.SEEK_SET)


class _KeyArguments(Source):
    """Keys from the command line, in ``path`` with spaces between. ``row`` is the position of the key."""

    def __init__(self, keys: str) -> None:
        super().__init__(ARGUMENTS, keys)

    def read(self, *_: Any) -> Generator[InputRow, None, None]:
        """Yield a row for each key."""
        assert self.path is not None
        self.size = len(self.path)
        for number, key in enumerate(filter(None, map(bulk_key, self.path.split(" "))), 1):
            yield InputRow(number, key)
