"""Secrets: which texts can be one, and which files may hold one."""

import os
import re
import shlex
import stat

from orchestrator.errors import UsageError
from orchestrator.settings.forms import Secret
from orchestrator.settings.text import from_variable, stripped

LARGEST = 65_536
"""Bytes that are read of a secret file."""

_SCHEME = re.compile(r"\A(authorization:\s*)?bearer\s+", re.IGNORECASE)
"""A token may have been copied together with ``Bearer``, the name of its scheme."""


def checked_secret(text: str, origin: str) -> Secret:
    """``text`` as a secret. Raises UsageError, without the text, if no header can carry it."""
    if not re.fullmatch(r"[!-~]+", text, re.ASCII):
        raise UsageError(f"{origin} holds characters that no header can carry (white space or beyond ASCII).")
    return Secret(text)


def secret_of_variable(text: str, origin: str) -> Secret | None:
    """The secret in an environment variable; None if it is empty. Raises UsageError, without the text."""
    text = _SCHEME.sub("", from_variable(text))
    return checked_secret(text, origin) if text else None


def secret_in(path: str, origin: str) -> Secret:
    """The secret in the file ``path``. Raises UsageError if the file cannot be read, or if others can read it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, encoding="utf-8") as file:
            if reader := readable_by(os.fstat(descriptor), os.geteuid()):
                raise UsageError(
                    f"{origin}: {path} can be read by {reader}; run: chmod 600 {shlex.quote(path)} "
                    "(in a Kubernetes volume, set defaultMode: 0440; for a Docker secret, set mode: 0400)."
                )
            text = _SCHEME.sub("", stripped(file.read(LARGEST)))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise UsageError(f"{origin}: {path} cannot be read: {reason}.") from None
    if not text:
        raise UsageError(f"{origin}: {path} is empty.")
    return checked_secret(text, f"{origin}: {path}")


def readable_by(file: os.stat_result, user: int) -> str | None:
    """The others with access to a secret ``file`` besides ``user`` and root, in words; None if there are none.

    A group has access by intent if the file belongs to root (Kubernetes mounts secrets as root:group, mode 0440) or to
    another user. A pipe has no mode that matters.
    """
    if not stat.S_ISREG(file.st_mode):
        return None
    if file.st_mode & stat.S_IRWXO:
        return "others"
    if file.st_mode & stat.S_IRWXG and file.st_uid == user != 0:
        return "its group"
    return None
