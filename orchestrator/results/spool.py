"""Response files between the tenant and the run directory.

What unpacks them is imported when the first one is there: the first stop does not wait for it.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

import anyio

from orchestrator.atomic import own_directory, replacing
from orchestrator.errors import CallError, Kind, StorageError
from orchestrator.journal.entries import action_name
from orchestrator.model import Records
from orchestrator.threads import run_sync

AT_ONCE = 2
"""Files read at once: unpacking is work for a core, not for a slot."""


class Fetch(Protocol):
    """Brings one response file, handing each chunk to ``write``."""

    async def __call__(self, write: Callable[[bytes], object]) -> None: ...


class Responses(Protocol):
    """Where response files go. Both methods raise CallError where the file cannot be kept or understood."""

    async def fetch(self, bulk_key: str, fetch: Fetch) -> None:
        """Keeps the file that ``fetch`` brings."""

    async def count(self, bulk_key: str) -> Records:
        """Counts the records of the file that was kept."""


class ResponseFiles:
    """Keeps response files in ``directory/.responses`` until the remediation is made of them.

    Each is kept by its action's name: the bulk key, behind the tenant's name and a slash where there are several.
    With ``save`` its CSV is also kept as ``directory/responses/NAME.csv``.
    ``trouble`` is a sentence, once the machine could not keep a file.
    """

    def __init__(self, directory: Path, *, save: bool) -> None:
        self._directory = directory
        self._spool = directory / ".responses"
        self._saved = directory / "responses" if save else None
        self._readers = anyio.CapacityLimiter(AT_ONCE)
        self.trouble: str | None = None

    def of(self, tenant: str) -> Responses:
        """The files of one of several tenants, by their bulk keys."""
        return _OfTenant(self, tenant)

    async def fetch(self, name: str, fetch: Fetch) -> None:
        """Keeps the file that ``fetch`` brings, whole or not at all. What comes as a bare CSV is kept in a zip."""
        part = self._spool / f"{name}.part"
        try:
            _make_folder(part.parent, self._directory)
            with _created(part) as file:
                await fetch(write=file.write)
            if not _starts_as_zip(part):
                part = await run_sync(partial(_zipped, part), self._readers)
            part.rename(self._path(name))
        except (OSError, StorageError) as error:
            raise self._not_kept(error) from error

    async def count(self, name: str) -> Records:
        """Counts the records of the file that was kept."""
        from orchestrator.results.reader import BadResponseFile

        try:
            return await run_sync(partial(self._read, name), self._readers)
        except BadResponseFile as error:
            raise CallError(Kind.BAD_FILE, str(error)) from error
        except (OSError, StorageError) as error:
            raise self._not_kept(error) from error

    async def remediate(self, names: Iterable[str], *, tenants: bool = False) -> list[tuple[str, str]]:
        """Makes the remediation files of all files kept; returns the names left out, each with a sentence why.

        ``tenants``: there are several, and a column tells whose each record is. What was left out is not kept any
        longer, so that a resumed run fetches it again. Raises StorageError where the remediation files cannot be
        written.
        """
        from orchestrator.results.reader import read_rows
        from orchestrator.results.remediation import write_remediation

        files = [(name, partial(read_rows, self._path(name))) for name in names]
        _, left_out = await run_sync(partial(write_remediation, self._directory, files, tenants=tenants))
        for name, _ in left_out:
            self._path(name).unlink(missing_ok=True)
        return left_out

    @property
    def remediated(self) -> bool:
        """Whether the remediation was made already of all that an earlier session fetched, and nothing came since."""
        last = self._directory / "remediation" / "unprocessed.csv"
        return last.is_file() and not self._spool.is_dir()

    def keeps(self, name: str) -> bool:
        """Whether the file of that name is there up to its last byte: after a power cut it may be a bare name.

        A zip's directory is at its end, so that is where to look: a resumed run has stops to send and reads no more.
        """
        import zipfile

        return zipfile.is_zipfile(self._path(name))

    def discard(self) -> None:
        """Takes away what was kept only for the remediation; cut short, it counts as done and is done the next time."""
        over = self._spool.with_name(".responses-over")
        shutil.rmtree(over, ignore_errors=True)
        with suppress(OSError):
            self._spool.rename(over)
        shutil.rmtree(over, ignore_errors=True)

    def _path(self, name: str) -> Path:
        return self._spool / f"{name}.zip"

    def _read(self, name: str) -> Records:
        from orchestrator.results.reader import count, extract_csv

        records = count(self._path(name))
        if self._saved is not None:
            saved = self._saved / f"{name}.csv"
            _make_folder(saved.parent, self._directory)
            with replacing(saved) as file:
                extract_csv(self._path(name), file)
        return records

    def _not_kept(self, error: OSError | StorageError) -> CallError:
        why = error.strerror if isinstance(error, OSError) else str(error).removesuffix(".")
        self.trouble = f"A response file could not be kept on this machine: {why}."
        return CallError(Kind.BAD_FILE, self.trouble)


class _OfTenant:
    """One tenant's view of the files of a run."""

    def __init__(self, files: ResponseFiles, tenant: str) -> None:
        self._files = files
        self._tenant = tenant

    async def fetch(self, bulk_key: str, fetch: Fetch) -> None:
        await self._files.fetch(action_name(self._tenant, bulk_key), fetch)

    async def count(self, bulk_key: str) -> Records:
        return await self._files.count(action_name(self._tenant, bulk_key))


def _created(path: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def _starts_as_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _zipped(bare: Path) -> Path:
    """Puts the CSV ``bare`` into a zip, uncompressed: its end tells later whether all of it is there."""
    import zipfile

    path = bare.with_suffix(".zip-part")
    with _created(path) as file, zipfile.ZipFile(file, "w") as archive:
        archive.write(bare, "response.csv")
    bare.unlink()
    return path


def _make_folder(folder: Path, within: Path) -> None:
    """Makes ``folder`` and those above it up to ``within``; a missing parent would not get their mode from mkdir."""
    for path in reversed([folder, *folder.parents]):
        if path.is_relative_to(within) and path != within:
            own_directory(path)
