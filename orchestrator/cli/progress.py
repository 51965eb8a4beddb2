"""Progress of a run at work: a display on a terminal that can overwrite lines, elsewhere an event in the log."""

import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from time import monotonic

import anyio

from orchestrator.cli.page import capabilities_of
from orchestrator.logs import Log, Screen
from orchestrator.progress import Progress, Speed
from orchestrator.settings import Settings

EVERY = 10.0
"""Seconds between two events of progress."""


def shown(
    progress: Progress, log: Log, screen: Screen, settings: Settings
) -> AbstractAsyncContextManager[None]:
    """Show ``progress`` while the block runs, in the form that suits standard error, unless options forbid it."""
    if settings.quiet or settings.no_progress:
        return nullcontext()
    capabilities = capabilities_of(sys.stderr)
    if not capabilities.animated or settings.log_format == "json":
        return logged(progress, log)

    from orchestrator.cli.display import showing

    return showing(progress, screen, capabilities)


@asynccontextmanager
async def logged(progress: Progress, log: Log, every: float = EVERY) -> AsyncIterator[None]:
    """Log ``run.progress`` every ``every`` seconds while the block runs."""

    async def keep_logging() -> None:
        speed = Speed()
        fields(progress, speed, monotonic())
        while True:
            await anyio.sleep(every)
            log.info("run.progress", **fields(progress, speed, monotonic()))

    async with anyio.create_task_group() as group:
        group.start_soon(keep_logging)
        try:
            yield
        finally:
            group.cancel_scope.cancel()


def fields(progress: Progress, speed: Speed, now: float) -> dict[str, object]:
    """The fields of a ``run.progress`` event at ``now`` (monotonic seconds); ``speed`` is that of the first stage."""
    stages = {name: done for name, (done, _) in progress.stages.items()}
    per_second = speed.at(now, next(iter(stages.values())))
    values: dict[str, object] = {
        "keys": progress.keys, **stages, "need_a_person": progress.need_a_person,
        "per_second": per_second and round(per_second, 1), "retries": progress.retries, "throttled": progress.throttled,
        "hedged": progress.hedged, "in_flight": progress.in_flight, "slots": progress.slots,
    }  # fmt: skip
    if len(progress.tenants) > 1:
        given_up = [name for name, one in progress.tenants.items() if one.given_up is not None]
        values["tenants"] = len(progress.tenants)
        values["tenants_given_up"] = len(given_up)
    if progress.closed_until > now:
        values["waiting_seconds"] = round(progress.closed_until - now, 1)
    if progress.outage is not None:
        values["outage_seconds"] = round(now - progress.outage.since, 1)
        values["outage"] = progress.outage.problem
    if progress.closing_by is not None and progress.writing is None:
        values["ends_within_seconds"] = round(max(0.0, progress.closing_by - now), 1)
    if progress.writing is not None:
        values["writing_percent"] = round(100 * progress.writing)
    return values
