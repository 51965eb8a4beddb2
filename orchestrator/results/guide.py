"""``remediation/README.md``: what each file of this run contains, and what to do with it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from orchestrator.atomic import append, sync
from orchestrator.results.index import NAME, Index, RemediationFile, encode
from orchestrator.results.payments import PaymentList
from orchestrator.results.upload_files import UploadFile

Place = tuple[str, str, str]
"""Folder, tenant (empty in a run of one), and action type."""

_FOLDERS = {
    "resend": (
        "Send again",
        (
            "These records were not processed. Upload each file unchanged, with the action type in its name, "
            "once the reason for the stop is gone."
        ),
    ),
    "retry": (
        "Correct and send again",
        (
            "These records failed. The column #error has the reason. Correct the records, then upload the files. "
            "Columns that start with # are ignored by the upload."
        ),
    ),
    "held": (
        "Review first",
        (
            "Do not upload these files as they are. The column #why has the reason. A record behind a failed record of "
            "its group goes after that record, in the same upload. A record with a payment id may have created a "
            "payment."
        ),
    ),
    "reverse": (
        "Reverse, if needed",
        (
            "These records went through before the stop. A file DeleteRevenueSchedule-NNN.csv deletes the created "
            "schedules when it is uploaded. The other files list what changed; the old values are in no response file."
        ),
    ),
}

_GENERAL = """## All records, for people and spreadsheets

| file | records |
| --- | --- |
{rows}

These three files mix all action types and have the columns that the API added. Do not upload them. A cell that a
spreadsheet would run as a formula has an apostrophe in front.
"""


class Guide(Struct, frozen=True):
    """The files written in ``folder``: records of the general files, upload files by place, payments by tenant.

    ``unknown`` has the number of records by action type that could not be sorted.
    """

    folder: Path
    general: Mapping[str, int]
    uploads: Mapping[Place, Sequence[UploadFile]]
    payments: Mapping[str, PaymentList]
    unknown: Mapping[str, int]


def write_guide(guide: Guide) -> None:
    """Writes the page and the index. Raises OSError."""
    for name, content in (("README.md", "\n".join(_page(guide)).encode()), (NAME, encode(_index(guide)))):
        append(guide.folder / name, content)
        sync(guide.folder / name)


def _index(guide: Guide) -> Index:
    general = [RemediationFile(f"{name}.csv", "", records) for name, records in guide.general.items()]
    uploads = [
        RemediationFile(_name(guide, file.path), folder, file.records)
        for (folder, _, _), files in guide.uploads.items()
        for file in files
    ]
    payments = [
        RemediationFile(_name(guide, found.path), "reverse", found.electronic + found.external)
        for found in guide.payments.values()
    ]
    electronic = sum(found.electronic for found in guide.payments.values())
    return Index([*general, *uploads, *payments], electronic, sum(guide.unknown.values()))


def _page(guide: Guide) -> Iterator[str]:
    yield "# Records of this run\n"
    for folder, (title, advice) in _FOLDERS.items():
        files = [file for place, found in guide.uploads.items() if place[0] == folder for file in found]
        payments = list(guide.payments.values()) if folder == "reverse" else []
        if files or payments:
            yield f"## {title}: `{folder}/`\n\n{advice}\n\n| file | records |\n| --- | --- |"
            yield from (f"| `{_name(guide, file.path)}` | {file.records:,} |" for file in files)
            yield from (
                f"| `{_name(guide, found.path)}` | {found.electronic + found.external:,} |"
                for found in payments
            )
            yield ""
            yield from _remarks(guide, files)
        if payments:
            electronic = sum(found.electronic for found in payments)
            yield (
                f"{electronic:,} electronic payments went through; they come first. An electronic payment can be "
                "cancelled only until it settles, typically 24 to 48 hours after it was made.\n"
            )
    if guide.unknown:
        yield "## Not sorted\n"
        for kind, records in guide.unknown.items():
            yield f"- {records:,} records of action type {kind}: the type or its header is not known."
        yield "\nThese records are only in the three general files. Sort them by hand before an upload.\n"
    rows = "\n".join(f"| `{name}.csv` | {records:,} |" for name, records in guide.general.items())
    yield _GENERAL.format(rows=rows)


def _remarks(guide: Guide, files: Sequence[UploadFile]) -> Iterator[str]:
    for file in files:
        if file.plain:
            yield (
                f"`{_name(guide, file.path)}` lacks the columns that start with #: one group and these columns "
                "do not fit into 4 MB.\n"
            )
        if file.oversize:
            yield (
                f"`{_name(guide, file.path)}` is larger than 4 MB, because its group must stay in one file. "
                "Put it into a zip before you upload it.\n"
            )


def _name(guide: Guide, path: Path) -> str:
    return path.relative_to(guide.folder).as_posix()
