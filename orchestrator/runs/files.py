"""The files of a run that are written from its journal, completely or not at all."""

import hashlib
import traceback
from asyncio import wrap_future
from collections.abc import Callable
from pathlib import Path

from orchestrator.atomic import replacing
from orchestrator.errors import StorageError
from orchestrator.journal.entries import action_name
from orchestrator.journal.journal import Journal
from orchestrator.journal.reader import JournalReader
from orchestrator.logs import Log
from orchestrator.results.spool import ResponseFiles
from orchestrator.rundir import RunDirectory


class Files:
    """Writes the content of the journal into the run's directory, as often as necessary.

    ``troubles`` says in sentences what the machine could not write.
    """

    def __init__(self, directory: RunDirectory, journal: Journal, responses: ResponseFiles, log: Log) -> None:
        self.troubles: list[str] = []
        self._directory = directory
        self._journal = journal
        self._responses = responses
        self._log = log
        self._report_sha256: str | None = None

    @property
    def saved(self) -> bool:
        """Whether the report is written."""
        return self._report_sha256 is not None

    async def remediate(self, on_share: Callable[[float], object]) -> None:
        """Publish the sorted records of all response files that were counted.

        ``on_share`` gets the share of the files that is sorted, from a thread.
        """
        if self._responses.remediated:
            return
        rows = await wrap_future(self._journal.read(JournalReader.filed_keys))
        try:
            filed = [(action_name(tenant, key), action_type) for tenant, key, action_type in rows]
            for name, sentence in await self._responses.remediate(filed, on_share, self._journal.groups_read):
                self._log.error("remediation.left_out", bulk_key=name, message=sentence)
                self.troubles.append(f"The remediation files lack the records of {name}: {sentence}")
        except StorageError as error:
            self.troubles.append(str(error))

    async def write_report(self) -> None:
        self._report_sha256 = await self._written("report", self._directory.report, _write_report)

    async def write_handover(self) -> None:
        """Write ``needs-person.csv``, the keys that need a person."""
        await self._written("list", self._directory.handover, _write_handover)

    async def _written(
        self, what: str, path: Path, write: Callable[[JournalReader, Path], str | None]
    ) -> str | None:
        try:
            return await wrap_future(self._journal.read(lambda reader: write(reader, path)))
        except OSError as error:
            self.troubles.append(f"The {what} {path} could not be written: {error.strerror}.")
            return None

    async def write_metrics(self, path: Path) -> None:
        """Write the counts of the run to ``path``. A failure does not change how the run ended."""
        try:
            await wrap_future(self._journal.read(lambda reader: _write_metrics(reader, path)))
        except OSError as error:
            self._log.error("metrics.failed", message=f"{path}: {error.strerror}")
            self.troubles.append(f"The metrics {path} could not be written: {error.strerror}.")

    async def write_page(self) -> None:
        """Write ``report.html``. A failure does not change how the run ended."""
        path = self._directory.page
        try:
            await wrap_future(
                self._journal.read(lambda reader: _write_page(reader, path, self._report_sha256))
            )
        except Exception as error:  # noqa: BLE001 - reported and logged; report.json is complete
            why = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            self._log.error("page.failed", traceback=traceback.format_exc())
            self.troubles.append(
                f"The page {path} could not be written ({why}); the report is not touched by that. "
                f"Try again with: mass-stop report {self._directory.path} --format html"
            )


def write_copies(reader: JournalReader, directory: RunDirectory) -> None:
    """Write the report and the page once more. Raises OSError."""
    sha256 = _write_report(reader, directory.report)
    _write_page(reader, directory.page, sha256)


def _write_report(reader: JournalReader, path: Path) -> str:
    """Return the report's SHA-256. Raises OSError."""
    from orchestrator import report as reports

    digest = hashlib.sha256()
    with replacing(path) as file:

        def write(data: bytes) -> None:
            digest.update(data)
            file.write(data)

        reports.write_json(reader, write)
    return digest.hexdigest()


def _write_handover(reader: JournalReader, path: Path) -> None:
    """Raises OSError."""
    from orchestrator.report.writing import write_handover

    with replacing(path) as file:
        write_handover(reader, file.write)


def _write_metrics(reader: JournalReader, path: Path) -> None:
    """Other users may read the file, so that a collector can. Raises OSError."""
    from orchestrator.report.prometheus import write_metrics

    with replacing(path, mode=0o644) as file:
        write_metrics(reader, file.write)


def _write_page(reader: JournalReader, path: Path, report_sha256: str | None) -> None:
    """Raises OSError."""
    from orchestrator.report.pages.html import write_html

    with replacing(path) as file:
        write_html(reader, file.write, path.parent, report_sha256)
