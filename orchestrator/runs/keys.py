"""Where a run's keys come from: files, standard input, what an earlier session did not read, or a plan."""

import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from orchestrator.engine.cutoff import DeadlineReached
from orchestrator.engine.ports import Intake
from orchestrator.errors import InputError, UsageError
from orchestrator.journal.entries import NO_KEYS, Counts, SourceInfo, action_name
from orchestrator.journal.intake import FileIntake, Notify, ReadAlready, RowIntake
from orchestrator.journal.tenancy import Tenancy
from orchestrator.model import PLAN, InputRow
from orchestrator.runs.run import Run
from orchestrator.settings import Settings
from orchestrator.sources import ARGUMENTS, Source, content_of, join_key_arguments, open_source
from orchestrator.sources.rows import Wanted
from orchestrator.threads import in_thread

if TYPE_CHECKING:
    from orchestrator import report as reports


Unread = list[tuple[Source | None, SourceInfo]]
"""Sources not read to their end; the one without a :class:`Source` is the plan that the run had its keys from."""


async def new_sources(run: Run, specs: Sequence[str]) -> list[tuple[Source, SourceInfo]]:
    """Open each source and record all of them in the journal. Raises InputError."""

    def work() -> list[tuple[Source, SourceInfo]]:
        joined = join_key_arguments(specs)
        sources = [open_source(spec) for spec in joined]
        names = [
            ARGUMENTS if one.name == ARGUMENTS else spec for spec, one in zip(joined, sources, strict=True)
        ]
        paths = [(name, source.path) for name, source in zip(names, sources, strict=True)]
        return list(zip(sources, run.journal.add_sources(paths), strict=True))

    return await in_thread(work)


def unread_sources(path: Path, known: Sequence[SourceInfo], specs: Sequence[str], plan: str | None) -> Unread:
    """The sources that an earlier session of the run in ``path`` did not read to their end, opened once more.

    ``specs`` are those given again, in order, in place of standard input or of files that have moved. ``plan`` is the
    earlier session's.

    Raises:
        InputError: one is needed that cannot be read twice and was not given again, or a file was changed.
    """
    given = join_key_arguments(specs)
    unread: Unread = []
    for info in known:
        if info.complete:
            continue
        spec = given.pop(0) if given else info.path
        if spec is None and plan is not None and info.name.startswith(PLAN):
            unread.append((None, info))
            continue
        if spec is None:
            raise InputError(
                f"The run was cut while {info.shown} was still being read. Give the same input again: "
                f"mass-stop resume {path} SOURCE"
            )
        source = open_source(spec)
        _require_same(source, info, path)
        unread.append((source, info))
    return unread


def _require_same(source: Source, info: SourceInfo, path: Path) -> None:
    """Raise InputError if a file does not hold what it held when the run in ``path`` began to read it."""
    if info.digest is None or source.path is None or source.name == ARGUMENTS:
        return
    try:
        found = content_of(Path(source.path))
    except OSError as error:
        raise InputError(f"{source.name} cannot be read: {error.strerror}.") from error
    if found is None or found == (info.bytes, info.digest):
        return
    size = f"{found.size:,} bytes now, {info.bytes:,} then" if found.size != info.bytes else "the same size"
    raise InputError(
        f"{source.name} is not what it was when the run began to read it ({size}), and {info.rows:,} of its rows were "
        f"read. Give the input that the run began with: mass-stop resume {path} SOURCE"
    )


async def rest_of_input(run: Run, unread: Unread, plan: str | None) -> Intake:
    """The intake for ``unread``. It is read to its end here if the run reads all input before the first stop.

    Raises InputError.
    """
    files = []
    for source, info in unread:
        if source is None and plan is not None:
            rest = RowIntake(run.journal, _planned(Path(plan)), info, ranked=True, tenancy=tenancy(run))
            return await read_ahead(run, rest)
        assert source is not None
        files.append((source, info))
    intake = file_intake(run, files)
    return await read_ahead(run, intake) if run.settings.strict or run.settings.order else intake


def file_intake(run: Run, sources: Sequence[tuple[Source, SourceInfo]]) -> Intake:
    """The intake for ``sources``. Without sources, it reads the keys of the plan in the run's settings."""
    settings = run.settings
    planned = _planned(Path(settings.plan), whole=not sources) if settings.plan else []
    if settings.plan and not sources:
        name = f"{PLAN}{settings.plan}"
        (info,) = run.journal.add_sources([(name, None)])
        return RowIntake(run.journal, planned, info, ranked=True, tenancy=_of_plan(run, planned))
    several = tenancy(run)
    return FileIntake(
        run.journal,
        sources,
        Wanted(settings.column, settings.order, several.read_from if several else None, settings.any_key),
        strict=settings.strict,
        weights={action_name(row.tenant, row.key): row.weight for row in planned} if settings.plan else None,
        tenancy=several,
        notify=notifier(run),
    )


def notifier(run: Run) -> Notify:
    """Passes sentences about the input to the log and the screen."""
    return lambda event, sentence: run.log.warning(event, message=sentence)


def tenancy(run: Run) -> Tenancy | None:
    """How rows are assigned to tenants; None in a run of one tenant."""
    if not run.tenants:
        return None
    settings = run.settings
    return Tenancy(
        run.tenants.keys(), settings.tenants or "the run", settings.tenant, column=settings.tenant_column
    )


def _of_plan(run: Run, planned: Sequence[InputRow]) -> Tenancy | None:
    named = any(row.tenant for row in planned)
    if named and run.settings.tenant is not None:
        raise UsageError(
            f"--tenant: the plan in {run.settings.plan} names the tenant of each key. Leave --tenant out."
        )
    if named and not run.tenants:
        raise UsageError(
            f"--plan: {run.settings.plan} was made for several tenants: give its --tenants file again."
        )
    if planned and run.tenants and not named and run.settings.tenant is None:
        raise UsageError(f"--plan: {run.settings.plan} was made for one tenant: name it with --tenant.")
    return tenancy(run)


async def read_ahead(run: Run, intake: Intake) -> Intake:
    """Read all of ``intake`` before the run starts. Return the intake to start the run with.

    Raises:
        InputError: a source cannot be used.
        DeadlineReached: the input did not end before the deadline.
    """
    keys: Counter[str] = Counter()
    # A file that is read in a second is read in any case: then the report lists every key as not attempted.
    left = None if run.deadline is None else max(1.0, run.deadline - time.time())
    with anyio.move_on_after(left) as scope:
        await intake.read(keys.update)
    if scope.cancelled_caught:
        raise DeadlineReached(
            "The deadline was reached before the input was read to its end. Nothing was sent (--deadline)."
        )
    for name, count in keys.items():
        read = Counts(keys=count, accepted=0, waiting=count, polling=0)
        run.counts[name] = run.counts.get(name, NO_KEYS) + read
    run.progress.keys = run.total_counts.keys
    if isinstance(intake, FileIntake) and (run.settings.order or run.settings.plan):
        run.unordered = _unordered(run.settings, intake)
    return ReadAlready()


def _unordered(settings: Settings, intake: FileIntake) -> str | None:
    """The warning if the requested order does not hold for every row."""
    none = intake.unweighed == intake.rows > 0
    if settings.plan:
        unknown = f"The plan in {settings.plan} has no speed for any key that was read"
        return f"{unknown}: the keys are stopped in the order of the input." if none else None
    if none:
        return f"No row has a number in column {settings.order!r}: the keys are stopped in the order of the input."
    if intake.unweighed:
        without = f"{intake.unweighed:,} of {intake.rows:,}"
        return f"Rows without a number in column {settings.order!r}: {without}; they are stopped last."
    return None


async def first_actions(run: Run, most: int) -> "list[reports.ActionEntry]":
    """At most ``most`` actions that are stopped first, in the order of the run."""
    from orchestrator import report as reports

    return await run.read(partial(reports.read_first_to_stop, most=most))


def _planned(path: Path, *, whole: bool = True) -> list[InputRow]:
    """The keys of a plan. ``whole`` asks for all keys of its input. Raises UsageError."""
    from orchestrator.journal.recovery.opening import open_undamaged

    with open_undamaged(path) as reader:
        if reader.run().command != "plan":
            raise UsageError(f"--plan: {path} is no plan; make a plan with: mass-stop plan SOURCE")
        unread = [source for source in reader.sources() if not source.complete] if whole else []
        if unread:
            again = " SOURCE" * sum(source.path is None for source in unread)
            raise UsageError(
                f"--plan: {path} lacks keys, because it was cut while its input was read. Finish it with: "
                f"mass-stop resume {path}{again} - or name the keys: mass-stop run --plan {path} SOURCE"
            )
        return list(reader.planned())
