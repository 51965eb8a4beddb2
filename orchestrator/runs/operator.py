"""The operator of a session, for the journal and the report."""

import os
import pwd
import socket
from typing import Literal

from msgspec import Struct

from orchestrator.errors import UsageError
from orchestrator.journal.entries import Operator
from orchestrator.settings import Settings


class Origin(Struct, frozen=True):
    """Where a session comes from: a command line without secrets, and how the run was confirmed."""

    command_line: tuple[str, ...] = ()
    confirmed: Literal["terminal", "option", "program"] | None = None


NO_ORIGIN = Origin()


def operator_of(settings: Settings, origin: Origin, *, several: bool) -> Operator:
    """The operator of a session of one tenant or of ``several``."""
    return Operator(
        user=_user(),
        host=socket.gethostname(),
        client_id=None if several or settings.token or settings.token_file else settings.client_id,
        command_line=origin.command_line,
        confirmed=origin.confirmed,
        reason=settings.reason,
        ticket=settings.ticket,
    )


def require_evidence(settings: Settings) -> None:
    """Raise UsageError if a reason or a ticket is required and missing."""
    for name, needed in (("reason", settings.require_reason), ("ticket", settings.require_ticket)):
        if needed and not getattr(settings, name):
            raise UsageError(f"A run needs a {name} here (require-{name} is set): add --{name} TEXT.")


def _user() -> str:
    """The user of this process, not of its environment; with the user behind sudo, as sudo names it."""
    number = os.getuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:
        name = f"user {number}"
    behind = os.environ.get("SUDO_USER")
    return f"{name} (by sudo from {behind})" if number == 0 and behind else name
