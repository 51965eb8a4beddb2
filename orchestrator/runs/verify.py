"""A verification: every status of a finished run is read again and compared with its report.

The statuses are read like those of a plan, with the same pacing, retries and limits, and no stop is sent.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec

from orchestrator import report as reports
from orchestrator import rundir
from orchestrator.clock import Clock
from orchestrator.engine.ports import Intake
from orchestrator.errors import MassStopError, UsageError
from orchestrator.journal import journal as journals
from orchestrator.journal.entries import Finding, FindingKind, RunInfo, Verification
from orchestrator.journal.intake import RowIntake
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.recovery.opening import open_for_report, open_for_resume
from orchestrator.journal.recovery.state import is_read_only
from orchestrator.logs import Screen
from orchestrator.model import OVER, InputRow, Outcome, Records
from orchestrator.report import ActionEntry
from orchestrator.runs.files import write_copies
from orchestrator.runs.keys import tenancy
from orchestrator.runs.opening import begin, opened, require_same_tenants, tenants_of
from orchestrator.runs.run import Run
from orchestrator.settings import Settings
from orchestrator.threads import in_thread

if TYPE_CHECKING:
    from orchestrator.settings.tenants import Tenant

_READ = OVER | {Outcome.WOULD_STOP}
_COUNTS = ("total", "processed", "succeeded", "failed")


def finished_run(path: Path) -> tuple[RunInfo, Settings, list[str]]:
    """The finished run in ``path``, its settings without secrets, and sentences on what its journal lacks.

    Raises:
        UsageError: it is a plan, a drill or not finished.
        RunDirectoryError: there is no run.
        StorageError: its journal cannot be read.
    """
    with open_for_report(path) as reader:
        info, last = reader.run(), reader.sessions()[-1]
    if info.command == "plan":
        raise UsageError(f"{path} is a plan: it stopped nothing. Verify the run that was made from it.")
    if info.command == "drill":
        raise UsageError(f"{path} is a drill: its simulated tenant is gone, so there is nothing to verify.")
    if last.state != "finished":
        raise UsageError(
            f"The run in {path} is not finished ({last.state}). Finish it first: mass-stop resume {path}"
        )
    return info, msgspec.convert(info.settings, Settings), list(reader.missing)


@asynccontextmanager
async def reading_again(
    path: Path,
    info: RunInfo,
    settings: Settings,
    screen: Screen | None,
    tenants: "Mapping[str, Tenant] | None" = None,
) -> AsyncIterator[tuple[Run, Intake]]:
    """A session that reads the status of each key of the run in ``path``. Its own journal is temporary.

    Raises UsageError if the settings name another tenant.
    """
    if not tenants:
        tenants = await in_thread(lambda: tenants_of(settings))
    require_same_tenants(info, settings, tenants, path)
    with TemporaryDirectory(prefix="mass-stop-verify-") as place:
        reader = await in_thread(lambda: open_for_report(path))
        own = msgspec.structs.replace(
            settings, out=str(Path(place) / "run"), plan=None, order=None, max_failures=None, max_failures_total=None,
            expect_action_type=(), expect_uploaded_by=(), no_results=True, save_responses=False, report=None,
            metrics=None,
        )  # fmt: skip
        with reader:
            async with opened(begin(own, "plan", screen, tenants)) as run:
                (source,) = await in_thread(lambda: run.journal.add_sources([(str(path), None)]))
                rows = (InputRow(seq, key, tenant=tenant) for seq, key, tenant in reader.bulk_keys())
                yield run, RowIntake(run.journal, rows, source, ranked=False, tenancy=tenancy(run))


async def compare(path: Path, run: Run) -> Verification:
    """The differences between the statuses read by ``run`` and the report of the run in ``path``."""

    def work() -> Verification:
        with open_for_report(path) as reader:
            before = (one for one in reports.read_actions(reader) if one.outcome is not Outcome.MALFORMED)
            return run.journal.read(lambda after: _compared(before, after)).result()

    return await in_thread(work)


def _compared(before: Iterator[ActionEntry], after: JournalReader) -> Verification:
    keys = over = 0
    findings: list[Finding] = []
    for reported, now in zip(before, reports.read_actions(after), strict=True):
        keys += 1
        over += now.outcome in OVER
        if found := _difference(reported, now):
            findings.append(Finding(now.row, now.bulk_key, *found))
    session = after.sessions()[-1]
    return Verification(session.started_at, session.ended_at or Clock().stamp(), keys, over, findings)


def _difference(reported: ActionEntry, now: ActionEntry) -> tuple[FindingKind, str] | None:
    if now.outcome not in _READ:
        why = "" if now.error is None else f": {now.error.message}"
        return "unread", f"Its status could not be read{why}"
    if now.outcome not in OVER:
        was = f", and was reported as {reported.outcome.value}" if reported.outcome in OVER else ""
        return "not_over", f"It is {now.status} with {_shown(now.records)}{was}."
    if reported.outcome not in OVER:
        return None  # it is over now, and was not before
    then = reported.records
    if isinstance(reported.mismatch, dict):  # the response file disagreed; only statuses are compared
        then = reported.mismatch.get("status", then)
    pairs = ((getattr(then, name), getattr(now.records, name)) for name in _COUNTS)
    if reported.status == now.status and all(
        one is None or other is None or one == other for one, other in pairs
    ):
        return None
    return (
        "changed",
        f"It was {reported.status} with {_shown(then)}, and is {now.status} with {_shown(now.records)}.",
    )


def _shown(records: Records) -> str:
    if records.processed is None:
        return "an unknown number of records processed"
    parts = (
        f"{count:,} {name}"
        for name in ("succeeded", "failed")
        if (count := getattr(records, name)) is not None
    )
    of = "" if records.total is None else f" of {records.total:,}"
    return f"{records.processed:,}{of} records processed ({', '.join(parts) or 'not broken down'})"


def keep(path: Path, verification: Verification) -> str | None:
    """Add ``verification`` to the journal in ``path``, and write report and page again.

    Returns a sentence if the run cannot be changed.
    """
    try:
        if is_read_only(path):
            return f"The run in {path} is read-only: these findings were not kept."
        open_for_resume(path).close()
        with ExitStack() as stack:
            directory = rundir.reopen(path)
            stack.callback(directory.close)
            journal = journals.reopen(directory.journal, Clock())
            stack.callback(journal.close)
            journal.verified(verification).result()
            journal.read(lambda reader: write_copies(reader, directory)).result()
            trouble = journal.trouble
    except OSError as error:
        return f"The files in {path} could not be written ({error.strerror}): these findings are not in all of them."
    except MassStopError as error:
        return f"These findings were not kept: {error}"
    return trouble
