"""For programs: stop a list of mass actions from Python, inside a running loop or without one.

Nothing here prints, exits or touches signals or logging of the program around it. The run directory is that of the
command, so that ``mass-stop resume`` works on it as well.
"""

import asyncio
import logging
import warnings
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence, Sized
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from os import PathLike
from pathlib import Path

from orchestrator import report as reports
from orchestrator import runs
from orchestrator.errors import RunCutShort, TenantError, UsageError
from orchestrator.journal.entries import SourceInfo, Verification
from orchestrator.journal.intake import RowIntake
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.recovery.opening import open_for_report
from orchestrator.logs import LoggerScreen
from orchestrator.model import InputRow, Outcome
from orchestrator.progress import OnProgress, shown_to
from orchestrator.report import ActionEntry, Report
from orchestrator.runs import verify
from orchestrator.settings.programs import Settings, checked, naming_arguments
from orchestrator.settings.tenants import Tenant, checked_tenants
from orchestrator.sources.objects import object_rows
from orchestrator.threads import in_thread

Key = str | tuple[str, str]
"""A bulk key; in a run of several tenants, a tenant's name and a bulk key."""

Keys = Iterable[Key] | AsyncIterable[Key]
Tenants = Mapping[str, Tenant]

SOURCE = "<program>"

_ORIGIN = runs.Origin(confirmed="program")


async def stop_all(
    keys: Keys,
    settings: Settings,
    tenants: Tenants | None = None,
    *,
    on_progress: OnProgress | None = None,
    logger: logging.Logger | None = None,
) -> Report:
    """Stop the mass action of every bulk key, poll each until it ends, and return the report.

    Args:
        keys: bulk keys, from any iterable. Keys from an asynchronous iterable are stopped as they arrive. Whitespace
            and quotes around a key are removed. Malformed keys, objects that are not text and duplicates are reported,
            never raised. With several tenants, each item is a pair: the tenant's name and the bulk key.
        settings: the tenant, its credentials and limits; ``Settings(base_url=…, client_id=…, client_secret=Secret(…))``
            or :func:`orchestrator.resolve`. ``out`` names the run directory; without it, a new one is made in
            ``runs``. With ``engine="dask"``, workers of the cluster at ``scheduler`` process the tenants, or worker
            processes of this machine.
        tenants: several tenants by name, instead of the file in ``settings.tenants``. A value that a tenant lacks is
            taken from ``settings``.
        on_progress: called with the counts at the start, every half second and at the end, in the event loop. It must
            return quickly. If it raises, the error is logged and it is not called again.
        logger: receives every event of the run, in the event loop. The event's fields are in the record's
            ``mass_stop``. Without it, events are written to ``run.log`` only.

    Returns:
        The report. ``report.run.exit_status`` is that of the command; ``report.raise_for_status()`` raises for it.

    Raises:
        UsageError: the settings or the keys cannot be used; nothing was sent.
        StorageError: the machine could keep the run neither on disk nor in memory.

    If it is cancelled, calls in flight are cancelled. The run directory then contains what is known, and
    :func:`resume_all` continues the run.
    """
    return await _work(keys, settings, tenants, "run", on_progress, logger)


async def plan_all(
    keys: Keys,
    settings: Settings,
    tenants: Tenants | None = None,
    *,
    on_progress: OnProgress | None = None,
    logger: logging.Logger | None = None,
) -> Report:
    """Read the status of every mass action and report what :func:`stop_all` would do. Sends no stop.

    An action that would be stopped has the outcome ``would_stop``, and its speed and remaining records in ``plan``.
    Arguments, result and errors are those of :func:`stop_all`.
    """
    return await _work(keys, settings, tenants, "plan", on_progress, logger)


async def stop_each(
    keys: Keys,
    settings: Settings,
    tenants: Tenants | None = None,
    *,
    on_progress: OnProgress | None = None,
    logger: logging.Logger | None = None,
) -> AsyncGenerator[ActionEntry, None]:
    """As :func:`stop_all`, but yield each action as it is completed.

    Actions without an end (deadline, a tenant that went away) and malformed keys are yielded last, so that every key
    is yielded once. If the loop is left early, calls in flight are cancelled as soon as the iterator is closed
    (``contextlib.aclosing`` does that at once).
    """
    # Stops must not wait for a slow consumer: this queue is bounded by the keys, of which it holds the numbers only.
    completed: list[int] = []
    changed = asyncio.Event()

    def on_completed(seq: int, _: Outcome) -> None:
        completed.append(seq)
        changed.set()

    async with (
        _begun(keys, settings, tenants, "run", logger, on_completed) as (run, intake),
        shown_to(on_progress, run.progress, run.log),
    ):
        work = asyncio.get_running_loop().create_task(run.execute(intake))
        work.add_done_callback(lambda _: changed.set())
        try:
            while completed or not work.done():
                changed.clear()
                batch, completed[:] = list(completed), []
                for action in await run.read(partial(_actions, batch), batched=True) if batch else ():
                    yield action
                if not work.done():
                    await changed.wait()
            await work
            for action in await run.read(lambda reader: list(reports.read_actions(reader, "unsettled"))):
                yield action
        finally:
            work.cancel()
            await asyncio.wait([work])


async def resume_all(
    run_dir: str | PathLike[str],
    settings: Settings,
    keys: Keys = (),
    tenants: Tenants | None = None,
    *,
    on_progress: OnProgress | None = None,
    logger: logging.Logger | None = None,
) -> Report:
    """Continue a run that was cancelled, cut short or killed, and return the report of the whole run.

    Args:
        run_dir: the run directory, whether a program or the command made it.
        settings: as for :func:`stop_all`, with the credentials. For a setting at its default, the setting of the run
            applies, guards and limits included.
        keys: the same keys again. They are needed only if the run was cut before all of them were read.
        tenants: as for :func:`stop_all`, for a run of several tenants.
        on_progress, logger: as for :func:`stop_all`.

    Raises:
        UsageError: the run cannot be continued: another tenant, no credentials, keys that are missing.
        RunDirectoryError: there is no run, or another process is working on it (a UsageError too).
        StorageError: the journal is damaged, or the machine can keep nothing.
    """
    _require_iterable(keys)
    path = Path(run_dir)
    with naming_arguments():
        info, earlier, sources, _ = await in_thread(partial(runs.earlier, path))
        ours = next((source for source in sources if source.name == SOURCE and not source.complete), None)
        unread: runs.Unread = []
        if ours is None:
            unread = await in_thread(partial(runs.unread_sources, path, sources, (), earlier.plan))
        elif isinstance(keys, Sized) and not len(keys):
            raise UsageError(
                f"The run in {path} was cut before all its keys were read: give the same keys again."
            )
        now = checked(settings, several=bool(info.tenants), earlier=runs.kept(earlier))
        opening = runs.reopen(
            path, info, now, _screen(logger), checked_tenants(tenants or {}), origin=_ORIGIN
        )
        async with runs.opened(opening) as run:
            rest = runs.rest_of_input(run, unread, earlier.plan) if ours is None else _intake(run, keys, ours)
            return await _execute(run, await rest, on_progress)


async def verify_all(
    run_dir: str | PathLike[str],
    settings: Settings,
    tenants: Tenants | None = None,
    *,
    on_progress: OnProgress | None = None,
    logger: logging.Logger | None = None,
) -> Verification:
    """Read every status of a finished run again and compare it with the report. Sends no stop.

    Arguments are those of :func:`resume_all`. The findings are added to the journal, the report and the page of the
    run. A sentence is a warning (``warnings.warn``) if they could not be added, or if the journal lacks something.

    Returns:
        The verification. ``held`` says whether every action is over and no known count changed after its end.

    Raises:
        UsageError: the run is a plan, a drill or not finished, or the settings name another tenant.
        RunDirectoryError: there is no run (a UsageError too).
        TenantError: the tenant refused the credentials or could not be reached.
        RunCutShort: the deadline ended the verification early. Its findings are not kept.
        StorageError: the journal cannot be read.
    """
    path = Path(run_dir)
    with naming_arguments():
        info, earlier, sentences = await in_thread(partial(verify.finished_run, path))
        now = checked(settings, several=bool(info.tenants), earlier=runs.kept(earlier))
        again = verify.reading_again(path, info, now, _screen(logger), checked_tenants(tenants or {}))
        async with again as (run, intake):
            async with shown_to(on_progress, run.progress, run.log):
                await run.execute(intake)
            if run.ending.state != "finished":
                cut_by = run.ending.cut_by
                reason = f"The verification was not completed: {run.ending.reason}"
                raise cut_by if isinstance(cut_by, TenantError) else RunCutShort(reason)
            verification = await verify.compare(path, run)
        if (unkept := await in_thread(partial(verify.keep, path, verification))) is not None:
            sentences.append(unkept)
    for sentence in sentences:
        warnings.warn(sentence, stacklevel=2)
    return verification


def read_report(run_dir: str | PathLike[str]) -> Report:
    """Read the report of the run in ``run_dir`` from its journal, whether or not the run is finished.

    Modifies nothing. It reads files: in an event loop, call it with ``asyncio.to_thread``. A sentence about what the
    journal lacks is a warning (``warnings.warn``).

    Raises:
        RunDirectoryError: there is no run, or a later version wrote it.
        StorageError: its journal cannot be read.
    """
    path = Path(run_dir).absolute()
    with open_for_report(path) as reader:
        report = reports.read_report(reader, path)
    for sentence in reader.missing:
        warnings.warn(sentence, stacklevel=2)
    return report


def resume_all_blocking(
    run_dir: str | PathLike[str],
    settings: Settings,
    keys: Iterable[Key] = (),
    tenants: Tenants | None = None,
    *,
    on_progress: OnProgress | None = None,
    logger: logging.Logger | None = None,
) -> Report:
    """As :func:`resume_all`, for scripts without an event loop. Raises UsageError if a loop is running."""
    _refuse_running_loop("resume_all")
    return asyncio.run(resume_all(run_dir, settings, keys, tenants, on_progress=on_progress, logger=logger))


def stop_all_blocking(
    keys: Iterable[Key],
    settings: Settings,
    tenants: Tenants | None = None,
    *,
    on_progress: OnProgress | None = None,
    logger: logging.Logger | None = None,
) -> Report:
    """As :func:`stop_all`, for scripts without an event loop. Raises UsageError if a loop is running."""
    _refuse_running_loop("stop_all")
    return asyncio.run(stop_all(keys, settings, tenants, on_progress=on_progress, logger=logger))


async def _work(
    keys: Keys,
    settings: Settings,
    tenants: Tenants | None,
    command: str,
    on_progress: OnProgress | None,
    logger: logging.Logger | None,
) -> Report:
    async with _begun(keys, settings, tenants, command, logger) as (run, intake):
        return await _execute(run, intake, on_progress)


@asynccontextmanager
async def _begun(
    keys: Keys,
    settings: Settings,
    tenants: Tenants | None,
    command: str,
    logger: logging.Logger | None,
    on_completed: runs.OnCompleted = lambda *_: None,
) -> AsyncIterator[tuple[runs.Run, RowIntake]]:
    """A new run over ``keys``. Errors in the block name arguments."""
    _require_iterable(keys)
    with naming_arguments():
        opening = runs.begin(
            checked(settings, several=bool(tenants)), command, _screen(logger), checked_tenants(tenants or {}),
            origin=_ORIGIN if command == "run" else runs.Origin(), on_completed=on_completed,
        )  # fmt: skip
        async with runs.opened(opening) as run:
            yield run, await _intake(run, keys)


def _screen(logger: logging.Logger | None) -> LoggerScreen | None:
    return None if logger is None else LoggerScreen(logger)


async def _execute(run: runs.Run, intake: runs.Intake, on_progress: OnProgress | None) -> Report:
    async with shown_to(on_progress, run.progress, run.log):
        await run.execute(intake)
    return await run.read(partial(reports.read_report, run_dir=run.directory.path.absolute()))


def _refuse_running_loop(name: str) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError(f"An event loop is running here: await {name}(…) instead of {name}_blocking(…).")


async def _intake(run: runs.Run, keys: Keys, known: SourceInfo | None = None) -> RowIntake:
    make = object_rows(several=bool(run.tenants), any_key=run.settings.any_key)
    numbers = count(1)
    rows: AsyncIterable[InputRow] | Iterable[InputRow]
    if isinstance(keys, AsyncIterable):
        rows = (make(next(numbers), key) async for key in keys)
    else:
        rows = map(make, numbers, keys)
    info = known or (await in_thread(partial(run.journal.add_sources, [(SOURCE, None)])))[0]
    return RowIntake(
        run.journal, rows, info, ranked=False, tenancy=runs.tenancy(run), notify=runs.notifier(run)
    )


def _require_iterable(keys: object) -> None:
    """Raise UsageError if ``keys`` cannot be iterated, or is one text, whose letters are no keys."""
    if isinstance(keys, str | bytes) or not isinstance(keys, Iterable | AsyncIterable):
        raise UsageError(f"keys must be a list or another iterable of bulk keys, not {type(keys).__name__}.")


def _actions(seqs: Sequence[int], reader: JournalReader) -> list[ActionEntry]:
    return [action for seq in seqs if (action := reports.read_action(reader, seq)) is not None]
