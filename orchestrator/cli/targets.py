"""Where a run may write: its directory, and the copy of its report. Other users must not have prepared the place."""

import os
import stat
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.rundir import HANDOVER, JOURNAL, LOG, PAGE
from orchestrator.settings import Settings
from orchestrator.settings.owners import group_name, is_foreign, user_name

MOST_LINKS = 40
"""Links that a path may lead through; Linux follows as many."""


def refuse_run_directory(out: str | None, warn: Callable[[str], None]) -> None:
    """Raises UsageError if every user could replace a run directory ``out``, or the default one.

    ``warn`` receives a sentence if the group could, or if the file system keeps no modes.
    """
    try:
        path = Path(out or "runs/new").absolute()
        parent = next(folder for folder in path.parents if folder.is_dir())
        mode, group = parent.stat().st_mode, parent.stat().st_gid
    except OSError:
        return  # the directory cannot be made either, which is reported then
    if mode & stat.S_ISVTX or not mode & (stat.S_IWOTH | stat.S_IWGRP):
        return
    if mode & stat.S_IWOTH and keeps_modes(parent):
        raise UsageError(
            f"--out: every user of this machine can replace what is in {parent}. "
            f"Give --out a folder that only you can change, or run: chmod +t {parent}"
        )
    if mode & stat.S_IWOTH:
        warn(
            f"The file system of {parent} keeps no modes: other users may be able to read and change the run."
        )
    elif out is not None:
        warn(f"The group {group_name(group)} can replace the run directory: it can change {parent}.")


def keeps_modes(folder: Path) -> bool:
    """Whether the file system of ``folder`` keeps the mode of what is made there. vfat and many shares do not."""
    try:
        made = Path(tempfile.mkdtemp(prefix=".mass-stop-", dir=folder))
    except OSError:
        return True
    try:
        return not made.stat().st_mode & 0o077  # mkdtemp asks for 0700
    finally:
        made.rmdir()


def refuse_report_target(report: str | None, option: str = "--report") -> None:
    """Raise UsageError, which names ``option``, if no file can be written to ``report``: before the run starts."""
    if report in (None, "", "-"):
        return
    path = Path(report)
    try:
        if reason := distrust(report):
            raise UsageError(f"{option}: {reason}. Name another path.")
        if path.is_dir():
            raise UsageError(f"{option}: {report} is a directory; name a file in it.")
        name = path.resolve().name
        if name in (JOURNAL, LOG) or name.startswith(f"{JOURNAL}-"):
            raise UsageError(f"{option}: {report} is the name of a run's journal or log; name another path.")
        if path.exists() and not path.is_file():
            return  # a pipe or a device
        above = next((folder for folder in path.parents if folder.exists()), None)
    except OSError as error:
        raise UsageError(f"{option}: {report} cannot be written: {error.strerror}.") from None
    if above is not None and not above.is_dir():
        raise UsageError(f"{option}: {above} is a file, not a directory; name another path.")
    if above is not None and not os.access(above, os.W_OK | os.X_OK):
        raise UsageError(f"{option}: this user may write nothing in {above}; name another path.")


def keep_sources(sources: Sequence[str], settings: Settings) -> None:
    """Raise UsageError if a file of the run would replace one of its ``sources``."""
    files = [(settings.report, "--report"), (settings.metrics, "--metrics")]
    if settings.out is not None:
        files += [(str(Path(settings.out) / name), "--out") for name in (HANDOVER, PAGE, LOG)]
    for source in sources:
        for path, option in files:
            with suppress(OSError, ValueError):  # one of them does not exist
                if path is not None and Path(source).is_file() and Path(path).samefile(source):
                    raise UsageError(
                        f"{option}: the run would overwrite {source}, which is its input; name another path."
                    )


def distrust(target: str) -> str | None:
    """Why a report must not be written to ``target``; None if it may be.

    A link, a pipe or a device of another user would hand the report to that user. A descriptor of this process
    (``/dev/stdout``, process substitution) comes from the program that started it, and is trusted. Raises OSError.
    """
    path = Path(target)
    for _ in range(MOST_LINKS):
        if _is_own_descriptor(path):
            return None
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISLNK(found.st_mode):
            return _distrust(path, found)
        if is_foreign(found):
            return f"{path} is a link of {user_name(found.st_uid)}, and is not followed"
        path = path.parent / path.readlink()
    return f"{target} is a link that leads to itself"


def _distrust(path: Path, found: os.stat_result) -> str | None:
    if stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode) or not is_foreign(found):
        return None
    # In a container without its own root, /dev/null belongs to an unknown user.
    if stat.S_ISCHR(found.st_mode) and found.st_rdev == Path(os.devnull).stat().st_rdev:
        return None
    kind = "pipe" if stat.S_ISFIFO(found.st_mode) else "device or socket"
    return f"{path} is a {kind} of {user_name(found.st_uid)}, who would receive the report"


def _is_own_descriptor(path: Path) -> bool:
    return str(path.parent.resolve()) in (f"/proc/{os.getpid()}/fd", "/dev/fd")
