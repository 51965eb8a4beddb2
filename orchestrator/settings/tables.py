"""Read settings and tenants from TOML files."""

import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.settings.text import stripped

LARGEST = 16 << 20
"""Most bytes in a TOML file. A tenant needs some hundred bytes. A device may have no end."""


def read_table(
    path: Path, what: str, check: Callable[[os.stat_result], None] | None = None
) -> dict[str, Any]:
    """Return the content of the TOML file ``path``. Texts in it are stripped.

    ``check`` receives owner and mode of the opened file, and may refuse it. Raises UsageError if the file cannot be
    read as TOML. Its sentence calls the file ``what``.
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
        if isinstance(error, UnicodeDecodeError):
            reason = "it is not text in UTF-8; save it in UTF-8"
        raise UsageError(f"{what} {path} cannot be read: {reason}.") from None


def _stripped(value: Any) -> Any:
    if isinstance(value, str):
        return stripped(value)
    if isinstance(value, list):
        return [_stripped(item) for item in value]
    if isinstance(value, dict):
        return {key: _stripped(item) for key, item in value.items()}
    return value
