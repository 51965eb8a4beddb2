"""Messages on standard error; and standard output without Python's buffer.

The buffer would hide failures, and its lock would block other threads while a pipe is not read.
"""

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from orchestrator.errors import StorageError
from orchestrator.printable import printable

STANDARD_OUTPUT = 1


def put_out(data: bytes) -> None:
    """Writes all of ``data`` to standard output. Raises OSError; ConnectionError if its reader closed it."""
    left = memoryview(data)
    try:
        while left:
            left = left[os.write(STANDARD_OUTPUT, left) :]
    except OSError as error:
        # A terminal that was closed reports the same error as a failing disk.
        if error.errno == errno.EIO and stat.S_ISCHR(os.fstat(STANDARD_OUTPUT).st_mode):
            raise BrokenPipeError(errno.EPIPE, "the terminal is gone") from error
        raise


def say(sentence: str) -> None:
    """Writes a sentence for the operator to standard error, with the program's name before it.

    It is one line: control and other hidden characters, of a file name for example, are escaped. Standard error is a
    :class:`~orchestrator.background.BackgroundStream` in every command: a write to it never fails and never waits.
    """
    sys.stderr.write(f"mass-stop: {printable(sentence.rstrip())}\n")


def print_out(text: str) -> None:
    """Writes ``text`` to standard output, whose reader may close it early. Raises StorageError."""
    with _reported():
        put_out(text.encode())


def echo(text: str) -> None:
    """Writes a line to ``sys.stdout``, as click does with help. Its reader may close it early. Raises StorageError."""
    with _reported():
        click.echo(text)


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except ConnectionError:
        pass
    except OSError as error:
        raise StorageError(f"Nothing can be written to standard output: {error.strerror}.") from error
