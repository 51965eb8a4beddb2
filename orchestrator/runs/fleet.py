"""Several tenants in one process: each with its own pace, guard and end, all of them in one task group."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial

import anyio
from anyio.abc import TaskGroup

from orchestrator.engine.guards import DeadlineReached, FailureGuard
from orchestrator.engine.input import read_to_end
from orchestrator.engine.ports import IntakeByTenant
from orchestrator.engine.run import Ending
from orchestrator.errors import MassStopError, StorageError, TenantError, UsageError
from orchestrator.journal.entries import NOTHING, Standing
from orchestrator.progress import LATEST, Tally
from orchestrator.runs.loop_lag import BEAT, Crowd
from orchestrator.runs.part import Common, Part, first_tally
from orchestrator.settings import Settings
from orchestrator.settings.tenants import Tenant, settings_of
from orchestrator.zuora.shared_tokens import SharedTokens

REFRESH = 0.2
"""Seconds after which the counts of all tenants are added up anew, for whoever shows them."""

TOLD = 5
"""Tenants whose reason is told in the run's; the report has every one."""


class PartlyCut(MassStopError):
    """Some tenants came to no good end; the others did their work."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class Fleet:
    """Works on several tenants at once. One that is slow, dead or throttled takes nothing from the others.

    ``tally`` shows the sum of all, ``tallies`` each tenant's own. A tenant is contacted once it has a key.
    """

    def __init__(
        self,
        common: Common,
        settings: Settings,
        tenants: Mapping[str, Tenant],
        standings: Mapping[str, Standing],
        tally: Tally,
    ) -> None:
        self.tally = tally
        self.tallies = tally.tenants
        self._tenants = tenants
        self._numbers = {name: number for number, name in enumerate(tenants, 1)}
        self._settings = settings
        self._standings = {name: one for name, one in standings.items() if name in tenants and one.keys}
        self.tallies.update(
            {name: first_tally(one, planning=common.planning) for name, one in self._standings.items()}
        )
        self._deadline = common.seconds_left
        most = settings.max_failures_total
        guards = () if most is None else (FailureGuard(most, self._stop_sending, in_all=True),)
        self._common = replace(common, guards=guards, deadline=None)
        self._tokens = SharedTokens(common.clock)
        self._crowd = Crowd()
        self._parts: dict[str, Part] = {}
        self._shares: dict[str, _Share] = {}
        self._endings: dict[str, Ending] = {}
        self._reading = True
        self._read = anyio.Event()
        self._changed = anyio.Event()
        self._group: TaskGroup | None = None
        self._cut_by: MassStopError | None = None
        self._shortened_by: MassStopError | None = None
        self._error: Exception | None = None

    async def run(self, intake: IntakeByTenant) -> Ending:
        """Works until every key of every tenant has its end, or :meth:`cut` was called and calls have come back."""
        async with anyio.create_task_group() as self._group:
            self._group.start_soon(self._read_input, intake)
            self._group.start_soon(self._keep_tally)
            self._group.start_soon(self._keep_beat)
            if self._deadline is not None:
                self._group.start_soon(self._keep_deadline, self._deadline)
            self._start_all([name for name, one in self._standings.items() if one.waiting or one.following])
            while not self._over():
                self._changed = anyio.Event()
                await self._changed.wait()
            await intake.finish()
            self._group.cancel_scope.cancel()
        self._add_up()
        ending = self._ending()
        # A UsageError ends a run that sent nothing, and leaves the journal as the session before wrote it.
        for name in self._endings.keys() - self._parts.keys():
            if not isinstance(ending.cut_by, UsageError):
                self._common.journal.of(name).tenant_state("aborted", self._endings[name].reason)
        return ending

    def cut(self, reason: MassStopError) -> None:
        """Lets no further call start, of any tenant."""
        self._cut_by = self._cut_by or reason
        for part in self._parts.values():
            part.cut(reason)
        self._changed.set()

    def _over(self) -> bool:
        at_work = self._parts.keys() - self._endings.keys()
        # Where no tenant is left, nobody waits for keys that nobody would send.
        hopeless = self._endings.keys() >= self._tenants.keys()
        return not at_work and (not self._reading or self._cut_by is not None or hopeless)

    def _start_all(self, names: Sequence[str]) -> None:
        """Starts the part of each tenant. One without credentials ends at once; the others are not affected."""
        for name in names:
            try:
                settings = settings_of(name, self._tenants[name], self._settings)
            except UsageError as error:
                self._common.log.error("tenant.without_credentials", tenant=name, message=str(error))
                self._endings[name] = Ending.cut(error)
                standing = self._standings.get(name, NOTHING)
                tally = self.tallies[name] = first_tally(standing, planning=self._common.planning)
                tally.given_up = str(error)
            else:
                self._start(name, settings)

    def _start(self, name: str, settings: Settings) -> None:
        assert self._group is not None
        standing = self._standings.get(name, NOTHING)
        tally = self.tallies[name] = first_tally(standing, planning=self._common.planning)
        part = self._parts[name] = Part(
            self._common, settings, tally, standing,
            name=name, number=self._numbers[name], tokens=self._tokens, results_wait=partial(self._crowd.holds, name),
        )  # fmt: skip
        self._shares[name] = _Share(self._read)
        self._group.start_soon(self._work, name, part)

    async def _work(self, name: str, part: Part) -> None:
        journal = self._common.journal.of(name)
        journal.tenant_state("running", None)
        ending = Ending("interrupted", "The run was cancelled, and calls under way were cut.")
        try:
            ending = await part.run(self._shares[name])
        finally:
            journal.tenant_state(ending.state, ending.reason)
        self._endings[name] = ending
        if ending.cut_by is not None and self._cut_by is None:
            self.tallies[name].given_up = ending.reason
        self._changed.set()

    async def _read_input(self, intake: IntakeByTenant) -> None:
        end = await read_to_end(
            intake.read_by_tenant(self._on_new),
            self._common.log,
            any_key=lambda: (
                bool(self._parts or self._endings) or any(tally.keys for tally in self.tallies.values())
            ),
            any_sent=lambda: any(tally.stops_sent for tally in self.tallies.values()),
            whose=" of a known tenant",
        )
        self._shortened_by = self._shortened_by or end.shortened_by
        self._error = end.error
        self._reading = False
        self._read.set()
        for name in self.tallies.keys() - self._parts.keys():
            self.tallies[name].read_to_end = True
        if end.cut_by is not None:
            self.cut(end.cut_by)
        self._changed.set()

    def _on_new(self, new: Counter[str]) -> None:
        if self._cut_by is None and self._shortened_by is None:
            self._start_all([name for name in new if name not in self._parts and name not in self._endings])
        for name, count in new.items():
            if name in self._shares:
                self._shares[name].add(count)
            elif name in self._endings:
                self.tallies[name].keys += count
        self._changed.set()

    async def _keep_deadline(self, seconds: float) -> None:
        await anyio.sleep(max(0.0, seconds))
        self.cut(DeadlineReached("The deadline was reached: no call was started after it (--deadline)."))

    def _stop_sending(self, reason: MassStopError) -> None:
        if self._shortened_by is None:
            self._shortened_by = reason
            for part in self._parts.values():
                part.stop_sending(reason)

    async def _keep_tally(self) -> None:
        while True:
            await anyio.sleep(REFRESH)
            self._add_up()

    async def _keep_beat(self) -> None:
        while True:
            due = anyio.current_time() + BEAT
            await anyio.sleep(BEAT)
            engines = {name: part.engine for name, part in self._parts.items() if part.engine is not None}
            senders = (name for name, engine in engines.items() if engine.sending)
            if self._crowd.beat(anyio.current_time() - due, senders):
                for engine in engines.values():
                    engine.kick()

    def _add_up(self) -> None:
        add_up(self.tally, self.tallies.values())
        self.tally.read_to_end = not self._reading

    def _ending(self) -> Ending:
        reason = self._cut_by or self._shortened_by
        return together(self._endings) if reason is None else Ending.cut(reason, self._error)


class _Share:
    """One tenant's share of the keys."""

    def __init__(self, read: anyio.Event) -> None:
        self._read = read
        self._early = 0
        self._on_new: Callable[[int], None] | None = None

    def add(self, count: int) -> None:
        if self._on_new is None:
            self._early += count
        else:
            self._on_new(count)

    async def read(self, on_new: Callable[[int], None]) -> None:
        on_new(self._early)
        self._on_new = on_new
        await self._read.wait()

    async def finish(self) -> None:
        """Others may still need the keys that come."""


def together(endings: Mapping[str, Ending]) -> Ending:
    """How a run ended whose tenants ended each by itself."""
    cut = {name: ending for name, ending in endings.items() if ending.cut_by is not None}
    if not cut:
        return Ending("finished")
    told = [f"{name}: {ending.reason}".removeprefix(": ") for name, ending in list(cut.items())[:TOLD]]
    if len(cut) > TOLD:
        told.append(f"and {len(cut) - TOLD} tenants more")
    reason = " ".join(told)
    first = next(iter(cut.values())).cut_by
    if len(cut) == len(endings) and all(
        isinstance(one.cut_by, TenantError | UsageError) for one in cut.values()
    ):
        kind = UsageError if all(isinstance(one.cut_by, UsageError) for one in cut.values()) else TenantError
        return Ending("aborted", reason, first if len(cut) == 1 else kind(reason))
    failed = any(one.cut_by.exit_status == StorageError.exit_status for one in cut.values() if one.cut_by)
    return Ending.cut(PartlyCut(reason, StorageError.exit_status if failed else 4))


def add_up(total: Tally, tallies: Iterable[Tally]) -> None:
    """Makes every count of ``total`` the sum of those of ``tallies``; it waits for a tenant where all of them do."""
    every = list(tallies)
    for field in fields(Tally):
        values = [getattr(tally, field.name) for tally in every]
        if isinstance(getattr(total, field.name), Counter):
            setattr(total, field.name, sum(values, Counter()))
        elif type(getattr(total, field.name)) is int:
            setattr(total, field.name, sum(values))
    total.latest = deque((one for tally in every for one in tally.latest), LATEST)
    total.closed_until = min((tally.closed_until for tally in every), default=total.closed_until)
