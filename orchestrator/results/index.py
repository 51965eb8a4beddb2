"""``remediation/index.json``: the files of this run with their numbers of records, for the page and for scripts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from orchestrator.errors import StorageError

NAME = "index.json"

GENERAL = ("succeeded", "failed", "unprocessed")
"""The three tables of all records, for people and spreadsheets."""

FOLDERS = {
    "resend": "not processed. Upload these files once the reason for the stop is gone:",
    "retry": "failed. Correct them, then upload these files:",
    "held": "to review before they are sent again:",
    "reverse": "went through. Reverse them if needed:",
}
"""By folder, what is true of its records and what to do."""

LEFT_OUT = (
    "Unprocessed records without an upload file belong to actions whose response file could not be read or has no "
    "upload form."
)
"""Why more records were not processed than the folders ``resend`` and ``held`` have."""

PAYMENTS = "A payment can be cancelled only until it settles, typically 24 to 48 hours after it was made."


class RemediationFile(Struct, frozen=True):
    """One file below ``remediation/``.

    ``folder`` is ``resend``, ``retry``, ``held``, ``reverse``, or empty for the three general files. ``path`` is
    relative to ``remediation/``.
    """

    path: str
    folder: str
    records: int


class Index(Struct, frozen=True):
    """The content of ``remediation/``.

    ``electronic_payments`` is how many electronic payments went through. ``unsorted`` is how many records are in the
    general files only, because their action type or its header is not known.
    """

    files: list[RemediationFile]
    electronic_payments: int = 0
    unsorted: int = 0

    def records_in(self, folder: str) -> int:
        """The records of all files of ``folder``."""
        return sum(file.records for file in self.files if file.folder == folder)

    def leaves_out(self, unprocessed: int | None) -> bool:
        """Whether ``resend`` and ``held`` have fewer records than a run's ``unprocessed`` ones."""
        return (unprocessed or 0) > self.records_in("resend") + self.records_in("held")


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Raises StorageError, with a sentence for the operator, where the files of ``folder`` cannot be written."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"The remediation files in {folder} cannot be written: {error.strerror}."
        ) from error


def read_index(directory: Path) -> Index | None:
    """The index of the run in ``directory``; None if its records were not sorted, or the index cannot be read."""
    try:
        data = (directory / "remediation" / NAME).read_bytes()
        return msgspec.json.decode(data, type=Index)
    except (OSError, msgspec.DecodeError):
        return None


def encode(index: Index) -> bytes:
    """The content of the index file."""
    return msgspec.json.format(msgspec.json.encode(index), indent=2) + b"\n"
