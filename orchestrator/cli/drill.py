"""``mass-stop drill``."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import click

from orchestrator.cli import options
from orchestrator.cli.help import Command, Whole
from orchestrator.cli.simulate import fault_plan, faults_option


@click.command("drill", cls=Command)
@click.option(
    "--actions",
    envvar="MASS_STOP_ACTIONS",
    default=200,
    show_default=True,
    type=Whole(1, 200_000),
    help="Number of mass actions to stop: from 1 to 200,000.",
)
@faults_option("some")
@click.option(
    "--seed",
    envvar="MASS_STOP_SEED",
    default=1,
    show_default=True,
    type=Whole(0, 10**9),
    help="A number that decides the simulated tenant: the same seed, the same tenant. From 0 on.",
)
@options.settings_options(*options.PACE, *options.ENDS, *options.OUTPUT, *options.METRICS)
def command(actions: int, faults: str, seed: int, **given: Any) -> int:
    """Rehearse a run against a simulated tenant on this machine. Needs no credentials, stops nothing real."""
    from anyio import to_thread
    from msgspec import structs

    from orchestrator import runs
    from orchestrator.cli.resend import resend
    from orchestrator.cli.session import conduct
    from orchestrator.logs import Screen
    from orchestrator.settings import Secret
    from orchestrator.simulator import SimulatedTenant, TenantConfig
    from orchestrator.simulator.server import write_keys

    settings = options.read_settings(given)
    config = TenantConfig(actions=actions, seed=seed, faults=fault_plan(faults))

    @asynccontextmanager
    async def prepare(screen: Screen) -> AsyncIterator[tuple[runs.Run, runs.Intake]]:
        async with SimulatedTenant(config) as tenant:
            own = structs.replace(
                settings,
                base_url=tenant.base_url,
                client_id=config.client_id,
                client_secret=Secret(config.client_secret),
                token=None,
                order=None,
                plan=None,
                tenants=None,
                tenant=None,
                engine="local",
            )
            async with runs.opened(
                runs.begin(own, "drill", screen, origin=runs.Origin(options.command_line()))
            ) as run:
                keys = run.directory.path / "keys.csv"
                write_keys(tenant, keys)
                yield run, runs.file_intake(run, await runs.new_sources(run, [str(keys)]))
                if run.saved and not settings.quiet:
                    sentence = await to_thread.run_sync(resend, run.directory.path, tenant)
                    sys.stderr.write(f"\n{sentence}\n" if sentence else "")

    return conduct(settings, prepare)
