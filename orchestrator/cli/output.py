"""Standard output without Python's buffer: that hides failures, and its lock is not to be had while nobody reads."""

import os

from orchestrator.errors import StorageError

STANDARD_OUTPUT = 1


def put_out(data: bytes) -> None:
    """Writes all of ``data`` to standard output. Raises OSError; ConnectionError where its reader went away."""
    left = memoryview(data)
    while left:
        left = left[os.write(STANDARD_OUTPUT, left) :]


def tell_out(text: str) -> None:
    """Writes ``text`` to standard output, for a reader who may have read enough. Raises StorageError."""
    try:
        put_out(text.encode())
    except ConnectionError:
        pass
    except OSError as error:
        raise StorageError(f"Nothing can be written to standard output: {error.strerror}.") from error
