"""How a run is opened: a new one, or one that an earlier session left; and where its keys come from."""

import sqlite3
from asyncio import wrap_future
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from orchestrator.app.run import Run, RunIntake
from orchestrator.clock import Clock, process_started_at
from orchestrator.engine.responses import ResponseFiles
from orchestrator.engine.run import Interrupted
from orchestrator.errors import InputError, StorageError, UsageError
from orchestrator.logs import Screen
from orchestrator.model import InputRow, Outcome
from orchestrator.settings import Settings
from orchestrator.store import database, rundir
from orchestrator.store import journal as journals
from orchestrator.store.entries import (
    NOTHING,
    RunInfo,
    SourceInfo,
    Standing,
    TenantInfo,
    action_name,
    read_run,
    read_sources,
    standings,
)
from orchestrator.store.intake import FileIntake, ReadAlready, RowIntake, Tenancy
from orchestrator.store.journal import Journal
from orchestrator.store.sources import Source, open_source
from orchestrator.version import VERSION

if TYPE_CHECKING:
    from orchestrator.settings.tenants import Tenant
    from orchestrator.store import report as reports


def begin(
    settings: Settings,
    command: str,
    screen: Screen | None,
    tenants: "Mapping[str, Tenant] | None" = None,
) -> Run:
    """A new run in a directory of its own; of several tenants, where the settings or ``tenants`` name some.

    Raises RunDirectoryError or UsageError.
    """
    tenants = tenants or tenants_of(settings)
    clock = Clock()
    run_id = rundir.new_run_id()
    info = RunInfo(
        id=run_id,
        command=command,
        version=VERSION,
        process_started_at=process_started_at(),
        started_at=clock.stamp(),
        base_url="" if tenants else settings.address,
        entity_id=settings.entity_id,
        org_ids=settings.org_ids,
        settings=_without_secrets(settings),
        tenants={name: tenant_info(tenant) for name, tenant in tenants.items()},
    )
    directory = rundir.create(Path(settings.out or Path("runs") / run_id))
    journal = journals.create(directory.journal, clock)
    run = Run(settings, info, directory, journal, clock, screen, tenants=tenants)
    journal.begin(info)
    journal.begin_session()
    return run


def tenants_of(settings: Settings) -> "dict[str, Tenant]":
    """The tenants that the settings name a file of; none, where the run is of one. Raises UsageError."""
    if settings.tenants is None:
        return {}
    from orchestrator.settings.tenants import read_tenants

    tenants = read_tenants(settings.tenants)
    if settings.tenant is not None and settings.tenant not in tenants:
        raise UsageError(
            f"--tenant: {settings.tenants} has no tenant {settings.tenant!r}; it has {', '.join(tenants)}."
        )
    return tenants


def tenant_info(tenant: "Tenant") -> TenantInfo:
    """Which tenant it is, as the journal and the report tell it."""
    return TenantInfo(tenant.address, tenant.entity_id, tenant.org_ids)


def earlier(path: Path) -> tuple[RunInfo, Settings, list[SourceInfo], list[str]]:
    """What an earlier run was told, without its secrets; how far its sources were read; what its journal has lost.

    Raises RunDirectoryError or StorageError.
    """
    from orchestrator.store.damage import open_whole

    connection, sentences = open_whole(path / "journal.db")
    try:
        info = read_run(connection)
        return info, msgspec.convert(info.settings, Settings), read_sources(connection), sentences
    except (sqlite3.Error, msgspec.ValidationError) as error:
        raise StorageError(f"The journal in {path} cannot be read: {error}.") from error
    finally:
        connection.close()


_OF_ONE_SESSION = frozenset(
    {"plan", "deadline", "yes", "out", "report", "log_format", "log_level", "quiet", "no_progress"}
)


def kept(told: Settings) -> dict[str, object]:
    """What a resumed run is told anew only if that is wanted: its settings that are not of one session."""
    default = Settings()
    every = {name: getattr(told, name) for name in told.__struct_fields__ if name not in _OF_ONE_SESSION}
    return {name: value for name, value in every.items() if value != getattr(default, name)}


async def reopen(
    path: Path,
    info: RunInfo,
    settings: Settings,
    screen: Screen | None,
    tenants: "Mapping[str, Tenant] | None" = None,
) -> Run:
    """One more session of the run in ``path``. Raises RunDirectoryError, UsageError or StorageError."""
    if info.command == "drill":
        raise UsageError(
            "A drill cannot be resumed: its simulated tenant is gone. Start another: mass-stop drill"
        )
    tenants = tenants or tenants_of(settings)
    _same_tenants(info, tenants, path)
    if not tenants:
        _same_tenant(info, settings, path)
    clock = Clock()
    directory = rundir.reopen(path)
    journal = journals.reopen(directory.journal, clock)
    responses = ResponseFiles(path, save=settings.save_responses)
    await _collect(journal, info, settings, path)
    await journal.reopen(kept=lambda name: responses.remediated or responses.keeps(name))
    standing = await wrap_future(journal.perform(standings))
    sessions = await wrap_future(
        journal.perform(lambda db: db.execute(database.statements()["sessions"]).fetchall())
    )
    run = Run(
        settings, info, directory, journal, clock, screen,
        session=len(sessions) + 1, standings=standing, tenants=tenants,
    )  # fmt: skip
    journal.begin_session()
    return run


async def _collect(journal: Journal, info: RunInfo, settings: Settings, path: Path) -> None:
    """Brings in what dask workers did for an earlier session, whatever engine this one has."""
    told = msgspec.convert(info.settings, Settings)
    if "dask" in (told.engine, settings.engine) or (path / "shards").is_dir():
        from orchestrator.app.homecoming import collect

        for where in {told.shared_dir, settings.shared_dir, None}:
            await collect(journal, info, msgspec.structs.replace(settings, shared_dir=where), path)


def _same_tenant(info: RunInfo, settings: Settings, path: Path) -> None:
    if (settings.address, settings.entity_id, settings.org_ids) != (
        info.base_url,
        info.entity_id,
        info.org_ids,
    ):
        raise UsageError(
            f"The run in {path} belongs to {info.base_url}, entity {info.entity_id or 'not named'}, organisations "
            f"{', '.join(info.org_ids) or 'not named'}: leave out what names another tenant."
        )


def _same_tenants(info: RunInfo, tenants: "Mapping[str, Tenant]", path: Path) -> None:
    if bool(info.tenants) != bool(tenants):
        what = "is of several tenants" if info.tenants else "is of one tenant, and not of a file of them"
        raise UsageError(f"The run in {path} {what}: leave --tenants as it was.")
    for name, was in info.tenants.items():
        if name not in tenants or tenant_info(tenants[name]) != was:
            raise UsageError(
                f"The run in {path} has a tenant {name} at {was.base_url}, entity {was.entity_id or 'not named'}: the "
                "file of tenants must still say the same of it. Credentials and limits in it may change."
            )


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


def file_intake(run: Run, sources: Sequence[tuple[Source, SourceInfo]]) -> RunIntake:
    """Reads ``sources`` as the run's settings say; without any, the keys of the plan they name."""
    settings = run.settings
    planned = _planned(Path(settings.plan)) if settings.plan else []
    if settings.plan and not sources:
        name = f"plan {settings.plan}"
        (info,) = run.journal.add_sources([(name, None)])
        return RowIntake(run.journal, planned, info, ranked=True, tenancy=_of_plan(run, planned))
    return FileIntake(
        run.journal,
        sources,
        column=settings.column,
        weight_column=settings.order,
        strict=settings.strict,
        weights={action_name(row.tenant, row.key): row.weight for row in planned} if settings.plan else None,
        tenancy=tenancy(run),
    )


def tenancy(run: Run) -> Tenancy | None:
    """Whose each row is, where the run has several tenants."""
    if not run.tenants:
        return None
    settings = run.settings
    return Tenancy(
        run.tenants.keys(), settings.tenants or "the run", settings.tenant, column=settings.tenant_column
    )


def _of_plan(run: Run, planned: Sequence[InputRow]) -> Tenancy | None:
    named = any(row.tenant for row in planned)
    if named and run.settings.tenant is not None:
        raise UsageError(f"--tenant: {run.settings.plan} says itself whose each key is; leave it out.")
    if named and not run.tenants:
        raise UsageError(
            f"--plan: {run.settings.plan} was made for several tenants: give its --tenants file again."
        )
    if planned and run.tenants and not named and run.settings.tenant is None:
        raise UsageError(
            f"--plan: {run.settings.plan} was made for one tenant: say which of those in --tenants with --tenant."
        )
    return tenancy(run)


async def first_actions(run: Run, most: int) -> "list[reports.ActionEntry]":
    """The first actions of a run, as they stand; rows without a key are none."""

    from orchestrator.store import report as reports

    def read(connection: sqlite3.Connection) -> list[reports.ActionEntry]:
        actions = reports.read_actions(connection)
        return list(islice((one for one in actions if one.outcome is not Outcome.MALFORMED), most))

    return await run.read(read)


async def read_ahead(run: Run, intake: RunIntake) -> RunIntake:
    """Reads all of ``intake`` before the run starts, and gives the intake to start it with.

    Raises InputError.
    """
    keys: Counter[str] = Counter()
    await intake.read_by_tenant(keys.update)
    for name, count in keys.items():
        read = Standing(keys=count, accepted=0, waiting=count, following=0)
        run.standings[name] = run.standings.get(name, NOTHING) + read
    run.tally.keys = run.standing.keys
    return ReadAlready()


def interrupted(signal_name: str, exit_status: int) -> Interrupted:
    """The reason for :meth:`Run.cut` that a signal stands for."""
    return Interrupted(
        f"Interrupted by {signal_name}: calls already sent were answered, nothing else was sent.", exit_status
    )


def _planned(path: Path) -> list[InputRow]:
    from orchestrator.store.damage import open_whole

    connection, _ = open_whole(path / "journal.db")
    try:
        if read_run(connection).command != "plan":
            raise UsageError(f"--plan: {path} is no plan; make one with: mass-stop plan SOURCE")
        return [
            InputRow(row, key, msgspec.json.decode(labels) if labels else {}, speed, tenant=tenant)
            for row, key, labels, speed, tenant in connection.execute(database.statements()["planned"])
        ]
    finally:
        connection.close()


def _without_secrets(settings: Settings) -> dict[str, object]:
    plain = msgspec.structs.replace(
        settings,
        client_secret=None,
        token=None,
        tenants=_absolute(settings.tenants),
        shared_dir=_absolute(settings.shared_dir),
    )
    stored: dict[str, object] = msgspec.to_builtins(plain)
    return stored


def _absolute(path: str | None) -> str | None:
    """A run may be resumed from another folder."""
    return None if path is None else str(Path(path).absolute())
