"""Bulk keys in: a file, a named pipe or standard input becomes a stream of rows.

Read from the descriptor upwards, one file a step, each a generator that asks the one below only when it must:

    raw       descriptor -> bytes      tells before it waits, hashes, unpacks gzip
    text      bytes -> lines           checks UTF-8, bounds a line
    records   lines -> cells           finds the delimiter, counts lines, contains a stray quote
    rows      cells -> InputRow        finds the key column, names the labels, says what is malformed

All of it blocks and belongs in a thread. Memory does not grow with the input.
"""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from orchestrator.errors import InputError
from orchestrator.model import InputRow
from orchestrator.sources.raw import Descriptor, sentence, unpack
from orchestrator.sources.records import parse_records
from orchestrator.sources.rows import key_headers, parse_rows
from orchestrator.sources.text import decode, split_lines

__all__ = ["Source", "open_source"]

_STDIN = 0


def open_source(spec: str) -> "Source":
    """The source named on the command line: a path, or ``-`` for standard input (descriptor 0).

    A regular file is opened once to see that it can be; nothing is read yet and no descriptor is held.

    Raises:
        InputError: there is no such file, it is a directory, or it may not be read.
    """
    if spec == "-":
        return Source("<stdin>", None)
    path = Path(spec).absolute()
    try:
        if not stat.S_ISFIFO(path.stat().st_mode):  # opening a named pipe would wait for its writer
            path.open("rb", buffering=0).close()
    except (OSError, ValueError) as error:
        raise InputError(sentence(spec, error)) from error
    return Source(spec, str(path))


class Source:
    """One source of bulk keys.

    Attributes:
        name: the path as it was given, or ``<stdin>``.
        path: the absolute path; None for standard input.
        sha256: hex digest of the raw bytes (compressed ones for gzip), once they were read to their end.
        size: bytes read, once they were read to their end.
        rows: rows yielded so far.
    """

    def __init__(self, name: str, path: str | None) -> None:
        self.name = name
        self.path = path
        self.sha256: str | None = None
        self.size = 0
        self.rows = 0

    def read(
        self,
        *,
        column: str | None = None,
        weight_column: str | None = None,
        tenant_column: str | None = None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> Iterator[InputRow]:
        """Yields every record once, in order, malformed ones included, each as soon as its last line came.

        A regular file is checked to its end before the first row; a pipe chunk by chunk, as it comes.

        Args:
            column: header (or number, from 1) of the column that holds the key; by default it is found.
            weight_column: header or number of the column whose number becomes ``InputRow.weight``.
            tenant_column: header or number of the column that becomes ``InputRow.tenant``.
            on_wait: called right before whatever may block; rows already yielded can be passed on.

        Raises:
            InputError: the source cannot be read, is not UTF-8 text, or lacks a column that was asked for.
        """
        self.sha256, self.rows = None, 0
        fd = self._open(on_wait)
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                self._check(fd, on_wait)
            raw = Descriptor(fd, self.name, on_wait)
            lines = split_lines(decode(unpack(raw, self.name), self.name))
            records = parse_records(lines, key_headers(column))
            for row in parse_rows(records, self.name, column, weight_column, tenant_column):
                self.rows += 1
                yield row
            self.sha256, self.size = raw.sha256.hexdigest(), raw.size
        finally:
            if fd != _STDIN:
                os.close(fd)

    def _open(self, on_wait: Callable[[], None]) -> int:
        if self.path is None:
            return _STDIN
        on_wait()  # a named pipe opens when its writer does
        try:
            return os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(sentence(self.name, error)) from error

    def _check(self, fd: int, on_wait: Callable[[], None]) -> None:
        """Reads a regular file to its end, so that no key leaves before all of it is known to be sound."""
        start = os.lseek(fd, 0, os.SEEK_CUR)
        for _ in decode(unpack(Descriptor(fd, self.name, on_wait), self.name), self.name):
            pass
        os.lseek(fd, start, os.SEEK_SET)
