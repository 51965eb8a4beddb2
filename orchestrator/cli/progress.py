"""Progress while a run is at work: a display where lines can be written over, elsewhere a sparse event in the log."""

import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from time import monotonic

import anyio

from orchestrator.cli.page import look_of
from orchestrator.logs import Log, Screen
from orchestrator.progress import Speed, Tally
from orchestrator.settings import Settings

EVERY = 10.0
"""Seconds between two events of progress."""


def shown(tally: Tally, log: Log, screen: Screen, settings: Settings) -> AbstractAsyncContextManager[None]:
    """Shows ``tally`` while the block runs, in the form that suits standard error, unless that is not wanted."""
    if settings.quiet or settings.no_progress:
        return nullcontext()
    look = look_of(sys.stderr)
    if not look.animated or settings.log_format == "json":
        return told(tally, log)

    from orchestrator.cli.display import showing

    return showing(tally, screen, look)


@asynccontextmanager
async def told(tally: Tally, log: Log, every: float = EVERY) -> AsyncIterator[None]:
    """Logs ``run.progress`` once in ``every`` seconds while the block runs."""

    async def keep_telling() -> None:
        count = Speed(lambda: tally.over if tally.planning else tally.through)
        count.look(monotonic())
        while True:
            await anyio.sleep(every)
            log.info("run.progress", **fields(tally, count, monotonic()))

    async with anyio.create_task_group() as group:
        group.start_soon(keep_telling)
        try:
            yield
        finally:
            group.cancel_scope.cancel()


def fields(tally: Tally, count: Speed, now: float) -> dict[str, object]:
    """What an event of progress says at ``now`` (monotonic seconds)."""
    speed = count.look(now)
    stops = {} if tally.planning else {"stops": tally.through}
    told: dict[str, object] = {
        "keys": tally.keys, **stops, "settled": tally.over, "need_a_person": tally.need_a_person,
        "per_second": speed and round(speed, 1), "retries": tally.retries, "throttled": tally.throttled,
        "in_flight": tally.in_flight, "slots": tally.slots,
    }  # fmt: skip
    if len(tally.tenants) > 1:
        given_up = [name for name, one in tally.tenants.items() if one.given_up is not None]
        told["tenants"] = len(tally.tenants)
        told["tenants_given_up"] = len(given_up)
    if tally.closed_until > now:
        told["waiting_seconds"] = round(tally.closed_until - now, 1)
    return told
