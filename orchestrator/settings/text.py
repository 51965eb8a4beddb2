"""Clean values from the environment and from files."""

import re

_AROUND = re.compile(r"\A[\s\ufeff\u200b]+|[\s\ufeff\u200b]+\Z")
_QUOTED = re.compile(r"(?s)([\"'])(.*)\1")
_NOTHING = {"", '""', "''"}


def stripped(text: str) -> str:
    """Return ``text`` without surrounding byte order marks, whitespace and line endings."""
    return _AROUND.sub("", text)


def from_variable(text: str) -> str:
    """Return the value of an environment variable, stripped and without one pair of surrounding quotes.

    A shell removes quotes. ``docker run --env-file`` and some schedulers keep them.
    """
    text = stripped(text)
    quoted = _QUOTED.fullmatch(text)
    return stripped(quoted[2]) if quoted and quoted[1] not in quoted[2] else text


def is_unset(text: str) -> bool:
    """Return whether an environment variable is empty. Spaces are a mistake and do not count as unset."""
    return text.strip("\ufeff\r\n") in _NOTHING
