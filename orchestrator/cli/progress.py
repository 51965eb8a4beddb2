"""Progress while a run is at work: a display where lines can be written over, elsewhere a sparse event in the log."""

import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from time import monotonic

import anyio

from orchestrator.cli.page import look_of
from orchestrator.logs import Log, Screen
from orchestrator.progress import Progress, Speed
from orchestrator.settings import Settings

EVERY = 10.0
"""Seconds between two events of progress."""


def shown(
    progress: Progress, log: Log, screen: Screen, settings: Settings
) -> AbstractAsyncContextManager[None]:
    """Shows ``progress`` while the block runs, in the form that suits standard error, unless that is not wanted."""
    if settings.quiet or settings.no_progress:
        return nullcontext()
    look = look_of(sys.stderr)
    if not look.animated or settings.log_format == "json":
        return told(progress, log)

    from orchestrator.cli.display import showing

    return showing(progress, screen, look)


@asynccontextmanager
async def told(progress: Progress, log: Log, every: float = EVERY) -> AsyncIterator[None]:
    """Logs ``run.progress`` once in ``every`` seconds while the block runs."""

    async def keep_telling() -> None:
        count = Speed(lambda: progress.over if progress.planning else progress.through)
        count.look(monotonic())
        while True:
            await anyio.sleep(every)
            log.info("run.progress", **fields(progress, count, monotonic()))

    async with anyio.create_task_group() as group:
        group.start_soon(keep_telling)
        try:
            yield
        finally:
            group.cancel_scope.cancel()


def fields(progress: Progress, count: Speed, now: float) -> dict[str, object]:
    """What an event of progress says at ``now`` (monotonic seconds)."""
    speed = count.look(now)
    stops = {} if progress.planning else {"stops": progress.through}
    told: dict[str, object] = {
        "keys": progress.keys, **stops, "settled": progress.over, "need_a_person": progress.need_a_person,
        "per_second": speed and round(speed, 1), "retries": progress.retries, "throttled": progress.throttled,
        "hedged": progress.hedged,
        "in_flight": progress.in_flight, "slots": progress.slots,
    }  # fmt: skip
    if len(progress.tenants) > 1:
        given_up = [name for name, one in progress.tenants.items() if one.given_up is not None]
        told["tenants"] = len(progress.tenants)
        told["tenants_given_up"] = len(given_up)
    if progress.closed_until > now:
        told["waiting_seconds"] = round(progress.closed_until - now, 1)
    return told
