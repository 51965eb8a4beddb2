"""``mass-stop report``."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import complete, output, targets
from orchestrator.cli.help import Command
from orchestrator.cli.latest import run_argument, run_or_latest
from orchestrator.errors import StorageError, UsageError
from orchestrator.model import Outcome
from orchestrator.printable import printable

if TYPE_CHECKING:
    from orchestrator.journal.reader import JournalReader
    from orchestrator.report import Write

PERSON = "needs-person"
SUFFIXES = {"json": "json", "csv": "csv", "html": "html", "markdown": "md", "support": "txt"}


@click.command("report", cls=Command)
@run_argument
@click.option(
    "--format",
    "form",
    envvar="MASS_STOP_FORMAT",
    type=click.Choice(tuple(SUFFIXES)),
    default="json",
    show_default=True,
    help="Form of the report: for programs, spreadsheets, people, or a channel.",
)
@click.option(
    "--report",
    "target",
    envvar="MASS_STOP_REPORT",
    metavar="PATH|-",
    shell_complete=complete.files,
    help="File to write; - is standard output [default: in RUN_DIR].",
)
@click.option(
    "--only",
    envvar="MASS_STOP_ONLY",
    type=click.Choice((PERSON, *(outcome.value for outcome in Outcome))),
    help="List only the actions that need a person, or those of one outcome (json and csv).",
)
@click.option("--schema", is_flag=True, help="Print the report's JSON Schema and do nothing else.")
def command(
    run_dir: Path | None, form: str, target: str | None, latest: bool, only: str | None, schema: bool
) -> int:
    """Write the report of the run in RUN_DIR again, from its journal, whether or not the run finished.

    The journal is never modified. For a read-only RUN_DIR, name the place of the report with --report.
    """
    from orchestrator import report as reports

    if schema:
        output.print_out(json.dumps(reports.json_schema(), indent=2) + "\n")
        return 0
    if only is not None:
        _refuse_list(form, target)
    run_dir = run_or_latest(run_dir, latest=latest, command="report")
    targets.refuse_report_target(target)
    return _write(run_dir, form, target, only)


def _refuse_list(form: str, target: str | None) -> None:
    """Raises UsageError where ``--only`` has no effect, or its list would replace the report."""
    if form not in ("json", "csv", "support"):
        raise UsageError(
            f"--only: a report in the form {form} has all actions; choose --format json, csv or support."
        )
    if target is None:
        raise UsageError(
            "--only: say where the list goes, so that it does not replace the report: --report PATH|-"
        )


def _write(run_dir: Path, form: str, target: str | None, only: str | None) -> int:
    import msgspec

    from orchestrator.cli.report_output import copy_report, shown
    from orchestrator.journal.database import UNREADABLE
    from orchestrator.journal.recovery.opening import open_for_report
    from orchestrator.journal.recovery.state import is_read_only

    stem = "support" if form == "support" else "report"
    path = target or str(run_dir / f"{stem}.{SUFFIXES[form]}")
    reader = open_for_report(run_dir)
    try:
        if target is None and is_read_only(run_dir):
            raise UsageError(
                f"The run in {run_dir} is read-only, and a report does not change it: add --report PATH, or --report - "
                "for standard output."
            )
        copy_report(path, partial(_write_form, form, run_dir, only, reader))
    except ConnectionError:
        pass  # the reader closed it: it has read enough
    except OSError as error:
        raise StorageError(f"The report could not be written to {shown(path)}: {error.strerror}.") from error
    except (*UNREADABLE, msgspec.MsgspecError) as error:
        raise StorageError(f"The journal in {run_dir} cannot be read: {error}.") from error
    finally:
        reader.close()
    if path != "-":
        sys.stderr.write(f"{printable(path)}\n")
    for sentence in reader.missing:
        output.say(sentence)
    return 5 if reader.missing else 0


def _write_form(form: str, run_dir: Path, only: str | None, reader: "JournalReader", write: "Write") -> None:
    from orchestrator import report as reports
    from orchestrator.report.writing import NEEDS_PERSON

    outcomes = NEEDS_PERSON if only == PERSON else (Outcome(only),) if only is not None else ()
    match form:
        case "html":
            from orchestrator.report.pages.html import report_sha256, write_html

            write_html(reader, write, run_dir, report_sha256(reader))
        case "markdown":
            from orchestrator.report.pages.markdown import write_markdown

            write_markdown(reader, write, run_dir)
        case "support":
            from orchestrator.report.support import write_support

            write_support(reader, write, outcomes)
        case "csv":
            reports.write_csv(reader, write, outcomes)
        case _:
            reports.write_json(reader, write, outcomes)
