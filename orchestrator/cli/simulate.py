"""``mass-stop simulate``."""

import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orchestrator.cli import complete
from orchestrator.cli.help import Command, Whole
from orchestrator.errors import UsageError
from orchestrator.settings.forms import DURATION

if TYPE_CHECKING:
    from orchestrator.simulator import FaultPlan

F = TypeVar("F", bound=Callable[..., Any])

FAULTS = {
    "none": "nothing goes wrong",
    "some": "2 calls in 100",
    "many": "12 calls in 100",
    "hell": "40 calls in 100",
}
"""Levels of faults, and how many calls go wrong."""


def tenant_options(most: int, faults: str) -> Callable[[F], F]:
    """Adds the options of a simulated tenant: ``--actions`` up to ``most``, ``--faults`` and ``--seed``."""
    actions_option = click.option(
        "--actions",
        envvar="MASS_STOP_ACTIONS",
        default=200,
        show_default=True,
        type=Whole(1, most),
        help=f"Number of mass actions of the simulated tenant: from 1 to {most:,}.",
    )
    faults_option = click.option(
        "--faults",
        envvar="MASS_STOP_FAULTS",
        default=faults,
        show_default=True,
        metavar="LEVEL",
        shell_complete=complete.words(FAULTS),
        help="Share of calls that go wrong: none, some (2%), many (12%), hell (40%), or a number such as 0.1.",
    )
    seed_option = click.option(
        "--seed",
        envvar="MASS_STOP_SEED",
        default=1,
        show_default=True,
        type=Whole(0, 10**9),
        help="A number that decides the simulated tenant: the same seed, the same tenant. From 0 on.",
    )
    return lambda function: actions_option(faults_option(seed_option(function)))


def _latency(_: click.Context, __: click.Parameter, text: str) -> float:
    """The latency in seconds. A number alone is seconds, 0 included."""
    with suppress(ValueError):
        seconds = 0.0 if text.strip() == "0" else DURATION.read(text)
        if seconds <= 60:
            return seconds
    raise click.BadParameter(f"{text!r} is not usable; give a duration up to 60s, for example 80ms or 0.08.")


@click.command("simulate", cls=Command)
@click.option(
    "--port",
    envvar="MASS_STOP_PORT",
    default=0,
    metavar="PORT",
    type=Whole(0, 65_535),
    help="Port to serve on, up to 65535 [default: a free port].",
)
@tenant_options(1_000_000, faults="none")
@click.option(
    "--latency",
    envvar="MASS_STOP_LATENCY",
    default="80ms",
    show_default=True,
    metavar="DURATION",
    callback=_latency,
    help="Time of one call, such as 80ms or 2s: at most 60s.",
)
@click.option(
    "--keys",
    envvar="MASS_STOP_KEYS",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File for its bulk keys.",
)
def command(port: int, actions: int, faults: str, seed: int, latency: float, keys: Path | None) -> int:
    """Serve a simulated tenant on this machine, until interrupted, for rehearsals with any client.

    When it is ready, it prints ZUORA_BASE_URL, ZUORA_CLIENT_ID and ZUORA_CLIENT_SECRET as NAME=value lines.
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
    """Prints how to reach the tenant."""
    sys.stdout.write("".join(f"{name}={value}\n" for name, value in environment.items()))
    sys.stdout.flush()


def fault_plan(level: str) -> "FaultPlan":
    """The faults that ``level`` names: a word, or a share of the calls. Raises UsageError."""
    from orchestrator.simulator import FaultPlan

    try:
        return FaultPlan.level(level)
    except ValueError:
        raise UsageError(
            f"--faults: {level!r} is no level; expected none, some, many, hell, or a share such as 0.1."
        ) from None
