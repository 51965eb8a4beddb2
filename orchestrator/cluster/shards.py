"""A run whose tenants are worked on by the workers of a dask cluster: what the caller does."""

import os
from asyncio import wrap_future
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from orchestrator.cluster import cluster
from orchestrator.cluster.control import Control
from orchestrator.cluster.merge import Homecoming, ShardLost, lost
from orchestrator.cluster.messages import Done, Shard, encode_shard, take_counts, topic
from orchestrator.cluster.shared_dir import clear, home_of, lay_out, new_name
from orchestrator.engine.cutoff import Cutoff, Ending
from orchestrator.engine.guards import FAILURES, too_many
from orchestrator.engine.input import read_to_end
from orchestrator.engine.ports import IntakeByTenant
from orchestrator.errors import MassStopError, RunDirectoryError, StorageError, UsageError
from orchestrator.journal import shards
from orchestrator.journal.entries import NOTHING, RunInfo, Standing
from orchestrator.progress import Tally
from orchestrator.runs.session import Common, first_tally
from orchestrator.runs.several import add_up, together
from orchestrator.settings import SECRETS, Settings
from orchestrator.settings.scheduler import reach_of
from orchestrator.settings.tenants import (
    Tenant,
    secret_variables,
    tenant_of,
    tenant_with_credentials,
    with_credentials,
)

LOOK_AT_WORKERS = 2.0
"""Seconds between two looks at whether there are any workers."""


class Shards:
    """Works on each tenant as a task of a dask cluster. The interface is that of a
    :class:`~orchestrator.runs.several.MultiTenantSession`.

    The whole input is read first. Each shard's rows come back into the run's journal as soon as it is over; one that is
    not over when the caller dies leaves them in its folder below ``home``, where a resumed run finds them
    (:func:`~orchestrator.cluster.merge.collect`).
    """

    def __init__(
        self,
        common: Common,
        info: RunInfo,
        session: int,
        settings: Settings,
        tenants: Mapping[str, Tenant],
        standings: Mapping[str, Standing],
        tally: Tally,
        cutoff: Cutoff,
        directory: Path,
        deadline: float | None,
    ) -> None:
        self.tally = tally
        self.tallies = tally.tenants
        self._through_before = 0
        self._waits: dict[str, anyio.CancelScope] = {}
        self._common = common
        # What a shard is told is told anew by each session; a limit of all tenants is none of each.
        told = msgspec.structs.replace(settings, **dict.fromkeys(SECRETS), deadline=None)
        self._info = msgspec.structs.replace(info, settings=msgspec.to_builtins(told), tenants={})
        self._session = session
        self._settings = settings
        if settings.scheduler is None:
            self._tenants = _local_tenants(tenants, settings) or {"": tenant_with_credentials(settings)}
            self._proxy_credentials = settings.proxy_credentials
        else:
            self._proxy_credentials = None
            self._tenants = _remote_tenants(tenants) or {"": tenant_of(settings)}
        secret = secret_variables(tenants.values())
        self._environment = {name: value for name, value in os.environ.items() if name not in secret}
        self._standings = {name: one for name, one in standings.items() if name in self._tenants}
        self._way = Homecoming(
            common.journal, directory, not common.planning, settings.timeout, common.on_completed
        )
        self._home = home_of(settings, directory, info.id) / new_name(session)
        self._control = Control(self._home, common.log)
        self._read_or_cut = anyio.Event()
        self._joining = anyio.CancelScope()
        self._deadline = deadline
        self._endings: dict[str, Ending] = {}
        self._cutoff = cutoff
        cutoff.subscribe(self._pass_on)

    async def run(self, intake: IntakeByTenant) -> Ending:
        """Works until every shard is over and its rows are back."""
        try:
            await self._read(intake)
            work = [name for name, one in self._standings.items() if one.waiting or one.following]
            if work and self._cutoff.cancelled_by is None:
                await self._work_on(work)
        except UsageError as error:  # nothing was handed over yet
            self._cutoff.cancel(error)
        return together(self._endings) if self._cutoff.reason is None else self._cutoff.ending()

    async def _read(self, intake: IntakeByTenant) -> None:
        """Reads the whole input, or, once the run was cut, what of it can be read without waiting for anybody."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._read_to_end, intake)
            await self._read_or_cut.wait()
            await intake.finish()
            group.cancel_scope.cancel()

    async def _read_to_end(self, intake: IntakeByTenant) -> None:
        new: Counter[str] = Counter()
        complete = await read_to_end(
            intake.read_by_tenant(new.update),
            self._cutoff,
            self._common.log,
            any_key=lambda: bool(new) or any(one.keys for one in self._standings.values()),
            any_sent=lambda: False,  # nothing is, before all is read
            whose="" if "" in self._tenants else " of a known tenant",
        )
        for name, count in new.items():
            read = Standing(keys=count, accepted=0, waiting=count, following=0)
            self._standings[name] = self._standings.get(name, NOTHING) + read
        self.tally.keys = sum(one.keys for one in self._standings.values())
        self.tally.read_to_end = complete
        planning = self._common.planning
        self.tallies.update(
            {name: first_tally(one, planning=planning) for name, one in self._standings.items()}
        )
        for tally in self.tallies.values():
            tally.read_to_end = self.tally.read_to_end
        self._through_before = sum(one.through for one in self.tallies.values())
        self._read_or_cut.set()

    def _pass_on(self) -> None:
        """The run ends early: so do its shards."""
        cutoff = self._cutoff
        if cutoff.cancelled_by is not None:
            self._read_or_cut.set()
            self._joining.cancel()
            self._control.order(cut=str(cutoff.cancelled_by), exit_status=cutoff.cancelled_by.exit_status)
        elif not cutoff.sending:
            self._control.order(stop_sending=str(cutoff.reason))

    async def _work_on(self, names: list[str]) -> None:
        lay_out(self._home, [self._folder(name) for name in names])
        try:
            async with AsyncExitStack() as stack:
                with self._joining:
                    client = await stack.enter_async_context(
                        cluster.connected(self._settings.scheduler, len(names), self._environment)
                    )
                    self._common.log.info(
                        "cluster.joined", scheduler=client.scheduler.address, shards=len(names)
                    )
                    self._warn_of_other_users()
                    workers = await cluster.fit_workers(client, self._tell_without_workers)
                if self._joining.cancelled_caught:
                    return
                cluster.subscribe(client, topic(self._info.id), self._counted)
                try:
                    await self._all(client, workers, names)
                except BaseException as error:  # whatever it is, nobody looks after the shards any more
                    await self._abandon(client, error)
                    raise
        finally:
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as group:
                    for name in names:
                        if name not in self._endings:
                            group.start_soon(self._bring_back_what_is_there, name)
                clear(self._home)

    def _warn_of_other_users(self) -> None:
        address = self._settings.scheduler
        if address is not None and (reach := reach_of(address)) != "certificate":
            self._common.log.warning("cluster.not_encrypted", scheduler=address, can_run_code_on_workers=(
                "every user of this machine" if reach == "machine" else "everyone on its network"
            ))  # fmt: skip

    async def _abandon(self, client: Any, error: BaseException) -> None:
        if isinstance(error, anyio.get_cancelled_exc_class()):
            self._control.order(cut="The run was cancelled, and calls under way were cut.", exit_status=130)
        else:
            self._control.order(cut=f"The run broke off: {type(error).__name__}.", exit_status=5)
        with anyio.CancelScope(shield=True), suppress(OSError):
            await self._control.insist(client)

    async def _all(self, client: Any, workers: list[str], names: list[str]) -> None:
        keys = {name: self._standings[name].waiting + self._standings[name].following for name in names}
        places = cluster.spread(keys, workers)
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep_watch, client)
            async with anyio.create_task_group() as at_work:
                for name in names:
                    at_work.start_soon(self._one, client, name, places.get(name), keys[name])
            group.cancel_scope.cancel()

    async def _one(self, client: Any, name: str, worker: str | None, weight: int) -> None:
        shard = await self._hand_over(name)
        told = None
        try:
            done = await self._done(client, shard, worker, weight)
            ending, told = done.ending(), done.told
        except cluster.ClusterGone as error:
            self._control.order(cut=str(error), exit_status=error.exit_status)
            ending = lost(str(error))
        except MassStopError as error:
            ending = lost(str(error))
        except Exception as error:  # noqa: BLE001 - whatever dask raises, it is the end of this shard's task
            ending = lost(f"{type(error).__name__}: {str(error)[:300]}")
        if isinstance(ending.cut_by, ShardLost):
            self._common.log.error("shard.lost", tenant=name, message=ending.reason)
        ending = self._endings[name] = await self._way.ended(self._folder(name), name, ending, told)
        if ending.cut_by is not None and self._cutoff.cancelled_by is None:
            self.tallies[name].given_up = ending.reason
        if name:
            self._common.journal.of(name).tenant_state(ending.state, ending.reason)

    async def _hand_over(self, name: str) -> Shard:
        sending = not self._common.planning
        take = self._common.journal.perform(lambda db: shards.take(db, name, sending=sending))
        rows = await wrap_future(take)
        if name:
            self._common.journal.of(name).tenant_state("running", None)
        return Shard(
            self._info, self._session, name, 1 + list(self._tenants).index(name), self._tenants[name],
            str(self._folder(name)), rows, self._deadline, self._proxy_credentials,
        )  # fmt: skip

    async def _done(self, client: Any, shard: Shard, worker: str | None, weight: int) -> Done:
        """Raises ClusterGone, or whatever dask raises where the shard came to no end."""
        key = f"{shard.name or 'tenant'}-{self._info.id}-{self._home.name}"
        with anyio.CancelScope() as self._waits[shard.name]:
            data = await cluster.submit(client, key, encode_shard(shard), worker, weight)
        if self._waits.pop(shard.name).cancelled_caught:
            raise cluster.ClusterGone("the cluster has no worker any more")
        return msgspec.msgpack.decode(data, type=Done)

    async def _bring_back_what_is_there(self, name: str) -> None:
        with suppress(StorageError, RunDirectoryError):
            await self._way.bring_back(self._folder(name), name)

    async def _keep_watch(self, client: Any) -> None:
        """Sees to it that orders arrive. Gives all shards up where no worker is left and none is to be waited for."""
        since: float | None = None
        while True:
            await anyio.sleep(LOOK_AT_WORKERS)
            with suppress(OSError):  # that the scheduler is lost is told to whoever waits for a shard
                await self._control.insist(client)
                if await cluster.workers_of(client):
                    since = None
                    continue
                now = self._common.clock.now()
                if since is None:
                    since = now
                    self._tell_without_workers()
                if self._cutoff.cancelled_by is not None or now - since > cluster.LONGEST_WAIT:
                    for wait in self._waits.values():
                        wait.cancel()

    def _tell_without_workers(self) -> None:
        self._common.log.warning("cluster.without_workers", gives_up_after=cluster.LONGEST_WAIT)

    def _counted(self, counts: dict[str, Any]) -> None:
        """Takes the counts that a worker tells of its shards."""
        for name, told in counts.items():
            if name in self.tallies:
                take_counts(self.tallies[name], told, self._common.clock.now())
        add_up(self.tally, self.tallies.values())
        failures = sum(self.tally.outcomes[outcome] for outcome in FAILURES)
        tried = self.tally.through - self._through_before
        reason = too_many(self._settings.max_failures_total, failures, tried, in_all=True)
        if reason is not None:
            self._cutoff.stop_sending(reason)

    def _folder(self, name: str) -> Path:
        return self._home / (name or "tenant")


def _local_tenants(tenants: Mapping[str, Tenant], settings: Settings) -> Mapping[str, Tenant]:
    """Return ``tenants`` with their credentials, for workers of this machine.

    A tenant whose credentials cannot be read stays as it is. Its shard reports the reason, and the others go on.
    """
    complete = {}
    for name, tenant in tenants.items():
        complete[name] = tenant
        with suppress(UsageError):
            complete[name] = with_credentials(name, tenant, settings)
    return complete


def _remote_tenants(tenants: Mapping[str, Tenant]) -> Mapping[str, Tenant]:
    """Return ``tenants``, for workers elsewhere. Raises UsageError if one has a secret, which must not leave here."""
    if any(tenant != tenant.portable for tenant in tenants.values()):
        raise UsageError(
            "A secret that a program holds is not sent to a scheduler elsewhere: with --scheduler, name an "
            "environment variable or a file of the workers."
        )
    return tenants
