"""The question before what cannot be undone. It is put to the terminal, whatever standard input is."""

import os
import sys
from pathlib import Path
from typing import TextIO

from anyio import to_thread

from orchestrator.errors import UsageError
from orchestrator.logs import printable
from orchestrator.settings import ENVIRONMENTS
from orchestrator.store.report import ActionEntry

SHOWN = 5


def terminal() -> TextIO | None:
    """The controlling terminal, open for reading; None where there is nobody to ask."""
    if not sys.stderr.isatty():
        return None
    try:
        return Path("/dev/tty").open(encoding="utf-8", errors="replace")
    except OSError:
        return None


def needs_yes() -> UsageError:
    """What is said where there is nobody to ask."""
    return UsageError(
        "There is no terminal to ask for confirmation, and a stop cannot be undone: give --yes to go ahead."
    )


def question(base_url: str, keys: int, first: list[ActionEntry]) -> str:
    """What the operator is asked: the tenant, how many actions, and the first few."""
    name = next((name for name, url in ENVIRONMENTS.items() if url == base_url), None)
    production = "  PRODUCTION" if name and name.endswith("-prod") else ""
    lines = [f"Tenant:  {base_url}{f' ({name})' if name else ''}{production}", f"Actions: {keys}"]
    for action in first:
        labels = "  ".join(f"{name}={value}" for name, value in action.labels.items())
        lines.append(printable(f"         {action.bulk_key}  {labels}"))
    if keys > len(first):
        lines.append(f"         and {keys - len(first)} more")
    lines.append(
        f"Stop {'it' if keys == 1 else f'all {keys}'}? Records processed so far stay processed. [y/N] "
    )
    return "\n".join(lines)


async def agree(tty: TextIO, text: str) -> None:
    """Puts the question; raises UsageError where the answer is not yes."""
    sys.stderr.write(text)
    sys.stderr.flush()
    answer = await to_thread.run_sync(os.read, tty.fileno(), 1024, abandon_on_cancel=True)
    if answer.decode("utf-8", "replace").strip().lower() not in ("y", "yes"):
        raise UsageError("Nothing was stopped: the answer was not yes.")
