"""``mass-stop simulate``."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import complete
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.simulator import FaultPlan


FAULTS = {
    "none": "nothing goes wrong",
    "some": "2 calls in 100",
    "many": "12 calls in 100",
    "hell": "40 calls in 100",
}
"""Levels of faults, and how many calls go wrong."""


@click.command("simulate")
@click.option(
    "--port",
    envvar="MASS_STOP_PORT",
    default=0,
    metavar="PORT",
    type=click.IntRange(0, 65_535),
    help="Port to serve on [default: a free one].",
)
@click.option(
    "--actions",
    envvar="MASS_STOP_ACTIONS",
    default=200,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help="Mass actions it has.",
)
@click.option(
    "--faults",
    envvar="MASS_STOP_FAULTS",
    default="none",
    show_default=True,
    metavar="LEVEL",
    shell_complete=complete.words(FAULTS),
    help="none, some, many, hell, or a share.",
)
@click.option(
    "--seed", envvar="MASS_STOP_SEED", default=1, show_default=True, type=int, help="What it is made from."
)
@click.option(
    "--latency",
    envvar="MASS_STOP_LATENCY",
    default=0.08,
    show_default=True,
    metavar="SECONDS",
    type=click.FloatRange(0, 60),
    help="Of one call.",
)
@click.option(
    "--keys",
    envvar="MASS_STOP_KEYS",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write its bulk keys.",
)
def command(port: int, actions: int, faults: str, seed: int, latency: float, keys: Path | None) -> int:
    """Serves a simulated tenant on this machine, until interrupted: for rehearsals with any client.

    Prints ZUORA_BASE_URL, ZUORA_CLIENT_ID and ZUORA_CLIENT_SECRET as NAME=value lines once it serves.
    """
    import anyio

    from orchestrator.simulator import TenantConfig, serve

    config = TenantConfig(
        actions=actions, seed=seed, latency=latency, faults=fault_plan(faults), keep_log=False
    )

    async def until_interrupted() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(serve, config, port, keys, announce)
            with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async for _ in signals:
                    group.cancel_scope.cancel()
                    return

    try:
        anyio.run(until_interrupted)
    except* OSError as errors:
        error = errors.exceptions[0]
        why = error.strerror if isinstance(error, OSError) else error
        file = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        raise UsageError(f"The simulated tenant cannot serve: {file}{why}.") from None
    return 0


def announce(environment: dict[str, str]) -> None:
    """Tells whoever started this how to reach the tenant."""
    sys.stdout.write("".join(f"{name}={value}\n" for name, value in environment.items()))
    sys.stdout.flush()


def fault_plan(level: str) -> "FaultPlan":
    """The faults that ``level`` names: a word, or a share of the calls. Raises UsageError."""
    from orchestrator.simulator import FaultPlan

    try:
        return FaultPlan.level(level)
    except (ValueError, KeyError):
        raise UsageError(
            f"--faults: {level!r} is no level; expected none, some, many, hell, or a share such as 0.1."
        ) from None
