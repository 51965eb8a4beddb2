"""Read bytes from a descriptor: report that a read may block, hash the bytes, decompress gzip."""

import gzip
import hashlib
import io
import os
import select
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from orchestrator.errors import InputError

CHUNK = 64 * 1024
"""Most bytes of one read."""

_GZIP = b"\x1f\x8b"  # never the start of UTF-8 text


class Descriptor(io.RawIOBase):
    """A file descriptor without buffer and lock, so that the process can exit while a thread waits in a read.

    ``on_wait`` is called before every read. ``sha256`` covers the ``size`` bytes read so far. Closing this object
    leaves the descriptor open for its owner. A failed read raises InputError with ``name``.
    """

    def __init__(self, fd: int, name: str, on_wait: Callable[[], None]) -> None:
        self.sha256 = hashlib.sha256()
        self.size = 0
        self._name = name
        self._fd = fd
        self._on_wait = on_wait
        self._ahead = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` with the bytes of one read, at most ``CHUNK``. Return their number, 0 at the end."""
        size = min(len(buffer), CHUNK)
        data = self._ahead or self._pull(size)
        data, self._ahead = data[:size], data[size:]
        buffer[: len(data)] = data
        return len(data)

    def starts_with(self, magic: bytes) -> bool:
        """Return whether the next bytes are ``magic``, without consuming them."""
        while len(self._ahead) < len(magic) and (data := self._pull(CHUNK)):
            self._ahead += data
        return self._ahead.startswith(magic)

    def _pull(self, size: int) -> bytes:
        while True:
            self._on_wait()
            try:
                data = os.read(self._fd, size)
            except BlockingIOError:  # another process that shares standard input made it non-blocking
                select.select([self._fd], [], [])
            except OSError as error:
                raise InputError(sentence(self._name, error)) from error
            else:
                self.sha256.update(data)
                self.size += len(data)
                return data


def unpack(raw: Descriptor, name: str) -> Iterator[bytes]:
    """Yield the content as it arrives, at most ``CHUNK`` bytes at once. Gzip is decompressed.

    Gzip is recognised by its first bytes, or by a name that ends in ``.gz``.

    Raises:
        InputError: the gzip data is damaged or cut short, or the content is not gzip although the name ends in ``.gz``.
    """
    zipped = raw.starts_with(_GZIP)
    if not zipped and not name.lower().endswith(".gz"):
        while data := raw.read(CHUNK):
            yield data
        return
    try:
        with gzip.GzipFile(fileobj=raw, mode="rb") as unzipped:
            while data := unzipped.read1(CHUNK):
                yield data
    except EOFError as error:
        raise InputError(f"{name} is cut short: its gzip data has no end. Copy the file again.") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        hint = "Copy the file again." if zipped else "If it is not compressed, drop .gz from its name."
        raise InputError(f"{name} is not sound gzip data ({error}). {hint}") from error


def sentence(name: str, error: OSError | ValueError) -> str:
    """Return the message for a source that cannot be opened or read."""
    match error:
        case FileNotFoundError():
            return f"{name} does not exist; check the path, or use - for standard input."
        case PermissionError():
            return f"{name} may not be read by this user; change its permissions or run as one who may."
        case IsADirectoryError():
            return f"{name} is a directory; name the files in it that hold the bulk keys."
        case OSError(strerror=str(reason)):
            return f"{name} cannot be read ({reason}); check the path and the disk, or copy it elsewhere."
    return f"{name!r} is not a path ({error}); check it, or use - for standard input."
