"""How a run is opened: a new one, or one that an earlier session left; and where its keys come from."""

import sqlite3
from asyncio import wrap_future
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import msgspec

from orchestrator.app.run import Run
from orchestrator.clock import Clock, process_started_at
from orchestrator.engine.ports import Intake
from orchestrator.engine.responses import ResponseFiles
from orchestrator.engine.run import Interrupted
from orchestrator.errors import InputError, StorageError, UsageError
from orchestrator.logs import Screen
from orchestrator.model import InputRow
from orchestrator.settings import Settings
from orchestrator.store import database, rundir
from orchestrator.store import journal as journals
from orchestrator.store import report as reports
from orchestrator.store.entries import RunInfo, SourceInfo, Standing, read_run, read_sources
from orchestrator.store.intake import FileIntake, ReadAlready, RowIntake
from orchestrator.store.sources import Source, open_source
from orchestrator.version import VERSION


def begin(settings: Settings, command: str, screen: Screen | None) -> Run:
    """A new run in a directory of its own. Raises RunDirectoryError or UsageError."""
    clock = Clock()
    run_id = rundir.new_run_id()
    info = RunInfo(
        id=run_id,
        command=command,
        version=VERSION,
        process_started_at=process_started_at(),
        started_at=clock.stamp(),
        base_url=settings.address,
        entity_id=settings.entity_id,
        org_ids=settings.org_ids,
        settings=_without_secrets(settings),
    )
    directory = rundir.create(Path(settings.out or Path("runs") / run_id))
    journal = journals.create(directory.journal, clock)
    run = Run(settings, info, directory, journal, clock, screen)
    journal.begin(info)
    journal.begin_session()
    return run


def earlier(path: Path) -> tuple[RunInfo, Settings, list[SourceInfo]]:
    """What an earlier run was told, without its secrets, and how far its sources were read.

    Raises RunDirectoryError or StorageError.
    """
    connection = database.reopen(path / "journal.db")
    try:
        info = read_run(connection)
        return info, msgspec.convert(info.settings, Settings), read_sources(connection)
    except (sqlite3.Error, msgspec.ValidationError) as error:
        raise StorageError(f"The journal in {path} cannot be read: {error}.") from error
    finally:
        connection.close()


async def reopen(path: Path, info: RunInfo, settings: Settings, screen: Screen | None) -> Run:
    """One more session of the run in ``path``. Raises RunDirectoryError or StorageError."""
    clock = Clock()
    directory = rundir.reopen(path)
    journal = journals.reopen(directory.journal, clock)
    responses = ResponseFiles(path, save=settings.save_responses)
    standing = await journal.reopen(kept=lambda key: responses.remediated or responses.keeps(key))
    sessions = await wrap_future(
        journal.perform(lambda db: db.execute(database.statements()["sessions"]).fetchall())
    )
    run = Run(settings, info, directory, journal, clock, screen, session=len(sessions) + 1, standing=standing)
    journal.begin_session()
    return run


def new_sources(run: Run, specs: Sequence[str]) -> list[tuple[Source, SourceInfo]]:
    """Opens each source and enters all in the journal. Raises InputError."""
    sources = [open_source(spec) for spec in specs]
    known = run.journal.add_sources(
        [(spec, source.path) for spec, source in zip(specs, sources, strict=True)]
    )
    return list(zip(sources, known, strict=True))


def unread_sources(
    run: Run, known: Sequence[SourceInfo], specs: Sequence[str]
) -> list[tuple[Source, SourceInfo]]:
    """The sources that an earlier session did not read to their end, opened once more.

    ``specs`` are those given again, in order, in place of standard input or of files that have moved.

    Raises:
        InputError: one is needed that cannot be read twice and was not given again.
    """
    given = list(specs)
    unread = []
    for info in known:
        if info.complete:
            continue
        if given:
            source = open_source(given.pop(0))
            run.journal.replace_source(info, info.name, source.path)
        elif info.path is not None:
            source = open_source(info.path)
        else:
            raise InputError(
                f"The run was cut while {info.name} was still being read. Give the same input again: "
                f"mass-stop resume {run.directory.path} SOURCE"
            )
        unread.append((source, info))
    return unread


def file_intake(run: Run, sources: Sequence[tuple[Source, SourceInfo]]) -> Intake:
    """Reads ``sources`` as the run's settings say; without any, the keys of the plan they name."""
    settings = run.settings
    planned = _planned(Path(settings.plan)) if settings.plan else []
    if settings.plan and not sources:
        name = f"plan {settings.plan}"
        (info,) = run.journal.add_sources([(name, None)])
        return RowIntake(run.journal, planned, info, ranked=True)
    return FileIntake(
        run.journal,
        sources,
        column=settings.column,
        weight_column=settings.order,
        strict=settings.strict,
        weights={row.key: row.weight for row in planned} if settings.plan else None,
    )


async def first_actions(run: Run, most: int) -> list[reports.ActionEntry]:
    """The first actions of a run, as they stand."""
    return await run.read(lambda db: list(islice(reports.read_actions(db), most)))


async def read_ahead(run: Run, intake: Intake) -> Intake:
    """Reads all of ``intake`` before the run starts, and gives the intake to start it with.

    Raises InputError.
    """
    keys = 0

    def count(new: int) -> None:
        nonlocal keys
        keys += new

    await intake.read(count)
    run.standing = Standing(keys=keys, accepted=0, waiting=keys, following=0)
    run.tally.keys = keys
    return ReadAlready()


def interrupted(signal_name: str, exit_status: int) -> Interrupted:
    """The reason for :meth:`Run.cut` that a signal stands for."""
    return Interrupted(
        f"Interrupted by {signal_name}: calls already sent were answered, nothing else was sent.", exit_status
    )


def _planned(path: Path) -> list[InputRow]:
    connection = database.reopen(path / "journal.db")
    try:
        if read_run(connection).command != "plan":
            raise UsageError(f"--plan: {path} is no plan; make one with: mass-stop plan SOURCE")
        return [
            InputRow(row, key, labels=msgspec.json.decode(labels) if labels else {}, weight=speed)
            for row, key, labels, speed in connection.execute(database.statements()["planned"])
        ]
    finally:
        connection.close()


def _without_secrets(settings: Settings) -> dict[str, object]:
    plain = msgspec.structs.replace(settings, client_secret=None, token=None)
    stored: dict[str, object] = msgspec.to_builtins(plain)
    return stored
