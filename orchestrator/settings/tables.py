"""Settings and tenants as TOML files."""

import tomllib
from pathlib import Path
from typing import Any

from orchestrator.errors import UsageError

LARGEST = 16 << 20
"""Bytes of a file: a tenant takes some hundred, and a device has no end."""


def read_table(path: Path, what: str) -> dict[str, Any]:
    """What the file ``path`` holds. Raises UsageError, which calls it ``what``, where it cannot be read as TOML."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise UsageError(f"{what} {path} cannot be read: it has more than {LARGEST >> 20} MB.")
        return tomllib.loads(data.decode("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{what} {path} cannot be read: {reason}.") from None
