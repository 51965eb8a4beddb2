"""Random numbers that can be repeated: each is a function of what it is drawn for.

With a shared random generator, the number of a call would depend on the order of the calls. A hash of the call's own
name gives it the same number in any order.
"""

from hashlib import blake2b
from struct import unpack

_SHARES = 1 << 53


def roll(*parts: object) -> tuple[float, ...]:
    """Eight independent numbers in [0, 1), the same for the same ``parts``."""
    digest = blake2b("\x1f".join(map(str, parts)).encode(), digest_size=64).digest()
    return tuple((word >> 11) / _SHARES for word in unpack("<8Q", digest))


def between(bounds: tuple[float, float], share: float) -> float:
    """The point at ``share`` of the way through ``bounds``."""
    low, high = bounds
    return low + (high - low) * share


def between_in_log(bounds: tuple[float, float], share: float) -> float:
    """As ``between``, with as many small values as large ones: speeds differ by factors, not by sums."""
    low, high = bounds
    return float(low * (high / low) ** share)


def hexadecimal(length: int, *parts: object) -> str:
    """``length`` hexadecimal digits (at most 128), the same for the same ``parts``."""
    return blake2b("\x1f".join(map(str, parts)).encode(), digest_size=64).hexdigest()[:length]
