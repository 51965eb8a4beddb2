"""Read and check secrets in variables and files."""

import os
import re
import shlex
import stat

from orchestrator.errors import UsageError
from orchestrator.settings.forms import Secret
from orchestrator.settings.text import from_variable, stripped

LARGEST = 65_536
"""Most bytes that are read from a secret file."""

_SCHEME = re.compile(r"\A(authorization:\s*)?bearer\s+", re.IGNORECASE)
"""The scheme ``Bearer`` may have been copied together with the token."""


def checked_secret(text: str, origin: str) -> Secret:
    """Return ``text`` as a Secret. Raises UsageError, without the text, if it is not allowed in a header."""
    if not re.fullmatch(r"[!-~]+", text, re.ASCII):
        raise UsageError(f"{origin} holds characters that no header can carry (white space or beyond ASCII).")
    return Secret(text)


def secret_of_variable(text: str, origin: str) -> Secret | None:
    """Return the secret in an environment variable, or None if it is empty. Raises UsageError, without the text."""
    text = _SCHEME.sub("", from_variable(text))
    return checked_secret(text, origin) if text else None


def secret_in(path: str, origin: str) -> Secret:
    """Return the secret in the file ``path``. Raises UsageError if it cannot be read, or if others can read it."""
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
    """Return in words who can read a secret ``file`` besides ``user`` and root, or None.

    A group may have access if the file belongs to root or another user. Kubernetes mounts secrets as root:group with
    mode 0440. Pipes and devices are not checked.
    """
    if not stat.S_ISREG(file.st_mode):
        return None
    if file.st_mode & stat.S_IRWXO:
        return "others"
    if file.st_mode & stat.S_IRWXG and file.st_uid == user != 0:
        return "its group"
    return None
