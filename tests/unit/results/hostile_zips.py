"""Damaged and malicious zips, and the reader's message for them."""

import io
import zipfile
from pathlib import Path

import pytest

from orchestrator.model import Records
from orchestrator.results.reader import BadResponseFile, Bounds, count

CSV = b"A,Success\n1,Y\n2,N\n3,\n"
COUNTED = Records(3, 2, 1, 1, 1, "response_file")
MIB = 1 << 20


def packed(entries: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", method) as archive:
        archive.comment = comment
        for name, data in entries.items():
            archive.writestr(name, data)
    return raw.getvalue()


class Pipe(io.BytesIO):
    """A stream without seek, so that a zip has its sizes after the data."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_):
        raise OSError

    def tell(self):
        raise OSError


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("hostile") / "response.zip"

    def save(data: bytes) -> Path:
        path.write_bytes(data)
        return path

    return save


def refusal(path: Path, bounds: Bounds | None = None) -> str:
    with pytest.raises(BadResponseFile) as caught:
        count(path, bounds or Bounds())
    return str(caught.value)


def counted_or_refused(path: Path) -> Records | None:
    try:
        return count(path)
    except BadResponseFile:
        return None


def patched(data: bytes, signature: bytes, offset: int, value: bytes, nth: int = 0) -> bytes:
    """Return ``data`` with ``value`` written ``offset`` bytes after the nth ``signature``."""
    at = -1
    for _ in range(nth + 1):
        at = data.index(signature, at + 1)
    return data[: at + offset] + value + data[at + offset + len(value) :]


LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
