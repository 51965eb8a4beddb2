"""Find and check ``mass-stop.toml`` in the working directory, the configuration file that is read without an option.

A user who can write the file could send the credentials to another address, or remove the confirmation. As ssh does
with its own files, the product therefore refuses a file of another user.
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path

from orchestrator.errors import UsageError
from orchestrator.settings.owners import group_name, is_foreign, user_name

NAME = "mass-stop.toml"

Warn = Callable[[str], None]

SHOWN = (
    "yes", "env", "base_url", "tenants", "proxy", "ca_file", "scheduler", "insecure_scheduler", "on_end",
)  # fmt: skip
"""Settings that affect where credentials are sent, which code runs, or whether the run asks for confirmation."""


def find() -> Path | None:
    """Return the file in the working directory, or None. Raises UsageError for a symbolic link of another user."""
    path = Path(NAME)
    if not path.is_file():
        return None
    if path.is_symlink():
        _refuse_foreign(path.lstat())
    return path


def check(file: os.stat_result, warn: Warn) -> None:
    """Raise UsageError if another user owns the file or everyone can change it. Warn if its group can change it."""
    _refuse_foreign(file)
    if file.st_mode & stat.S_IWOTH:
        raise UsageError(
            f"{NAME} in this folder is not read: every user of this machine can change it. "
            f"Run: chmod o-w {NAME} - or name the file with --config {NAME}."
        )
    if file.st_mode & stat.S_IWGRP:
        warn(
            f"{NAME} in this folder can be changed by the group {group_name(file.st_gid)}. Run: chmod g-w {NAME}"
        )


def _refuse_foreign(file: os.stat_result) -> None:
    if is_foreign(file):
        raise UsageError(
            f"{NAME} in this folder is not read: it belongs to {user_name(file.st_uid)}, who could send your "
            f"credentials elsewhere. Check it and name it with --config {NAME}, or remove it."
        )
