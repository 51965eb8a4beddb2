"""The records of all response files, sorted for the people who put things right after the stop.

Each response file is read as it arrives. ``remediation/`` appears whole at the end; its ``README.md`` says what each
file is for.
"""

import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from orchestrator.atomic import own_directory, sync_directory
from orchestrator.errors import StorageError
from orchestrator.journal.entries import split_action_name
from orchestrator.model import Records
from orchestrator.results.action_types import ERROR, SCHEDULE, Layout, layout_of
from orchestrator.results.csv_text import BLANK, END, QuotedTable, constant, csv_lines, joined, numbers
from orchestrator.results.general_files import GeneralFiles
from orchestrator.results.guide import write_guide
from orchestrator.results.index import Index, RemediationFile, writing_to
from orchestrator.results.payments import PaymentList
from orchestrator.results.reader import BadResponseFile, file_counts
from orchestrator.results.tables import RecordTable, read_tables
from orchestrator.results.upload_files import Lines, UploadFiles
from orchestrator.results.verdicts import (
    AFTER_FAILURE,
    HAS_PAYMENT,
    Groups,
    Verdicts,
    group_place,
    stripped,
    verdicts,
)

_WRITTEN_AT_ONCE = 2
"""Tables of which selected records are written together."""

_IN_MEMORY = 4
"""Tables of one response file kept in memory while it is checked; a longer file is read a second time."""

_COUNTED = ("succeeded", "failed", "unprocessed", "held_by_group")
_SCHEDULES = ("Revenue Schedule Number",)
_INFORMATION = {
    "resend": ("#bulk_key", "#row"),
    "retry": ("#bulk_key", "#row", "#error"),
    "held": ("#bulk_key", "#row", "#why"),
    "reverse": ("#bulk_key", "#row"),
}


@dataclass
class Remediation:
    """Sorts the records of response files into the files of ``directory/remediation``.

    ``tenants`` says that the run has several tenants: a file then has the records of one. One thread at a time.
    """

    directory: Path
    tenants: bool = False
    added: set[str] = field(default_factory=set)
    _uploads: dict[tuple[str, str, str], UploadFiles] = field(default_factory=dict)
    _payments: dict[str, PaymentList] = field(default_factory=dict)
    _unknown: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, path: Path, action_type: str | None) -> Records:
        """Counts and sorts the records of the response file at ``path``.

        ``name`` is the bulk key, behind the tenant's name and a slash in a run of several tenants. A bad file, even one
        that is bad only at its last byte, contributes no record.

        Raises:
            BadResponseFile: the file cannot be used.
            StorageError: this machine cannot read the file or write the sorted records.
        """
        tables = read_tables(path)
        first = list(islice(tables, _IN_MEMORY))
        layout = layout_of(action_type, first[0].header)
        place = group_place(first[0].header, layout)
        groups = Groups()
        for table in chain(first, tables):
            if place is not None and len(first) > 1:
                groups.note(stripped(table.columns[place]))
        with writing_to(self._target):
            found = first if table is first[-1] else _again(path)
            del first, table
            records = self._sort(name, action_type, layout, groups, found)
        self.added.add(name)
        return records

    def finish(self) -> None:
        """Publishes ``remediation/``, whole or not at all. Raises StorageError."""
        replaced = self.directory / ".remediation-replaced"
        with writing_to(self._target):
            self._general.finish()
            for uploads in self._uploads.values():
                uploads.sync()
            for payments in self._payments.values():
                payments.finish()
            self._write_guide()
            shutil.rmtree(replaced, ignore_errors=True)
            if self._target.exists():
                self._target.rename(replaced)
            self._work.rename(self._target)
            sync_directory(self.directory)
            shutil.rmtree(replaced, ignore_errors=True)

    @property
    def _target(self) -> Path:
        return self.directory / "remediation"

    @property
    def _work(self) -> Path:
        return self.directory / ".remediation"

    @cached_property
    def _general(self) -> GeneralFiles:
        """The tables of all records. They are begun at their first use, in an empty folder."""
        shutil.rmtree(self._work, ignore_errors=True)
        own_directory(self._work)
        return GeneralFiles(self._work, tenants=self.tenants)

    def _sort(
        self,
        name: str,
        action_type: str | None,
        layout: Layout | None,
        groups: Groups,
        tables: Iterable[RecordTable],
    ) -> Records:
        tenant, key = split_action_name(name)
        counts = dict.fromkeys(_COUNTED, 0)
        waiting: defaultdict[tuple[str, str], list[Lines]] = defaultdict(list)
        for number, table in enumerate(tables):
            groups.begin(number)
            found = verdicts(table, layout, groups)
            for verdict in counts:
                counts[verdict] += _count(getattr(found, verdict))
            quotes = QuotedTable(table, () if layout is None else layout.uploaded)
            self._general.add(quotes, found, key, tenant)
            if layout is None:
                self._unknown[action_type or "unknown"] += len(table.marks)
                continue
            for folder, kind, lines in _selections(key, layout, quotes, found):
                waiting[folder, kind].append(lines)
                complete, waiting[folder, kind] = _divided(waiting[folder, kind], groups)
                self._write(tenant, layout, folder, kind, complete)
            if _count(found.has_payment):
                self._payment_list(tenant).add(table, layout, key, found.has_payment)
        for (folder, kind), rest in waiting.items():
            assert layout is not None
            self._write(tenant, layout, folder, kind, rest)
        return file_counts(**counts)

    def _payment_list(self, tenant: str) -> PaymentList:
        if tenant not in self._payments:
            folder = self._work / "reverse" / tenant
            own_directory(self._work / "reverse")
            own_directory(folder)
            self._payments[tenant] = PaymentList(folder)
        return self._payments[tenant]

    def _write(self, tenant: str, layout: Layout, folder: str, kind: str, parts: Sequence[Lines]) -> None:
        if not parts:
            return
        files = self._uploads.get((folder, tenant, kind))
        if files is None:
            own_directory(self._work / folder)
            files = UploadFiles(self._work / folder / tenant, kind, _INFORMATION[folder])
            self._uploads[folder, tenant, kind] = files
        reverses = kind != layout.action_type.name
        files.add(_SCHEDULES if reverses else layout.header, parts, reverses=reverses)

    def _write_guide(self) -> None:
        files = [
            RemediationFile(f"{name}.csv", "", records) for name, records in self._general.records.items()
        ]
        remarks = {}
        for (folder, _, _), uploads in sorted(self._uploads.items()):
            for file in uploads.files:
                name = self._name(file.path)
                files.append(RemediationFile(name, folder, file.records))
                if found := file.remarks:
                    remarks[name] = found
        files += (
            RemediationFile(self._name(payments.path), "reverse", payments.records)
            for payments in self._payments.values()
        )
        electronic = sum(payments.electronic for payments in self._payments.values())
        index = Index(files, electronic, sum(self._unknown.values()))
        write_guide(self._work, index, remarks, self._unknown)

    def _name(self, path: Path) -> str:
        return path.relative_to(self._work).as_posix()


def _divided(parts: list[Lines], groups: Groups) -> tuple[list[Lines], list[Lines]]:
    """The records that are written now, and the others.

    A group is in one file: its records wait for those in later tables. Records with groups also wait for the next table
    in any case, so that several tables are written together.
    """
    if parts[-1].groups is None:
        return parts, []
    if len(parts) < _WRITTEN_AT_ONCE or not groups.complete(parts[0].groups):
        return [], parts
    complete = groups.complete(pa.concat_arrays([part.groups for part in parts]))
    before, others = [], []
    for part in parts:
        here = min(complete, len(part.whole))
        complete -= here
        if here:
            before.append(part.part(0, here))
        if here < len(part.whole):
            others.append(part.part(here))
    return before, others


def _selections(
    key: str, layout: Layout, quotes: QuotedTable, found: Verdicts
) -> Iterator[tuple[str, str, Lines]]:
    """The records of each folder and action type."""
    table, lines = quotes.table, quotes.lines
    kind = layout.action_type.name
    bulk_key = constant(key.encode())
    rows, last_rows = (numbers(table.first, len(table.marks), end) for end in (BLANK, END))

    def selection(
        folder: str,
        kind: str,
        chosen: pa.Array,
        lines: pa.Array,
        last: pa.Array | pa.Scalar | None = None,
        groups: pa.Array | None = None,
    ) -> Iterator[tuple[str, str, Lines]]:
        if _count(chosen):
            picked = lines.filter(chosen)
            if last is None:
                whole = joined([picked, bulk_key, last_rows.filter(chosen)])
            else:
                cells = last.filter(chosen) if isinstance(last, pa.Array) else last
                whole = csv_lines([picked, bulk_key, rows.filter(chosen), cells])
            chosen_groups = None if groups is None else groups.filter(chosen)
            yield folder, kind, Lines(whole, pc.binary_length(picked), chosen_groups)

    yield from selection("resend", kind, found.resend, lines, None, found.groups)
    error = layout.place(ERROR)
    errors = BLANK if error is None else quotes.cells[error]
    yield from selection("retry", kind, found.retry, lines, errors, found.groups)
    why = AFTER_FAILURE if layout.action_type.grouped else HAS_PAYMENT
    yield from selection("held", kind, found.held, lines, constant(why), found.groups)
    if layout.action_type.reversed_by is None:
        if layout.action_type.grouped:  # payments have a list of their own
            yield from selection("reverse", kind, found.succeeded, lines)
    elif (created := layout.place(SCHEDULE)) is not None:
        schedules = table.columns[created]
        named = pc.and_(found.succeeded, pc.not_equal(stripped(schedules), BLANK))
        yield from selection("reverse", layout.action_type.reversed_by, named, quotes.cells[created])


def _again(path: Path) -> Iterator[RecordTable]:
    try:
        yield from read_tables(path)
    except BadResponseFile as error:
        raise StorageError("A response file changed while its records were sorted.") from error


def _count(mask: pa.Array) -> int:
    count: int = mask.true_count
    return count
