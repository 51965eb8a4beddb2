"""A report where the operator wants it: a file, a pipe, standard output."""

import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

from orchestrator.store import report as reports
from orchestrator.store.atomic import replacing


def copy_report(
    connection: sqlite3.Connection, target: str, write: Callable[[sqlite3.Connection, reports.Write], None]
) -> None:
    """Writes a report to ``target``: a path, whose folders are made, or ``-`` for standard output.

    Raises OSError; ConnectionError where whoever read it went away, which is no failure of this machine.
    """
    if target == "-":
        write(connection, sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
    elif Path(target).exists() and not Path(target).is_file():
        with Path(target).open("wb") as file:  # a pipe or a device takes no other file's place
            write(connection, file.write)
    else:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        with replacing(Path(target)) as file:
            write(connection, file.write)


def shown(target: str) -> str:
    """``target`` as a sentence names it."""
    return "standard output" if target == "-" else target
