"""Open a run: a new one, or that of an earlier session."""

from asyncio import wrap_future
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from orchestrator import rundir
from orchestrator.clock import Clock, process_started_at
from orchestrator.errors import StorageError, UsageError
from orchestrator.journal import journal as journals
from orchestrator.journal.database import UNREADABLE
from orchestrator.journal.entries import RunInfo, SourceInfo, TenantInfo
from orchestrator.journal.journal import Journal
from orchestrator.journal.reader import JournalReader
from orchestrator.logs import Screen
from orchestrator.results.spool import ResponseFiles
from orchestrator.rundir import RunDirectory
from orchestrator.runs.operator import NO_ORIGIN, Origin, operator_of, require_evidence
from orchestrator.runs.run import OnCompleted, Run
from orchestrator.settings import SECRETS, Settings, same_address
from orchestrator.threads import in_thread
from orchestrator.version import VERSION
from orchestrator.zuora.client import ZuoraClient

if TYPE_CHECKING:
    from orchestrator.settings.tenants import Tenant


@asynccontextmanager
async def opened(opening: Awaitable[Run]) -> AsyncIterator[Run]:
    """The run that ``opening`` returns, closed after the block, whatever happens."""
    run = await opening
    try:
        yield run
    finally:
        try:
            await in_thread(run.close)
        except StorageError:  # without a thread
            run.close()


async def begin(
    settings: Settings,
    command: str,
    screen: Screen | None,
    tenants: "Mapping[str, Tenant] | None" = None,
    *,
    origin: Origin = NO_ORIGIN,
    on_completed: OnCompleted = lambda *_: None,
) -> Run:
    """A new run in a directory of its own. It has several tenants if ``tenants`` or the settings name some.

    ``on_completed`` gets the journal's number and the outcome of each key that is over. Raises RunDirectoryError,
    UsageError or StorageError.
    """

    def work() -> Run:
        if command == "run":
            require_evidence(settings)
        named = tenants or tenants_of(settings)
        clock = Clock()
        info = _new_run(settings, command, named, clock)
        directory = rundir.create(Path(settings.out or Path("runs") / info.id))
        try:
            journal = journals.create(directory.journal, clock)
        except BaseException:
            directory.discard()
            directory.close()
            raise
        run = Run(settings, info, directory, journal, clock, screen, tenants=named, on_completed=on_completed)
        journal.begin(info)
        journal.begin_session(operator_of(settings, origin, several=bool(named)))
        return run

    return await in_thread(work, undo=Run.close)


def _new_run(settings: Settings, command: str, tenants: "Mapping[str, Tenant]", clock: Clock) -> RunInfo:
    return RunInfo(
        id=rundir.new_run_id(),
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


def tenants_of(settings: Settings) -> "dict[str, Tenant]":
    """The tenants in the file that the settings name; none in a run of one tenant. Raises UsageError."""
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
    """The tenant, as the journal and the report name it."""
    return TenantInfo(tenant.address, tenant.entity_id, tenant.org_ids)


def earlier(path: Path) -> tuple[RunInfo, Settings, list[SourceInfo], list[str]]:
    """The settings of an earlier run without its secrets, how far its sources were read, and what its journal has lost.

    Raises RunDirectoryError or StorageError.
    """
    from orchestrator.journal.recovery.opening import open_for_resume

    with open_for_resume(path) as reader:
        try:
            info = reader.run()
            return info, msgspec.convert(info.settings, Settings), reader.sources(), list(reader.missing)
        except (*UNREADABLE, msgspec.ValidationError) as error:
            raise StorageError(f"The journal in {path} cannot be read: {error}.") from error


_OF_ONE_SESSION = (
    "plan", "deadline", "yes", "out", "report", "log_format", "log_level", "quiet", "no_progress", "implicit",
    "on_end", "metrics",
)  # fmt: skip
"""Settings that a resumed run does not keep."""


def kept(stored: Settings) -> dict[str, object]:
    """The settings that a resumed run keeps unless they are given again."""
    default = Settings()
    every = {name: getattr(stored, name) for name in stored.__struct_fields__ if name not in _OF_ONE_SESSION}
    return {name: value for name, value in every.items() if value != getattr(default, name)}


async def reopen(
    path: Path,
    info: RunInfo,
    settings: Settings,
    screen: Screen | None,
    tenants: "Mapping[str, Tenant] | None" = None,
    *,
    retry_rejected: bool = False,
    origin: Origin = NO_ORIGIN,
) -> Run:
    """One more session of the run in ``path``; with ``retry_rejected``, refused keys are stopped again.

    Raises RunDirectoryError, UsageError or StorageError.
    """
    if info.command == "drill":
        raise UsageError(
            "A drill cannot be resumed: its simulated tenant is gone. Start another: mass-stop drill"
        )
    if info.command == "run":
        require_evidence(settings)
    if not tenants:
        tenants = await in_thread(partial(tenants_of, settings))
    require_same_tenants(info, settings, tenants, path)
    clock = Clock()
    if not tenants and settings.engine == "local":
        ZuoraClient(settings, clock)  # raises without credentials, before the run is touched
    directory, journal = held = await in_thread(partial(_hold, path, clock), undo=_release)
    try:
        responses = ResponseFiles(path, save=settings.save_responses)
        sessions = len(await wrap_future(journal.read(JournalReader.sessions)))
        await _collect(journal, info, settings, path, sessions)
        rejected = await wrap_future(journal.read(partial(JournalReader.refused, every=retry_rejected)))
        counts = await journal.reopen(
            kept=lambda name: responses.remediated or responses.keeps(name), retry_rejected=retry_rejected
        )
        run = await in_thread(
            partial(
                Run, settings, info, directory, journal, clock, screen,
                session=sessions + 1, counts=counts, rejected_before=rejected, tenants=tenants,
            ),
        )  # fmt: skip
    except BaseException:
        await in_thread(partial(_release, held))
        raise
    journal.begin_session(operator_of(settings, origin, several=bool(tenants)))
    return run


def _hold(path: Path, clock: Clock) -> tuple[RunDirectory, Journal]:
    """Lock the directory of an earlier session and open its journal."""
    directory = rundir.reopen(path)
    try:
        return directory, journals.reopen(directory.journal, clock)
    except BaseException:
        directory.close()
        raise


def _release(held: tuple[RunDirectory, Journal]) -> None:
    directory, journal = held
    with suppress(StorageError):
        journal.close()
    directory.close()


async def _collect(journal: Journal, info: RunInfo, settings: Settings, path: Path, sessions: int) -> None:
    """Merge what dask workers did for an earlier session. The engine of this session does not matter."""
    stored = msgspec.convert(info.settings, Settings)
    if "dask" in (stored.engine, settings.engine) or (path / "shards").is_dir():
        from orchestrator.cluster import merge_left_behind

        for where in {stored.shared_dir, settings.shared_dir, None}:
            await merge_left_behind(
                journal, info, msgspec.structs.replace(settings, shared_dir=where), path, sessions
            )


def require_same_tenants(
    info: RunInfo, settings: Settings, tenants: "Mapping[str, Tenant]", path: Path
) -> None:
    """Raise UsageError if the settings name another tenant than the run in ``path`` has, or other ones."""
    if bool(info.tenants) != bool(tenants):
        what = "is of several tenants" if info.tenants else "is of one tenant, and not of a file of them"
        raise UsageError(f"The run in {path} {what}: leave --tenants as it was.")
    for name, was in info.tenants.items():
        if name not in tenants or not _is_same(was, tenant_info(tenants[name])):
            raise UsageError(
                f"The run in {path} has a tenant {name} at {was.base_url}, entity {was.entity_id or 'not named'}: the "
                "file of tenants must still say the same of it. Credentials and limits in it may change."
            )
    if tenants:
        return
    now = TenantInfo(settings.address, settings.entity_id, settings.org_ids)
    if not _is_same(TenantInfo(info.base_url, info.entity_id, info.org_ids), now):
        raise UsageError(
            f"The run in {path} belongs to {info.base_url}, entity {info.entity_id or 'not named'}, organisations "
            f"{', '.join(info.org_ids) or 'not named'}: leave out what names another tenant."
        )


def _is_same(one: TenantInfo, other: TenantInfo) -> bool:
    return (
        same_address(one.base_url, other.base_url)
        and one.entity_id == other.entity_id
        and one.org_ids == other.org_ids
    )


def _without_secrets(settings: Settings) -> dict[str, object]:
    plain = msgspec.structs.replace(
        settings,
        **dict.fromkeys(SECRETS),
        implicit=(),
        on_end=None,  # it may contain a secret
        tenants=_absolute(settings.tenants),
        plan=_absolute(settings.plan),
        shared_dir=_absolute(settings.shared_dir),
    )
    stored: dict[str, object] = msgspec.to_builtins(plain)
    return stored


def _absolute(path: str | None) -> str | None:
    """A run may be resumed from another folder."""
    return None if path is None else str(Path(path).absolute())
