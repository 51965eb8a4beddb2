"""``mass-stop drill``."""

import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import options
from orchestrator.cli.help import Command
from orchestrator.cli.simulate import fault_plan, tenant_options
from orchestrator.errors import UsageError

if TYPE_CHECKING:
    from orchestrator.settings import Settings
    from orchestrator.simulator import SimulatedTenant, TenantConfig

MOST_RECORDS = 1_000_000
"""Records of a drill that are checked; a larger drill would take minutes for it."""


@click.command("drill", cls=Command)
@tenant_options(200_000, faults="some")
@options.settings_options(
    *options.LIMITS, *options.PACE, *options.RESULTS, "out", *options.FILES, *options.SCREEN
)
def command(actions: int, faults: str, seed: int, **given: Any) -> int:
    """Rehearse a run against a simulated tenant on this machine. Needs no credentials, stops nothing real."""
    from anyio import to_thread

    from orchestrator import runs
    from orchestrator.cli.session import conduct
    from orchestrator.logs import Screen
    from orchestrator.simulator import SimulatedTenant, TenantConfig
    from orchestrator.simulator.server import write_keys

    settings = options.read_settings(given)
    if settings.out is not None and os.path.lexists(keys := Path(settings.out) / "keys.csv"):
        raise UsageError(f"--out: the drill would overwrite {keys}; give another directory.")
    config = TenantConfig(actions=actions, seed=seed, faults=fault_plan(faults))

    @asynccontextmanager
    async def prepare(screen: Screen) -> AsyncIterator[tuple[runs.Run, runs.Intake]]:
        async with SimulatedTenant(config) as tenant:
            own = _settings_for(tenant.base_url, config, settings)
            async with runs.opened(
                runs.begin(own, "drill", screen, origin=runs.Origin(options.command_line()))
            ) as run:
                keys = run.directory.path / "keys.csv"
                write_keys(tenant, keys)
                yield run, runs.file_intake(run, await runs.new_sources(run, [str(keys)]))
                if run.saved and not settings.quiet:
                    sentence = await to_thread.run_sync(_resend, run.directory.path, tenant)
                    sys.stderr.write(f"\n{sentence}\n" if sentence else "")

    return conduct(settings, prepare)


def _settings_for(base_url: str, config: "TenantConfig", settings: "Settings") -> "Settings":
    """``settings`` with the simulated tenant at ``base_url``, and without any that name a real one or an input."""
    from msgspec import structs

    from orchestrator.settings import Secret

    return structs.replace(
        settings,
        base_url=base_url,
        client_id=config.client_id,
        client_secret=Secret(config.client_secret),
        token=None,
        order=None,
        plan=None,
        tenants=None,
        tenant=None,
        engine="local",
    )


def _resend(directory: Path, tenant: "SimulatedTenant") -> str | None:
    """Upload ``remediation/resend/`` to the simulated tenant. Blocks: call it in a thread.

    Returns:
        A sentence on the result; None if there is nothing to upload, or too much to check.
    """
    from orchestrator.results.index import read_index

    index = read_index(directory)
    spared = index.records_in("resend") if index is not None else 0
    keys = list(tenant.keys)
    if index is None or not spared or sum(tenant.truth(key).total for key in keys) > MOST_RECORDS:
        return None
    again = [
        tenant.upload(
            Path(file.path).name.partition("-")[0], (directory / "remediation" / file.path).read_bytes()
        )
        for file in index.files
        if file.folder == "resend"
    ]
    first = Counter(record for key in keys for record in tenant.processed(key))
    second = Counter(record for key in again for record in tenant.processed(key))
    twice = sum((first & second).values()) + sum(count - 1 for count in second.values())
    missing = spared - second.total()
    if twice or missing:
        return (
            f"The {spared:,} spared records were uploaded again: {twice:,} were processed twice, {missing:,} not "
            "at all. This is a defect of mass-stop."
        )
    return (
        f"The {spared:,} spared records were uploaded again and completed: each was processed exactly once."
    )
