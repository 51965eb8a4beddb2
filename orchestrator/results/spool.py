"""Response files between the tenant and the run directory.

The libraries that read them are imported with the first file: the first stop does not wait for them.
"""

import errno
import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

import anyio

from orchestrator.atomic import append, own_directory, replacing
from orchestrator.errors import CallError, Kind, StorageError
from orchestrator.journal.entries import action_name
from orchestrator.model import Records
from orchestrator.results.index import GENERAL, writing_to
from orchestrator.threads import OwnThread, run_sync

if TYPE_CHECKING:
    from orchestrator.results.remediation import Remediation

WRITTEN_AT_ONCE = 1 << 16
"""Bytes of a file that wait in memory before a thread writes them: a slow disk must not stop the event loop."""

RESERVE = 32 << 20
"""Bytes of disk that response files leave to the journal and the report."""

BYTES_A_RECORD = 500
"""Bytes of disk for a record: in its response file, and in two of the sorted files."""

Filed = tuple[str, str | None]
"""The name of an action whose response file was counted, and its action type."""


class Fetch(Protocol):
    """Brings one response file, handing each chunk to ``write``."""

    async def __call__(self, write: Callable[[bytes], Awaitable[object]]) -> None: ...


class Responses(Protocol):
    """Where response files go. Both methods raise CallError where the file cannot be kept or understood."""

    async def fetch(self, bulk_key: str, fetch: Fetch) -> None:
        """Keeps the file that ``fetch`` brings."""

    async def count(self, bulk_key: str, action_type: str | None) -> Records:
        """Counts the records of the file that was kept."""


class ResponseFiles:
    """Keeps response files in ``directory/.responses`` and sorts their records into ``directory/remediation``.

    Each is kept under its action's name: the bulk key, behind the tenant's name and a slash in a run of several
    ``tenants``. With ``save`` its CSV is also kept as ``directory/responses/NAME.csv``. Without ``sort`` the records
    are only counted. ``trouble`` is a sentence once this machine could not keep a file or its records.
    """

    def __init__(self, directory: Path, *, save: bool, tenants: bool = False, sort: bool = True) -> None:
        self._directory = directory
        self._spool = directory / ".responses"
        self._saved = directory / "responses" if save else None
        self._reader = OwnThread()
        self._writers = anyio.CapacityLimiter(1)
        self._tenants = tenants
        self._sorting = sort
        self._remediation: Remediation | None = None
        self.trouble: str | None = None

    def of(self, tenant: str) -> Responses:
        """The files of one of several tenants, by their bulk keys."""
        return _OfTenant(self, tenant)

    async def fetch(self, name: str, fetch: Fetch) -> None:
        """Keeps the file that ``fetch`` brings, whole or not at all. A bare CSV is kept in a zip."""
        part = self._spool / f"{name}.part"
        waiting = bytearray()

        async def write(chunk: bytes) -> None:
            waiting.extend(chunk)
            if len(waiting) >= WRITTEN_AT_ONCE:
                await run_sync(partial(append, part, waiting), self._writers)
                waiting.clear()

        try:
            await run_sync(partial(self._begin, part), self._writers)
            await fetch(write=write)
            await run_sync(partial(self._keep, part, waiting, name), self._writers)
        except (OSError, StorageError) as error:
            raise self._not_kept(error) from error

    async def count(self, name: str, action_type: str | None) -> Records:
        """Counts and sorts the records of the file that was kept."""
        from orchestrator.results.reader import BadResponseFile

        try:
            return await self._reader.run(partial(self._read, name, action_type))
        except BadResponseFile as error:
            raise CallError(Kind.BAD_FILE, str(error)) from error
        except (OSError, StorageError) as error:
            raise self._not_kept(error) from error

    async def remediate(
        self,
        filed: Sequence[Filed],
        on_share: Callable[[float], object] = lambda _: None,
        on_sorted: Callable[[str, Records], object] = lambda *_: None,
    ) -> list[tuple[str, str]]:
        """Publishes the sorted records of all ``filed`` actions; returns the names left out, each with a reason.

        Files of an earlier session are sorted now. A file that was left out is removed, so that a resumed run fetches
        it again. ``on_share`` gets the share of them that is sorted, from a thread. ``on_sorted`` gets the name and the
        counts of each, once all are sorted: a shard counts records without their groups. Raises StorageError where the
        remediation files cannot be written.
        """
        left_out, counted = await self._reader.run(partial(self._publish, filed, on_share))
        for name, records in counted:
            on_sorted(name, records)
        return left_out

    @property
    def remediated(self) -> bool:
        """Whether the remediation was made already of all that an earlier session fetched, and nothing came since."""
        last = self._directory / "remediation" / "unprocessed.csv"
        with suppress(OSError):  # a folder that may not be read is written again, or reported
            return last.is_file() and not self._spool.is_dir()
        return False

    def keeps(self, name: str) -> bool:
        """Whether the file of that name is there up to its last byte: after a power cut it may be a bare name.

        A zip's directory is at its end, so that is where to look: a resumed run has stops to send and reads no more.
        """
        import zipfile

        return zipfile.is_zipfile(self._path(name))

    def discard(self) -> None:
        """Removes the files that were kept for the remediation only; after a cut, the next call removes the rest."""
        over = self._spool.with_name(".responses-over")
        shutil.rmtree(over, ignore_errors=True)
        with suppress(OSError):
            self._spool.rename(over)
        shutil.rmtree(over, ignore_errors=True)

    def _begin(self, part: Path) -> None:
        if shutil.disk_usage(self._directory).free < RESERVE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        _make_folder(part.parent, self._directory)
        _created(part).close()

    def _keep(self, part: Path, rest: bytearray, name: str) -> None:
        append(part, rest)
        (part if _starts_as_zip(part) else _zipped(part)).rename(self._path(name))

    def _path(self, name: str) -> Path:
        return self._spool / f"{name}.zip"

    def _read(self, name: str, action_type: str | None) -> Records:
        from orchestrator.results.reader import extract_csv

        records = self._sort(name, action_type)
        if self._saved is not None:
            saved = self._saved / f"{name}.csv"
            _make_folder(saved.parent, self._directory)
            with replacing(saved) as file:
                extract_csv(self._path(name), file)
        return records

    def _sort(self, name: str, action_type: str | None) -> Records:
        from orchestrator.results.reader import count

        if self._sorting:
            from orchestrator.results.remediation import Remediation

            self._remediation = self._remediation or Remediation(self._directory, self._tenants)
            try:
                return self._remediation.add(name, self._path(name), action_type)
            except StorageError as error:
                self._sorting = False
                self.trouble = str(error)
        return count(self._path(name))

    def _publish(
        self, filed: Sequence[Filed], on_share: Callable[[float], object]
    ) -> tuple[list[tuple[str, str]], list[tuple[str, Records]]]:
        if not filed and self._remediation is None:
            self._publish_nothing()
            return [], []
        from orchestrator.results.reader import BadResponseFile
        from orchestrator.results.remediation import Remediation

        if not self._sorting:
            raise StorageError(self.trouble or "The records were only counted, not sorted.")
        self._remediation = self._remediation or Remediation(self._directory, self._tenants)
        left_out, counted = [], []
        for number, (name, action_type) in enumerate(filed):
            on_share(number / len(filed))
            if name not in self._remediation.added:
                try:
                    if not self._path(name).exists():
                        raise BadResponseFile("The response file is missing in the run directory.")
                    counted.append((name, self._remediation.add(name, self._path(name), action_type)))
                except BadResponseFile as error:
                    left_out.append((name, str(error)))
                    self._path(name).unlink(missing_ok=True)
        self._remediation.finish()
        return left_out, counted

    def _publish_nothing(self) -> None:
        """Write the general files without a record. A run without response files imports no library for them."""
        target = self._directory / "remediation"
        header = b"bulk_key,row,tenant\r\n" if self._tenants else b"bulk_key,row\r\n"
        with writing_to(target):
            own_directory(target)
            for name in GENERAL:
                with replacing(target / f"{name}.csv") as file:
                    file.write(header)

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

    async def count(self, bulk_key: str, action_type: str | None) -> Records:
        return await self._files.count(action_name(self._tenant, bulk_key), action_type)


def _created(path: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def _starts_as_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _zipped(bare: Path) -> Path:
    """Puts the CSV ``bare`` into a zip, uncompressed: its end shows later whether the file is complete."""
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
