"""The newest run in the folder of runs, for ``--latest``."""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from orchestrator.cli import complete
from orchestrator.cli.output import say
from orchestrator.errors import MassStopError, UsageError

RUNS = Path("runs")

_RUN_ID = re.compile(r"(\d{8}-\d{6})-[0-9a-f]{6}")


def latest_option(help_text: str) -> Callable[..., Any]:
    """The option ``--latest``. MASS_STOP_LATEST counts only without arguments: those are nearer to the operator."""
    return click.option(
        "--latest", is_flag=True, envvar="MASS_STOP_LATEST", help=help_text, callback=_without_arguments
    )


def _without_arguments(context: click.Context, _: click.Parameter, value: bool) -> bool:
    named = any(context.params.get(name) for name in ("run_dir", "places"))
    return value and not (named and context.get_parameter_source("latest") is ParameterSource.ENVIRONMENT)


def run_argument(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the argument RUN_DIR and the option ``--latest``, for :func:`run_or_latest`."""
    latest = latest_option("Take the newest run in runs/.")
    run_dir = click.argument(
        "run_dir",
        metavar="RUN_DIR",
        type=click.Path(path_type=Path),
        required=False,
        shell_complete=complete.folders,
    )
    decorated: Callable[..., Any] = run_dir(latest(function))
    return decorated


def run_or_latest(run_dir: Path | None, *, latest: bool, command: str) -> Path:
    """``run_dir``, or with ``latest`` the newest run in ``runs/``, which is named on standard error.

    If several began in the same second, the later id counts. Raises UsageError.
    """
    if latest and run_dir is not None:
        raise UsageError("Give RUN_DIR or --latest, not both.")
    if run_dir is not None:
        return run_dir
    if not latest:
        raise UsageError(f"Which run? Give its directory: mass-stop {command} RUN_DIR, or --latest")
    runs = [run for path in RUNS.glob("*/journal.db") if (run := (_started(path.parent), path.parent))[0]]
    if not runs:
        raise UsageError(f"There is no run in {RUNS.absolute()}. Give its directory instead of --latest.")
    second, newest = max(runs, key=lambda run: (run[0], run[1].name))
    others = [str(path) for began, path in runs if began == second and path != newest]
    also = f" {', '.join(sorted(others))} began in the same second; the later id counts." if others else ""
    say(f"The latest run is {newest}.{also}")
    return newest


def _started(path: Path) -> str:
    """The second in which a run began, as its id says it; "" if that is not known."""
    if named := _RUN_ID.fullmatch(path.name):
        return named[1]
    from orchestrator.journal.recovery.opening import open_for_report

    with suppress(MassStopError), open_for_report(path) as reader:
        began = datetime.fromisoformat(reader.run().started_at)
        return f"{began:%Y%m%d-%H%M%S}"
    return ""
