"""A report where the operator wants it: a file, a pipe, standard output."""

import errno
from collections.abc import Callable
from pathlib import Path

from orchestrator.atomic import replacing
from orchestrator.cli.output import put_out
from orchestrator.cli.targets import distrust
from orchestrator.report import Write

PIECE = 1 << 20


def copy_report(target: str, write_to: Callable[[Write], None]) -> None:
    """Calls ``write_to`` with a function that writes to ``target``: a path (folders are made), or ``-``.

    Raises OSError; ConnectionError if the reader closed the target, which is not a failure of this machine.
    """
    if target == "-":
        write_to(put_out)
    elif reason := distrust(target):
        raise PermissionError(errno.EPERM, reason, target)
    elif Path(target).exists() and not Path(target).is_file():
        with Path(target).open("wb") as file:  # a pipe or a device takes no other file's place
            write_to(file.write)
    else:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        with replacing(Path(target)) as file:
            write_to(file.write)


def read_out(path: Path, write: Write) -> None:
    """Writes the file at ``path`` to ``write``. Raises OSError."""
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            write(piece)


def shown(target: str) -> str:
    """``target`` as a sentence names it."""
    return "standard output" if target == "-" else target
