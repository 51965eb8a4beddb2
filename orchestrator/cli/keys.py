"""``mass-stop keys``."""

import csv
import io
import sys
from collections.abc import Iterable

import click

from orchestrator.cli import complete
from orchestrator.cli.help import Command
from orchestrator.cli.output import print_out, say
from orchestrator.errors import InputError, UsageError
from orchestrator.printable import counted, printable
from orchestrator.results.formula_guard import guard
from orchestrator.sources.extract import Extraction, FoundKey

COLUMNS = ("bulk_key", "source", "row", "time", "occurrences")

_ROWS = 1_000  # rows that are written at once


@click.command("keys", cls=Command)
@click.argument("files", metavar="FILE...", nargs=-1, shell_complete=complete.files)
@click.option(
    "--loose",
    is_flag=True,
    envvar="MASS_STOP_LOOSE",
    help="Also take text that only looks like a key (32 letters or digits).",
)
def command(files: tuple[str, ...], loose: bool) -> int:
    """Find bulk keys in logs, JSON, HTTP traces (HAR) and exported tables, and print them as CSV.

    FILE may be gzipped; - is standard input. A key needs a label ("bulkKey": "KEY", bulk_key=KEY), an address
    (/v1/bulk/KEY) or a column titled bulk_key. The result is a SOURCE for plan and run.

    The exit status is 1 if a source could not be searched to its end, and 2 if there is no key.
    """
    if not files:
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("No files: name logs or exports, or pipe them into mass-stop keys.")
        files = ("-",)
    extraction = Extraction(loose=loose)
    for name in files:
        extraction.read(name)
    for sentence in extraction.remarks:
        say(sentence)
    found = extraction.found
    if not found:
        hint = "" if loose else " If the keys have no label there, add --loose."
        raise InputError(f"No bulk key was found in {counted(len(files), 'source')}.{hint}")
    _print(found.items())
    occurrences = sum(key.occurrences for key in found.values())
    say(
        f"{counted(len(found), 'key')} in {counted(len(files), 'source')}, {counted(occurrences, 'occurrence')}."
    )
    return 0 if extraction.complete else 1


def _print(found: Iterable[tuple[str, FoundKey]]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for number, (key, first) in enumerate(found, 1):
        table.writerow((key, guard(printable(first.source)), first.row, first.time, first.occurrences))
        if number % _ROWS == 0:
            print_out(text.getvalue())
            text.seek(0)
            text.truncate()
    print_out(text.getvalue())
