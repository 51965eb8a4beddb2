"""``remediation/README.md``: what each file of this run contains, and what to do with it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from orchestrator.atomic import append, sync
from orchestrator.results.index import NAME, Index, RemediationFile, encode

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
            "These records went through before the stop. The files list what changed; the old values are in no "
            "response file."
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


def write_guide(
    folder: Path, index: Index, remarks: Mapping[str, Sequence[str]], unknown: Mapping[str, int]
) -> None:
    """Writes the page and the index. Raises OSError.

    Args:
        folder: where the files of ``index`` are.
        index: the files and their records.
        remarks: by the path of a file, sentences on it that go on after its name.
        unknown: records that could not be sorted, by action type.
    """
    page = "\n".join(_page(index, remarks, unknown))
    for name, content in (("README.md", page.encode()), (NAME, encode(index))):
        append(folder / name, content)
        sync(folder / name)


def _page(index: Index, remarks: Mapping[str, Sequence[str]], unknown: Mapping[str, int]) -> Iterator[str]:
    yield "# Records of this run\n"
    for folder, (title, advice) in _FOLDERS.items():
        files = [file for file in index.files if file.folder == folder]
        if not files:
            continue
        yield f"## {title}: `{folder}/`\n\n{advice}\n\n| file | records |\n| --- | --- |"
        yield from map(_row, files)
        yield ""
        yield from (f"`{file.path}` {remark}\n" for file in files for remark in remarks.get(file.path, ()))
        if folder == "reverse" and index.electronic_payments:
            yield (
                f"{index.electronic_payments:,} electronic payments went through; they come first. An electronic "
                "payment can be cancelled only until it settles, typically 24 to 48 hours after it was made.\n"
            )
    if unknown:
        yield "## Not sorted\n"
        for kind, records in unknown.items():
            yield f"- {records:,} records of action type {kind}: the type or its header is not known."
        yield "\nThese records are only in the three general files. Sort them by hand before an upload.\n"
    yield _GENERAL.format(rows="\n".join(_row(file) for file in index.files if not file.folder))


def _row(file: RemediationFile) -> str:
    return f"| `{file.path}` | {file.records:,} |"
