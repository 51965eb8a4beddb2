"""Values as they come out of the environment and out of files: what around them does not belong to them."""

import re

_AROUND = re.compile(r"\A[\s\ufeff\u200b]+|[\s\ufeff\u200b]+\Z")
_QUOTED = re.compile(r"(?s)([\"'])(.*)\1")
_NOTHING = {"", '""', "''"}


def stripped(text: str) -> str:
    """``text`` without a byte order mark, whitespace and line endings around it."""
    return _AROUND.sub("", text)


def from_variable(text: str) -> str:
    """The value of an environment variable: stripped, and without one pair of quotes around the whole of it.

    A shell removes quotes. ``docker run --env-file`` and some schedulers keep them.
    """
    text = stripped(text)
    quoted = _QUOTED.fullmatch(text)
    return stripped(quoted[2]) if quoted and quoted[1] not in quoted[2] else text


def is_unset(text: str) -> bool:
    """Whether an environment variable says nothing. A variable of spaces is a mistake, and is not unset."""
    return text.strip("\ufeff\r\n") in _NOTHING
