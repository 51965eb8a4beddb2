"""A session whose tenants are worked on by the workers of a dask cluster: what the caller does."""

import heapq
from asyncio import wrap_future
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import anyio
import msgspec

from orchestrator.cluster.client import LONGEST_WAIT, Cluster, ClusterLost, connect
from orchestrator.cluster.control import Control, Degree, EndedByCaller
from orchestrator.cluster.credentials import environment_without_secrets, tenants_for_workers
from orchestrator.cluster.merge import ShardLost, ShardMerge, shard_lost
from orchestrator.cluster.messages import Shard, ShardResult, apply_progress, encode_shard, topic
from orchestrator.cluster.shared_dir import (
    create_session,
    new_session_name,
    remove_if_merged,
    sessions_folder,
)
from orchestrator.engine.cutoff import Cutoff, Ending, Interrupted
from orchestrator.engine.guards import too_many
from orchestrator.engine.input import read_to_end
from orchestrator.engine.ports import Intake
from orchestrator.errors import MassStopError, RunDirectoryError, StorageError, UsageError
from orchestrator.journal import shards
from orchestrator.journal.entries import NO_KEYS, Counts, RunInfo
from orchestrator.progress import Progress
from orchestrator.sessions.session import Common, initial_progress
from orchestrator.sessions.several import add_up, together
from orchestrator.settings import SECRETS, Settings
from orchestrator.settings.scheduler import reach_of, refuse_open
from orchestrator.settings.tenants import Tenant

CHECK_INTERVAL = 2.0
"""Seconds between two checks whether there are any workers."""


class ClusterSession:
    """Works on each tenant as a task of a dask cluster.

    The whole input is read first. The rows of each shard are merged into the run's journal as soon as it is over. If
    the caller dies before, they stay in the shard's folder, and ``resume`` merges them.
    """

    def __init__(
        self,
        common: Common,
        info: RunInfo,
        session: int,
        settings: Settings,
        tenants: Mapping[str, Tenant],
        counts: Mapping[str, Counts],
        progress: Progress,
        cutoff: Cutoff,
        directory: Path,
        deadline: float | None,
    ) -> None:
        self.progress = progress
        self.by_tenant = progress.tenants
        self._answered_before = 0
        self._waits: dict[str, anyio.CancelScope] = {}
        self._common = common
        # Each session has a deadline of its own. Secrets travel in a field of their own, if at all.
        plain = msgspec.structs.replace(settings, **dict.fromkeys(SECRETS), deadline=None)
        self._info = msgspec.structs.replace(info, settings=msgspec.to_builtins(plain), tenants={})
        self._session = session
        self._settings = settings
        self._tenants = tenants_for_workers(tenants, settings)
        self._environment = environment_without_secrets(tenants.values())
        self._counts = {name: one for name, one in counts.items() if name in self._tenants}
        self._merge = ShardMerge(
            common.journal, directory, not common.planning, settings.timeout, common.on_completed
        )
        self._home = sessions_folder(settings, directory, info.id) / new_session_name(session)
        self._control = Control(self._home, common.log)
        self._read_or_cut = anyio.Event()
        self._joining = anyio.CancelScope()
        self._endings: dict[str, Ending] = {}
        self._deadline = deadline
        self._cutoff = cutoff
        cutoff.subscribe(self._send_control)

    async def run(self, intake: Intake) -> Ending:
        """Work until every shard is over and merged."""
        try:
            await self._read(intake)
            names = [name for name, one in self._counts.items() if one.waiting or one.polling]
            if names and not self._cutoff.closing:
                await self._work_on(names)
        except UsageError as error:  # no shard was handed over yet
            self._cutoff.cancel(error)
        return together(self._endings) if self._cutoff.reason is None else self._cutoff.ending()

    async def _read(self, intake: Intake) -> None:
        """Read the whole input. Once the run is cut, read what is available without waiting."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._read_to_end, intake)
            await self._read_or_cut.wait()
            await intake.finish()
            group.cancel_scope.cancel()

    async def _read_to_end(self, intake: Intake) -> None:
        new: Counter[str] = Counter()
        complete = await read_to_end(
            intake.read(new.update),
            self._cutoff,
            self._common.log,
            any_key=lambda: bool(new) or any(one.keys for one in self._counts.values()),
            any_sent=lambda: False,  # nothing is sent before all is read
            whose="" if "" in self._tenants else " of a known tenant",
        )
        for name, count in new.items():
            read = Counts(keys=count, accepted=0, waiting=count, polling=0)
            self._counts[name] = self._counts.get(name, NO_KEYS) + read
        self.progress.keys = sum(one.keys for one in self._counts.values())
        self.progress.read_to_end = complete
        planning = self._common.planning
        self.by_tenant.update(
            {name: initial_progress(one, planning=planning) for name, one in self._counts.items()}
        )
        for progress in self.by_tenant.values():
            progress.read_to_end = self.progress.read_to_end
        self._answered_before = sum(one.keys_answered for one in self.by_tenant.values())
        self._read_or_cut.set()

    def _send_control(self) -> None:
        """Pass on to the shards that the run ends early."""
        cutoff = self._cutoff
        if cutoff.closing:
            self._read_or_cut.set()
            self._joining.cancel()
        if cutoff.cancelled_by is not None:
            self._control.send(Degree.CANCEL, cutoff.cancelled_by)
        elif cutoff.interrupted_by is not None:
            self._control.send(Degree.INTERRUPT, cutoff.interrupted_by)
        elif not cutoff.stops_allowed and cutoff.reason is not None:
            self._control.send(Degree.STOP_SENDING, cutoff.reason)

    async def _work_on(self, names: list[str]) -> None:
        create_session(self._home, [self._folder(name) for name in names])
        try:
            async with AsyncExitStack() as stack:
                with self._joining:
                    cluster, workers = await self._join(stack, len(names))
                if self._joining.cancelled_caught:
                    return
                cluster.on_progress(topic(self._info.id), self._show_progress)
                try:
                    await self._run_all(cluster, workers, names)
                except BaseException as error:  # this process no longer controls the shards
                    await self._abandon(cluster, error)
                    raise
        finally:
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as group:
                    for name in names:
                        if name not in self._endings:
                            group.start_soon(self._merge_left_behind, name)
                remove_if_merged(self._home)

    async def _join(self, stack: AsyncExitStack, shards: int) -> tuple[Cluster, list[str]]:
        """Connect to the cluster until ``stack`` is closed. Return it with its workers. Raises UsageError."""
        settings, log = self._settings, self._common.log
        cluster = await stack.enter_async_context(connect(settings.scheduler, shards, self._environment))
        log.debug("cluster.joined", scheduler=cluster.address, shards=shards)
        if settings.scheduler is not None and (reach := reach_of(settings.scheduler)) != "certificate":
            who = "every user of this machine" if reach == "machine" else "everyone on its network"
            log.warning("cluster.not_encrypted", scheduler=settings.scheduler, can_run_code_on_workers=who)
        workers = await cluster.checked_workers(self._warn_without_workers)
        if not settings.insecure_scheduler:
            for worker in workers:
                refuse_open("The dask worker", worker)
        return cluster, workers

    async def _abandon(self, cluster: Cluster, error: BaseException) -> None:
        reason: MassStopError
        if isinstance(error, anyio.get_cancelled_exc_class()):
            reason = Interrupted("The run was cancelled, and calls in flight were cancelled.", 130)
        else:
            reason = EndedByCaller(f"The run ended with an error: {type(error).__name__}.", 5)
        self._control.send(Degree.CANCEL, reason)
        with anyio.CancelScope(shield=True), suppress(OSError):
            await self._control.resend(cluster.send_control)

    async def _run_all(self, cluster: Cluster, workers: list[str], names: list[str]) -> None:
        keys = {name: self._counts[name].waiting + self._counts[name].polling for name in names}
        places = place(keys, workers)
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, cluster)
            async with anyio.create_task_group() as running:
                for name in names:
                    running.start_soon(self._run_one, cluster, name, places.get(name), keys[name])
            group.cancel_scope.cancel()

    async def _run_one(self, cluster: Cluster, name: str, worker: str | None, priority: int) -> None:
        """Hand over the shard of a tenant, wait for its end, and merge it."""
        shard = await self._hand_over(name)
        tables = None
        try:
            result = await self._result(cluster, shard, worker, priority)
            ending, tables = result.ending(), result.tables
        except ClusterLost as error:
            self._control.send(Degree.CANCEL, error)
            ending = shard_lost(str(error))
        except MassStopError as error:
            ending = shard_lost(str(error))
        except Exception as error:  # noqa: BLE001 - dask names no types; this shard's task is over
            ending = shard_lost(f"{type(error).__name__}: {str(error)[:300]}")
        if isinstance(ending.cut_by, ShardLost):
            self._common.log.error("shard.lost", tenant=name, message=ending.reason)
        ending = self._endings[name] = await self._merge.conclude(self._folder(name), name, ending, tables)
        if ending.cut_by is not None and not self._cutoff.closing:
            self.by_tenant[name].given_up = ending.reason
        if name:
            self._common.journal.of(name).tenant_state(ending.state, ending.reason)

    async def _hand_over(self, name: str) -> Shard:
        sending = not self._common.planning
        rows = await wrap_future(shards.hand_over(self._common.journal, name, sending=sending))
        if name:
            self._common.journal.of(name).tenant_state("running", None)
        return Shard(
            info=self._info,
            session=self._session,
            name=name,
            number=1 + list(self._tenants).index(name),
            tenant=self._tenants[name],
            folder=str(self._folder(name)),
            rows=rows,
            deadline=self._deadline,
            proxy_credentials=None if self._settings.scheduler else self._settings.proxy_credentials,
        )

    async def _result(self, cluster: Cluster, shard: Shard, worker: str | None, priority: int) -> ShardResult:
        """Raises ClusterLost, and whatever dask raises if the shard did not complete."""
        key = f"{shard.name or 'tenant'}-{self._info.id}-{self._home.name}"
        with anyio.CancelScope() as self._waits[shard.name]:
            data = await cluster.work(key, encode_shard(shard), worker, priority)
        if self._waits.pop(shard.name).cancelled_caught:
            raise ClusterLost("the cluster has no worker any more")
        return msgspec.msgpack.decode(data, type=ShardResult)

    async def _merge_left_behind(self, name: str) -> None:
        with suppress(StorageError, RunDirectoryError):
            await self._merge.merge(self._folder(name), name)

    async def _watch(self, cluster: Cluster) -> None:
        """Resend control messages. Give up all shards if there is no worker for too long, or after a cut."""
        since: float | None = None
        while True:
            await anyio.sleep(CHECK_INTERVAL)
            with suppress(OSError):  # the wait for each shard reports that the scheduler is lost
                await self._control.resend(cluster.send_control)
                if await cluster.workers():
                    since = None
                    continue
                now = self._common.clock.now()
                if since is None:
                    since = now
                    self._warn_without_workers()
                if self._cutoff.cancelled_by is not None or now - since > LONGEST_WAIT:
                    for wait in self._waits.values():
                        wait.cancel()

    def _warn_without_workers(self) -> None:
        self._common.log.warning("cluster.without_workers", gives_up_after=LONGEST_WAIT)

    def _show_progress(self, values: dict[str, Any]) -> None:
        """Count the progress that a worker reports of its shards."""
        for name, one in values.items():
            if name in self.by_tenant:
                apply_progress(self.by_tenant[name], one, self._common.clock.now())
        add_up(self.progress, self.by_tenant.values())
        tried = self.progress.keys_answered - self._answered_before
        reason = too_many(self._settings.max_failures_total, self.progress.failed, tried, in_all=True)
        if reason is not None:
            self._cutoff.stop_sending(reason)

    def _folder(self, name: str) -> Path:
        return self._home / (name or "tenant")


def place(shards: Mapping[str, int], workers: Iterable[str]) -> dict[str, str]:
    """Return a worker for each of ``shards`` (name → number of keys); nothing if there is no worker.

    The largest shard comes first, each on the worker with the fewest keys so far. This is at most a third longer than
    the optimum (LPT, Graham 1969). Dask itself counts tasks. It would put eight that start at once on one worker with
    many threads, whose single core then does all the work.
    """
    loads = [(0, number, worker) for number, worker in enumerate(workers)]
    if not loads:
        return {}
    chosen = {}
    for name in sorted(shards, key=lambda name: -shards[name]):
        keys, number, worker = loads[0]
        chosen[name] = worker
        heapq.heapreplace(loads, (keys + shards[name], number, worker))
    return chosen
