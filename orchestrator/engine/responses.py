"""Response files between the tenant and the run directory."""

import os
import shutil
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from orchestrator.engine.ports import Fetch
from orchestrator.errors import CallError, Kind, StorageError
from orchestrator.model import Records
from orchestrator.store.atomic import replacing
from orchestrator.store.remediation import write_remediation
from orchestrator.zuora.response_file import BadResponseFile, count, extract_csv, read_rows

AT_ONCE = 2
"""Files read at once: unpacking is work for a core, not for a slot."""


class ResponseFiles:
    """Keeps response files in ``directory/.responses`` until the remediation is made of them.

    With ``save`` each file's CSV is also kept as ``directory/responses/KEY.csv``.
    ``trouble`` is a sentence, once the machine could not keep a file.
    """

    def __init__(self, directory: Path, *, save: bool) -> None:
        self._directory = directory
        self._spool = directory / ".responses"
        self._saved = directory / "responses" if save else None
        self._readers = anyio.CapacityLimiter(AT_ONCE)
        self.trouble: str | None = None

    async def fetch(self, bulk_key: str, fetch: Fetch) -> None:
        """Keeps the file that ``fetch`` brings, whole or not at all."""
        part = self._spool / f"{bulk_key}.part"
        try:
            self._spool.mkdir(mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(part, flags, 0o600), "wb") as file:
                await fetch(write=file.write)
            part.rename(self._path(bulk_key))
        except OSError as error:
            raise self._not_kept(error) from error

    async def count(self, bulk_key: str) -> Records:
        """Counts the records of the file that was kept."""
        try:
            return await anyio.to_thread.run_sync(self._read, bulk_key, limiter=self._readers)
        except BadResponseFile as error:
            raise CallError(Kind.BAD_FILE, str(error)) from error
        except (OSError, StorageError) as error:
            raise self._not_kept(error) from error

    async def remediate(self, bulk_keys: Iterable[str]) -> list[tuple[str, str]]:
        """Makes the remediation files of all files kept; returns the keys left out, each with a sentence why.

        Raises StorageError where they cannot be written.
        """
        files = [(key, partial(read_rows, self._path(key))) for key in bulk_keys]
        _, left_out = await anyio.to_thread.run_sync(write_remediation, self._directory, files)
        return left_out

    @property
    def remediated(self) -> bool:
        """Whether the remediation was made already of all that an earlier session fetched, and nothing came since."""
        return (self._directory / "remediation").is_dir() and not self._spool.is_dir()

    def keeps(self, bulk_key: str) -> bool:
        """Whether the file of ``bulk_key`` is there."""
        return self._path(bulk_key).is_file()

    def discard(self) -> None:
        """Takes away what was kept only for the remediation."""
        shutil.rmtree(self._spool, ignore_errors=True)

    def _path(self, bulk_key: str) -> Path:
        return self._spool / f"{bulk_key}.zip"

    def _read(self, bulk_key: str) -> Records:
        records = count(self._path(bulk_key))
        if self._saved is not None:
            self._saved.mkdir(mode=0o700, exist_ok=True)
            with replacing(self._saved / f"{bulk_key}.csv") as file:
                extract_csv(self._path(bulk_key), file)
        return records

    def _not_kept(self, error: OSError | StorageError) -> CallError:
        self.trouble = f"A response file could not be kept on this machine: {error}."
        return CallError(Kind.BAD_FILE, self.trouble)
