"""A digest behind the last page of a journal. While it is there, the file alone holds everything.

A session removes it after its first commit, before a stop can leave, and appends it when it closes the journal in good
order. So a journal without a digest has a log, and one whose log is missing as well has lost its latest commits. With
the digest, any changed byte is noticed. SQLite reads as many pages as its header says and ignores what follows.
"""

import hashlib
import os
from pathlib import Path

from orchestrator.journal.mark import PAGE

_PIECE = 1 << 20
_PREFIX = b"mass-stop sha256 "


def append(descriptor: int) -> None:
    """Appends the digest to the journal open at ``descriptor``, unless it is there, and syncs it. Raises OSError."""
    size = os.fstat(descriptor).st_size
    if size % PAGE == 0:
        os.pwrite(descriptor, _trailer(descriptor, size), size)
        os.fsync(descriptor)


def remove(descriptor: int) -> None:
    """Removes the digest, if there is one, and syncs the file. Raises OSError."""
    size = os.fstat(descriptor).st_size
    if size % PAGE:
        os.ftruncate(descriptor, size - size % PAGE)
        os.fsync(descriptor)


def with_digest(data: bytes) -> bytes:
    """The bytes of a journal with its digest."""
    return data + _PREFIX + hashlib.sha256(data).hexdigest().encode()


def holds(journal: Path) -> bool | None:
    """Whether the digest matches; None where the journal has none, or does not exist. Raises OSError."""
    try:
        descriptor = os.open(journal, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        size = os.fstat(descriptor).st_size
        behind = size % PAGE
        found = os.pread(descriptor, behind, size - behind)
        expected = _trailer(descriptor, size - behind)
    finally:
        os.close(descriptor)
    return None if len(found) < len(expected) and expected.startswith(found) else found == expected


def _trailer(descriptor: int, size: int) -> bytes:
    """The digest of the first ``size`` bytes, as it is appended."""
    digest = hashlib.sha256()
    for start in range(0, size, _PIECE):
        digest.update(os.pread(descriptor, min(_PIECE, size - start), start))
    return _PREFIX + digest.hexdigest().encode()
