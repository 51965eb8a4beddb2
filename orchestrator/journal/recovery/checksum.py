"""A digest behind the last page of a journal that was closed in good order.

With it any changed byte is noticed, also one that SQLite and the rows' own seals have nothing to say about. SQLite
reads as many pages as its header says and passes over what follows. The digest is there only while no session works on
the journal, and a journal without one, as a killed process leaves it, is no less valid.
"""

import hashlib
import os
from pathlib import Path
from typing import IO

_PAGE = 4096
_PIECE = 1 << 20
_MARK = b"mass-stop sha256 "


def write_sum(journal: Path) -> None:
    """Puts the digest behind ``journal``, unless that still has a log beside it. Raises OSError."""
    if journal.with_name(f"{journal.name}-wal").exists():
        return
    with journal.open("r+b", buffering=0) as file:
        trailer = _trailer(file, journal.stat().st_size)
        file.write(trailer)
        os.fsync(file.fileno())


def remove_sum(journal: Path) -> None:
    """Takes the digest away, before the journal changes. Raises OSError."""
    size = journal.lstat().st_size if journal.is_file() and not journal.is_symlink() else 0
    if size % _PAGE:
        with journal.open("r+b", buffering=0) as file:
            file.truncate(size - size % _PAGE)
            os.fsync(file.fileno())


def holds(journal: Path) -> bool | None:
    """Whether ``journal`` is what its digest says; None where it has none, or is not there. Raises OSError."""
    try:
        with journal.open("rb") as file:
            behind = journal.stat().st_size % _PAGE
            expected = _trailer(file, journal.stat().st_size - behind)
            found = file.read()
    except FileNotFoundError:
        return None
    return None if len(found) < len(expected) and expected.startswith(found) else found == expected


def _trailer(file: IO[bytes], size: int) -> bytes:
    """What belongs behind the first ``size`` bytes of ``file``, which stands there then."""
    digest = hashlib.sha256()
    for start in range(0, size, _PIECE):
        digest.update(file.read(min(_PIECE, size - start)))
    return _MARK + digest.hexdigest().encode()
