"""Repeatable random numbers: each is a function of its purpose.

With a shared random generator, the number for a call would depend on the order of the calls. A hash of the call's
name gives the same number in any order.
"""

from hashlib import blake2b
from struct import unpack

_SHARES = 1 << 53


def roll(*parts: object) -> tuple[float, ...]:
    """Return eight independent numbers in [0, 1), always the same for the same ``parts``."""
    digest = blake2b("\x1f".join(map(str, parts)).encode(), digest_size=64).digest()
    return tuple((word >> 11) / _SHARES for word in unpack("<8Q", digest))


def between(bounds: tuple[float, float], share: float) -> float:
    """Return the value at ``share`` (0 to 1) of the range ``bounds``."""
    low, high = bounds
    return low + (high - low) * share


def between_in_log(bounds: tuple[float, float], share: float) -> float:
    """Return the value at ``share`` of ``bounds`` on a logarithmic scale, because speeds differ by factors."""
    low, high = bounds
    return float(low * (high / low) ** share)


def hexadecimal(length: int, *parts: object) -> str:
    """Return ``length`` hexadecimal digits (at most 128), always the same for the same ``parts``."""
    return blake2b("\x1f".join(map(str, parts)).encode(), digest_size=64).hexdigest()[:length]
