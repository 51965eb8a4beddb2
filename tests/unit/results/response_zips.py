"""Response files for the tests of their readers, and the content of the resulting files."""

import csv
import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from orchestrator.results.remediation import Remediation

A, B, C = "a" * 32, "b" * 32, "c" * 32


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str]], quoting: Any = csv.QUOTE_MINIMAL) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=quoting, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def make_zip(path: Path, data: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("response.csv", data)
    return path


class Actions:
    """Response files of a run, sorted by ``publish``."""

    def __init__(self, directory: Path, *, tenants: bool = False) -> None:
        self.directory = directory
        self.remediation = Remediation(directory, tenants)
        self._made = 0

    def add(
        self,
        name: str,
        header: Sequence[str],
        rows: Iterable[Sequence[str]],
        action_type: str | None = None,
        quoting: Any = csv.QUOTE_MINIMAL,
    ) -> object:
        return self.add_data(name, csv_text(header, rows, quoting), action_type)

    def add_data(self, name: str, data: bytes, action_type: str | None = None) -> object:
        self._made += 1
        path = make_zip(self.directory / f"{self._made}.zip", data)
        return self.remediation.add(name, path, action_type)

    def publish(self) -> None:
        self.remediation.finish()

    def read(self, name: str) -> list[list[str]]:
        """Return all lines of one file in ``remediation/``, including the header."""
        path = self.directory / "remediation" / name
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return list(csv.reader(file, strict=True))

    def names(self) -> list[str]:
        """Return the files in the folders of ``remediation/``, without the general files and the README."""
        root = self.directory / "remediation"
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*/*") if path.is_file())
