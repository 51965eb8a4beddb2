"""Several tenants in one process: each with its own pacing, guards and end, all of them in one task group."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial

import anyio
from anyio.abc import TaskGroup

from orchestrator.engine.cutoff import Cutoff, Ending
from orchestrator.engine.guards import FailureGuard
from orchestrator.engine.input import read_to_end
from orchestrator.engine.ports import Intake
from orchestrator.errors import MassStopError, StorageError, TenantError, UsageError
from orchestrator.journal.entries import NO_KEYS, Counts
from orchestrator.progress import LATEST, Progress
from orchestrator.sessions.loop_lag import TICK, LoopLagMonitor
from orchestrator.sessions.session import Common, TenantSession, initial_progress, tenant_session
from orchestrator.settings import Settings
from orchestrator.settings.tenants import Tenant, settings_of
from orchestrator.zuora.shared_tokens import SharedTokens

REFRESH = 0.2
"""Seconds between two sums of the counts of all tenants."""

NAMED = 5
"""Tenants whose reason appears in the run's. The report has all of them."""


class PartlyCut(MassStopError):
    """Some tenants ended early. The others finished."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class MultiTenantSession:
    """A :class:`TenantSession` for each tenant that has a key. A slow or unreachable tenant does not delay the others.

    ``progress`` shows the sum of all tenants, and has each tenant's own counts. Each tenant has a cutoff of its own,
    which follows the run's.
    """

    def __init__(
        self,
        common: Common,
        settings: Settings,
        tenants: Mapping[str, Tenant],
        counts: Mapping[str, Counts],
        progress: Progress,
        cutoff: Cutoff,
    ) -> None:
        self._progress = progress
        self._by_tenant = progress.tenants
        self._tenants = tenants
        self._settings = settings
        self._counts = {name: one for name, one in counts.items() if name in tenants and one.keys}
        self._by_tenant.update(
            {name: initial_progress(one, planning=common.planning) for name, one in self._counts.items()}
        )
        most = settings.max_failures_total
        self._common = replace(
            common, guards=() if most is None else (FailureGuard(most, cutoff, in_all=True),)
        )
        self._cutoff = cutoff
        self._tokens = SharedTokens(common.clock)
        self._monitor = LoopLagMonitor()
        self._sessions: dict[str, TenantSession] = {}
        self._shares: dict[str, _Share] = {}
        self._endings: dict[str, Ending] = {}
        self._reading = True
        self._read = anyio.Event()
        self._changed = anyio.Event()
        cutoff.subscribe(lambda: self._changed.set())

    async def run(self, intake: Intake) -> Ending:
        """Work until every key of every tenant is completed, or until the run ends early."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._read_input, intake, group)
            group.start_soon(self._add_up_regularly)
            group.start_soon(self._watch_loop)
            self._start_all(group, [name for name, one in self._counts.items() if one.waiting or one.polling])
            while not self._over():
                self._changed = anyio.Event()
                await self._changed.wait()
            await intake.finish()
            group.cancel_scope.cancel()
        self._add_up()
        ending = together(self._endings) if self._cutoff.reason is None else self._cutoff.ending()
        # A UsageError ends a run that sent nothing, and leaves the journal as the session before wrote it.
        for name in self._endings.keys() - self._shares.keys():
            if not isinstance(ending.cut_by, UsageError):
                self._common.journal.of(name).tenant_state("aborted", self._endings[name].reason)
        return ending

    def _over(self) -> bool:
        at_work = self._shares.keys() - self._endings.keys()
        # If every tenant has ended, the keys that may still come cannot be sent.
        all_ended = self._endings.keys() >= self._tenants.keys()
        return not at_work and (not self._reading or self._cutoff.closing or all_ended)

    def _start_all(self, group: TaskGroup, names: Sequence[str]) -> None:
        """Start a session for each tenant. One without credentials ends at once; the others are not affected."""
        for name in names:
            progress = self._by_tenant[name] = initial_progress(
                self._counts.get(name, NO_KEYS), planning=self._common.planning
            )
            try:
                settings = settings_of(name, self._tenants[name], self._settings)
            except UsageError as error:
                self._common.log.error("tenant.without_credentials", tenant=name, message=str(error))
                self._endings[name] = Ending.cut(error)
                progress.given_up = str(error)
            else:
                self._shares[name] = _Share(self._read)
                group.start_soon(self._work, name, settings)

    async def _work(self, name: str, settings: Settings) -> None:
        journal = self._common.journal.of(name)
        journal.tenant_state("running", None)
        ending = Ending("interrupted", "The run was cancelled, and calls in flight were cancelled.")
        try:
            async with tenant_session(
                self._common, settings, Cutoff(self._cutoff), self._by_tenant[name],
                self._counts.get(name, NO_KEYS), name=name, number=1 + list(self._tenants).index(name),
                tokens=self._tokens, hold_results=partial(self._monitor.holds, name),
            ) as session:  # fmt: skip
                self._sessions[name] = session
                ending = await session.run(self._shares[name])
        finally:
            journal.tenant_state(ending.state, ending.reason)
        self._endings[name] = ending
        if ending.cut_by is not None and not self._cutoff.closing:
            self._by_tenant[name].given_up = ending.reason
        self._changed.set()

    async def _read_input(self, intake: Intake, group: TaskGroup) -> None:
        await read_to_end(
            intake.read(partial(self._on_new, group)),
            self._cutoff,
            self._common.log,
            any_key=lambda: (
                bool(self._shares or self._endings) or any(one.keys for one in self._by_tenant.values())
            ),
            any_sent=lambda: any(one.stops_sent for one in self._by_tenant.values()),
            whose=" of a known tenant",
        )
        self._reading = False
        self._read.set()
        for name in self._by_tenant.keys() - self._shares.keys():
            self._by_tenant[name].read_to_end = True
        self._changed.set()

    def _on_new(self, group: TaskGroup, new: Counter[str]) -> None:
        if self._cutoff.reason is None:
            known = self._shares.keys() | self._endings.keys()
            self._start_all(group, [name for name in new if name not in known])
        for name, count in new.items():
            if name in self._shares:
                self._shares[name].add(Counter({name: count}))
            elif name in self._endings:
                self._by_tenant[name].keys += count
        self._changed.set()

    async def _add_up_regularly(self) -> None:
        while True:
            await anyio.sleep(REFRESH)
            self._add_up()

    async def _watch_loop(self) -> None:
        while True:
            due = anyio.current_time() + TICK
            await anyio.sleep(TICK)
            senders = [name for name, session in self._sessions.items() if session.stops_wait]
            if self._monitor.tick(anyio.current_time() - due, senders):
                for session in self._sessions.values():
                    session.resume_results()

    def _add_up(self) -> None:
        add_up(self._progress, self._by_tenant.values())
        self._progress.read_to_end = not self._reading


class _Share:
    """One tenant's share of the keys, as its intake."""

    def __init__(self, read: anyio.Event) -> None:
        self._read = read
        self._early: Counter[str] = Counter()
        self._on_new: Callable[[Counter[str]], None] | None = None

    def add(self, new: Counter[str]) -> None:
        if self._on_new is None:
            self._early += new
        else:
            self._on_new(new)

    async def read(self, on_new: Callable[[Counter[str]], None]) -> None:
        on_new(self._early)
        self._on_new = on_new
        await self._read.wait()

    async def finish(self) -> None:
        """Other tenants may still need the keys that come."""


def together(endings: Mapping[str, Ending]) -> Ending:
    """The ending of a run from those of its tenants."""
    errors = {name: ending.cut_by for name, ending in endings.items() if ending.cut_by is not None}
    if not errors:
        return Ending("finished")
    reasons = [f"{name}: {endings[name].reason}".removeprefix(": ") for name in list(errors)[:NAMED]]
    if len(errors) > NAMED:
        reasons.append(f"and {len(errors) - NAMED} tenants more")
    reason, every = " ".join(reasons), list(errors.values())
    if len(every) == len(endings) and all(isinstance(error, TenantError | UsageError) for error in every):
        kind = UsageError if all(isinstance(error, UsageError) for error in every) else TenantError
        return Ending("aborted", reason, every[0] if len(every) == 1 else kind(reason))
    failed = any(error.exit_status == StorageError.exit_status for error in every)
    return Ending.cut(PartlyCut(reason, StorageError.exit_status if failed else 4))


def add_up(total: Progress, by_tenant: Iterable[Progress]) -> None:
    """Make every count of ``total`` the sum of those of ``by_tenant``. It waits for a tenant if all of them do."""
    every = list(by_tenant)
    for field in fields(Progress):
        values = [getattr(progress, field.name) for progress in every]
        if isinstance(getattr(total, field.name), Counter):
            setattr(total, field.name, sum(values, Counter()))
        elif type(getattr(total, field.name)) is int:
            setattr(total, field.name, sum(values))
    total.latest = deque((one for progress in every for one in progress.latest), LATEST)
    waiting = (progress for progress in every if progress.given_up is None)  # the others are tried no more
    total.outage = next((progress.outage for progress in waiting if progress.outage is not None), None)
    total.polls_until = max((one.polls_until for one in every), default=total.polls_until)
    total.closed_until = min((progress.closed_until for progress in every), default=total.closed_until)
