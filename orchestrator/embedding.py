"""For programs: stop a list of mass actions from Python, inside a running loop or without one.

Nothing here prints, exits or touches signals or logging of the program around it. The run directory is kept as it is by
the command, so that ``mass-stop resume`` works on it as well.
"""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Mapping,
    Sequence,
    Sized,
)
from functools import partial
from itertools import count
from os import PathLike
from pathlib import Path

from msgspec import structs

from orchestrator import report as reports
from orchestrator import runs
from orchestrator.errors import UsageError
from orchestrator.journal.entries import SourceInfo
from orchestrator.journal.intake import RowIntake
from orchestrator.journal.reader import JournalReader
from orchestrator.model import InputRow, Outcome
from orchestrator.report import ActionEntry, Report
from orchestrator.settings import Settings
from orchestrator.settings.layers import checked
from orchestrator.settings.tenants import Tenant, checked_tenants
from orchestrator.sources.objects import object_rows
from orchestrator.threads import in_thread

Key = str | tuple[str, str]
"""A bulk key; in a run of several tenants, a tenant's name and a bulk key."""

Keys = Iterable[Key] | AsyncIterable[Key]
Tenants = Mapping[str, Tenant]

SOURCE = "<program>"

_ORIGIN = runs.Origin(confirmed="program")


async def stop_all(keys: Keys, settings: Settings, tenants: Tenants | None = None) -> Report:
    """Stops the mass action of every bulk key, follows each to its end, and returns the report.

    Args:
        keys: bulk keys, from any iterable. Keys from an asynchronous iterable are stopped as they come. Whitespace and
            quotes around a key are removed. Malformed keys, objects that are not text and duplicates are reported,
            never raised. With several tenants, each item is a pair: the tenant's name and the bulk key.
        settings: the tenant, its credentials and limits; ``Settings(base_url=…, client_id=…, client_secret=Secret(…))``
            or :func:`orchestrator.resolve`. ``out`` names the run directory, or a new one is made under ``runs``. With
            ``engine="dask"`` the tenants are spread over the workers of the cluster at ``scheduler``, or over worker
            processes of this machine.
        tenants: several tenants by name, or the file that ``settings.tenants`` names; what one does not say is as in
            ``settings``.

    Returns:
        The report; ``report.run.exit_status`` is that of the command.

    Raises:
        UsageError: the settings or the keys cannot be used; nothing was sent.
        StorageError: the machine could keep the run neither on disk nor in memory.

    Cancelling it cuts the calls under way; the run directory then holds what is known, and can be resumed.
    """
    _refuse_no_list(keys)
    async with runs.opened(_begin(settings, tenants)) as run:
        await run.execute(await _intake(run, keys))
        return await run.read(reports.read_report)


async def stop_each(
    keys: Keys, settings: Settings, tenants: Tenants | None = None
) -> AsyncGenerator[ActionEntry, None]:
    """As :func:`stop_all`, but yields each action as it comes to its end.

    Actions that come to none (deadline, a tenant that went away) and malformed keys are yielded last, so that every key
    is yielded once. Leaving the loop early cuts the calls under way as soon as the iterator is closed
    (``contextlib.aclosing`` does that at once).
    """
    _refuse_no_list(keys)
    # Stops must not wait for a slow consumer: this queue is bounded by the keys, of which it holds the numbers only.
    settled: list[int] = []
    changed = asyncio.Event()

    def on_completed(seq: int, _: Outcome) -> None:
        settled.append(seq)
        changed.set()

    async with runs.opened(_begin(settings, tenants, on_completed)) as run:
        intake = await _intake(run, keys)
        work = asyncio.get_running_loop().create_task(run.execute(intake))
        work.add_done_callback(lambda _: changed.set())
        try:
            while settled or not work.done():
                changed.clear()
                batch, settled[:] = list(settled), []
                for action in await run.read(partial(_actions, batch), batched=True) if batch else ():
                    yield action
                if not work.done():
                    await changed.wait()
            await work
            for action in await run.read(_unsettled):
                yield action
        finally:
            work.cancel()
            await asyncio.wait([work])


async def resume_all(
    run_dir: str | PathLike[str], settings: Settings, keys: Keys = (), tenants: Tenants | None = None
) -> Report:
    """Goes on with a run that was cancelled, cut or killed, and returns the report of the whole.

    Args:
        run_dir: the run directory, whether this function's like or the command made it.
        settings: as for :func:`stop_all`, the credentials among them. What is at its default here is as the run was
            told, guards and limits included.
        keys: the same keys again, where the cut came before all of them were read; else they are known.
        tenants: as for :func:`stop_all`, of a run of several.

    Returns:
        The report, as of :func:`stop_all`.

    Raises:
        UsageError: the run cannot be gone on with so: another tenant, no credentials, keys that are missing.
        RunDirectoryError: there is no run, or another process is at work on it (a UsageError too).
        StorageError: the journal is damaged, or the machine can keep nothing.
    """
    _refuse_no_list(keys)
    path = Path(run_dir)
    info, told, sources, _ = await in_thread(partial(runs.earlier, path))
    unset = Settings()
    kept = {
        name: value
        for name, value in runs.kept(told).items()
        if getattr(settings, name) == getattr(unset, name)
    }
    for rivals in (("env", "base_url"), ("client_secret", "client_secret_file", "token", "token_file")):
        if any(getattr(settings, name) for name in rivals):
            kept = {name: value for name, value in kept.items() if name not in rivals}
    ours = next((one for one in sources if one.name == SOURCE and not one.complete), None)
    if ours is not None and isinstance(keys, Sized) and not len(keys):
        raise UsageError(
            f"The run in {path} was cut before all its keys were read: give the same keys again."
        )
    unread = (
        []
        if ours is not None
        else await in_thread(partial(runs.unread_sources, path, sources, (), told.plan))
    )
    now = checked(structs.replace(settings, **kept), several=bool(info.tenants))
    async with runs.opened(
        runs.reopen(path, info, now, None, checked_tenants(tenants or {}), origin=_ORIGIN)
    ) as run:
        rest = runs.rest_of_input(run, unread, told.plan) if ours is None else _intake(run, keys, ours)
        await run.execute(await rest)
        return await run.read(reports.read_report)


def resume_all_blocking(
    run_dir: str | PathLike[str], settings: Settings, keys: Iterable[Key] = (), tenants: Tenants | None = None
) -> Report:
    """As :func:`resume_all`, for scripts without an event loop; raises UsageError where one is running."""
    _refuse_running_loop("resume_all")
    return asyncio.run(resume_all(run_dir, settings, keys, tenants))


def stop_all_blocking(keys: Iterable[Key], settings: Settings, tenants: Tenants | None = None) -> Report:
    """As :func:`stop_all`, for scripts without an event loop; raises UsageError where one is running."""
    _refuse_running_loop("stop_all")
    return asyncio.run(stop_all(keys, settings, tenants))


async def _begin(
    settings: Settings, tenants: Tenants | None, on_completed: runs.OnCompleted = lambda *_: None
) -> runs.Run:
    several = bool(tenants or settings.tenants)
    usable = checked(settings, several=several)
    return await runs.begin(
        usable, "run", None, checked_tenants(tenants or {}), origin=_ORIGIN, on_completed=on_completed
    )


def _refuse_running_loop(name: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError(f"An event loop is running here: await {name}(…) instead of {name}_blocking(…).")


async def _intake(run: runs.Run, keys: Keys, known: SourceInfo | None = None) -> RowIntake:
    make = object_rows(several=bool(run.tenants), any_key=run.settings.any_key)
    rows = _rows_as_they_come(keys, make) if isinstance(keys, AsyncIterable) else map(make, count(1), keys)
    info = known or (await in_thread(partial(run.journal.add_sources, [(SOURCE, None)])))[0]
    return RowIntake(
        run.journal, rows, info, ranked=False, tenancy=runs.tenancy(run), notify=runs.notifier(run)
    )


async def _rows_as_they_come(
    keys: AsyncIterable[Key], make: Callable[[int, Key], InputRow]
) -> AsyncIterator[InputRow]:
    number = 0
    async for key in keys:
        number += 1
        yield make(number, key)


def _refuse_no_list(keys: object) -> None:
    """Raise UsageError if ``keys`` cannot be iterated, or is one text, whose letters are no keys."""
    if isinstance(keys, str | bytes) or not isinstance(keys, Iterable | AsyncIterable):
        raise UsageError(f"keys must be a list or another iterable of bulk keys, not {type(keys).__name__}.")


def _actions(seqs: Sequence[int], reader: JournalReader) -> list[ActionEntry]:
    return [action for seq in seqs if (action := reports.read_action(reader, seq)) is not None]


def _unsettled(reader: JournalReader) -> list[ActionEntry]:
    return list(reports.read_actions(reader, "unsettled"))
