"""Settings and tenants as TOML files."""

import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.settings.text import stripped

LARGEST = 16 << 20
"""Most bytes of a file. A tenant takes some hundred; a device may never end."""


def read_table(
    path: Path, what: str, check: Callable[[os.stat_result], None] | None = None
) -> dict[str, Any]:
    """The content of the TOML file ``path``; texts in it are stripped.

    ``check`` gets the owner and the mode of the opened file, and may refuse it. Raises UsageError, which calls the file
    ``what``, if it cannot be read as TOML.
    """
    try:
        with path.open("rb") as file:
            if check is not None:
                check(os.fstat(file.fileno()))
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise UsageError(f"{what} {path} cannot be read: it has more than {LARGEST >> 20} MB.")
        return {key: _stripped(value) for key, value in tomllib.loads(data.decode("utf-8-sig")).items()}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"{what} {path} cannot be read: {reason}.") from None


def _stripped(value: Any) -> Any:
    if isinstance(value, str):
        return stripped(value)
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    if isinstance(value, dict):
        return {key: _stripped(item) for key, item in value.items()}
    return value
