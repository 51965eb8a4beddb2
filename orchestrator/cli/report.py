"""``mass-stop report``."""

import json
import sys
from pathlib import Path

import click

from orchestrator.cli import complete
from orchestrator.errors import StorageError, UsageError

FORMATS = ("json", "csv")


@click.command("report")
@click.argument(
    "run_dir",
    metavar="RUN_DIR",
    type=click.Path(path_type=Path),
    required=False,
    shell_complete=complete.folders,
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="json",
    show_default=True,
    help="Form of the report.",
)
@click.option(
    "--report",
    "target",
    metavar="PATH|-",
    shell_complete=complete.files,
    help="Where to write it; - is standard output [default: in RUN_DIR].",
)
@click.option("--schema", is_flag=True, help="Print the report's JSON Schema and do nothing else.")
def command(run_dir: Path | None, form: str, target: str | None, schema: bool) -> int:
    """Writes the report of the run in RUN_DIR again, from its journal, whether the run is finished or not."""
    from orchestrator.store import report as reports

    if schema:
        sys.stdout.write(json.dumps(reports.json_schema(), indent=2) + "\n")
        return 0
    if run_dir is None:
        raise UsageError("Which run? Give its directory: mass-stop report RUN_DIR")

    import sqlite3

    from orchestrator.cli.session import copy_report
    from orchestrator.store.damage import open_valid

    path = target or str(run_dir / f"report.{form}")
    connection, sentences = open_valid(run_dir / "journal.db")
    try:
        copy_report(connection, path, reports.write_json if form == "json" else reports.write_csv)
    except BrokenPipeError:
        return 0  # whoever read it has read enough
    except OSError as error:
        raise StorageError(f"The report could not be written to {path}: {error.strerror}.") from error
    except sqlite3.Error as error:
        raise StorageError(f"The journal in {run_dir} cannot be read: {error}.") from error
    finally:
        connection.close()
    if path != "-":
        sys.stderr.write(f"{path}\n")
    for sentence in sentences:
        sys.stderr.write(f"mass-stop: {sentence}\n")
    return 5 if sentences else 0
