"""A run in virtual time: a loop whose clock jumps, a tenant in memory that knows its own truth, and the wiring.

As in trio's MockClock and looptime, nothing waits for real: when nothing is ready, the clock jumps to the next timer.
Where nothing is ready and no timer is set either, everybody waits for nobody; the loop says so instead of hanging.
"""

import asyncio
import math
import selectors
import sqlite3
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

import msgspec

from orchestrator.clock import Clock
from orchestrator.engine.context import Context
from orchestrator.engine.dispatcher import Dispatcher, Job, Ramp
from orchestrator.engine.ports import Fetch
from orchestrator.engine.run import Ending, Engine
from orchestrator.errors import CallError, Kind, MassStopError, TenantError
from orchestrator.logs import Sink, make_log
from orchestrator.model import ActionState, Answered, InputRow, Limits, Outcome, Records, Reply, Status
from orchestrator.pacing.pacer import Pacer
from orchestrator.pacing.slots import TenantSlots
from orchestrator.progress import Tally
from orchestrator.settings import Settings
from orchestrator.store import database, entries
from orchestrator.store.entries import Armed, RunInfo, SourceInfo, Standing
from orchestrator.store.intake import Admission, ReadAlready
from orchestrator.store.journal import Journal
from orchestrator.store.report import ActionEntry, Report, read_report
from orchestrator.store.writer import LINGER, InlineWriter, Ledger, Writer, deliver

R = TypeVar("R")

Batch = tuple[float, Sequence[InputRow]]
"""Rows, and the seconds for which the source waits before it has them."""

EPOCH = 1_795_000_000.0
"""The wall clock when a virtual loop starts: some day in November 2026."""


TICK = 1e-9
"""Seconds by which a jump goes past its timer: a sum of floats may lie an ulp before the time it stands for."""


class Jump(selectors.DefaultSelector):
    """A selector that does not wait: it moves the clock on instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("everybody waits for nobody: nothing is ready and no timer is set")
        self.now += timeout + TICK
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop with a clock of its own, which starts at 0."""

    def __init__(self) -> None:
        self.jump = Jump()
        super().__init__(self.jump)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self.jump.now


def virtually(main: Coroutine[Any, Any, R]) -> R:
    """Runs ``main`` to its end on a virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def now() -> float:
    return asyncio.get_running_loop().time()


def bulk_key(number: int) -> str:
    return f"{number:032x}"


@dataclass
class Action:
    """One mass action and its life: Pending, Processing at ``speed`` records a second, Completed; or stopped.

    A stop on a running action takes effect at once and lasts ``stopping_for`` seconds; at ``others_stop_at`` somebody
    else sends one. ``refuses`` is what a stop and a status get to hear, whatever the state.
    """

    bulk_key: str
    starts_at: float = 0.0
    speed: float = 0.0
    total: int = 100
    stopping_for: float = 1.0
    born: Status = Status.PROCESSING
    action_type: str = "MPU"
    uploaded_by: str = "ada@example.com"
    refuses: Kind | None = None
    has_file: bool = True
    others_stop_at: float | None = None
    stopped_at: float | None = None

    def processed(self, at: float) -> int:
        until = at if self.stopped_at is None else min(at, self.stopped_at)
        return min(self.total, int(max(0.0, until - self.starts_at) * self.speed))

    def status(self, at: float) -> Status:
        if self.born.terminal:
            return self.born
        others = self.others_stop_at
        if (
            self.stopped_at is None
            and others is not None
            and at >= others
            and self.processed(others) < self.total
        ):
            self.stopped_at = others
        if self.stopped_at is not None and at >= self.stopped_at:
            return Status.STOPPED if at >= self.stopped_at + self.stopping_for else Status.STOPPING
        if at < self.starts_at:
            return Status.PENDING
        return Status.COMPLETED if self.processed(at) >= self.total else Status.PROCESSING

    def records(self, at: float) -> Records:
        if self.status(at) is Status.PENDING:
            return Records()
        done = self.total if self.born is Status.COMPLETED else self.processed(at)
        return Records(self.total, done, done, 0, self.total - done, "status")

    def stop(self, at: float) -> bool:
        """Whether the tenant takes the stop."""
        if self.status(at) not in (Status.PENDING, Status.PROCESSING):
            return False
        self.stopped_at = at
        return True


@dataclass(frozen=True)
class Fault:
    """What befalls one call: the error, whether the tenant did what was asked before it, and how long it takes.

    With ``later``, what was asked is done so many seconds after the answer: a gateway gave up, the tenant did not.
    """

    error: MassStopError
    works: bool = False
    seconds: float | None = None
    later: float | None = None


def fault(kind: Kind, *, works: bool = False, seconds: float | None = None, **fields: Any) -> Fault:
    return Fault(CallError(kind, f"scripted: {kind}", **fields), works, seconds)


def lost(*, works: bool = True, seconds: float = 30.0) -> Fault:
    """The answer never comes."""
    return fault(Kind.TIMEOUT, works=works, seconds=seconds, may_have_worked=True)


def throttled(retry_after: float | None = None) -> Fault:
    return fault(Kind.THROTTLED, http_status=429, retry_after=retry_after)


@dataclass
class Call:
    """One call as the tenant saw it; ``answer`` is None while it is under way, and for ever if it was cut."""

    name: str
    bulk_key: str
    at: float
    track_id: str
    ended_at: float | None = None
    answer: str | None = None
    took_effect: bool = False


UNANSWERED = frozenset({Kind.TIMEOUT, Kind.CONNECTION_LOST, Kind.CONNECT_FAILED})

Script = Callable[[str, str, int], Fault | None]
"""What befalls the call of that name for that key, the n-th (from 1) of its kind."""


def scripted(**faults: Mapping[int, Sequence[Fault]]) -> Script:
    """``scripted(stop={7: [lost()]})``: the faults of the first calls for key number 7; those after them go well."""
    by_key = {
        name: {bulk_key(number): list(befall) for number, befall in keys.items()}
        for name, keys in faults.items()
    }

    def script(name: str, key: str, n: int) -> Fault | None:
        befall = by_key.get(name, {}).get(key, [])
        return befall[n - 1] if n <= len(befall) else None

    return script


class VirtualTenant:
    """A tenant in memory. What it holds is the truth that a report is compared with."""

    def __init__(
        self,
        actions: Iterable[Action],
        *,
        latency: Callable[[], float] = lambda: 0.08,
        script: Script = lambda name, key, n: None,
        refuses_credentials: MassStopError | None = None,
        token_at: float = 0.0,
        stale: Callable[[], float] = lambda: 0.0,
        outlives: Callable[[Call], bool] = lambda call: False,
    ) -> None:
        self.actions = {action.bulk_key: action for action in actions}
        self.calls: list[Call] = []
        self.counts: Counter[tuple[str, str]] = Counter()
        self.in_flight = 0
        self.most_in_flight = 0
        self.cut_off = False
        self.answered: Callable[[Answered], None] = lambda answer: None
        self._latency = latency
        self._script = script
        self._refuses_credentials = refuses_credentials
        self._token_at = token_at
        self._stale = stale
        self._outlives = outlives

    def of(self, name: str, key: str | None = None) -> list[Call]:
        return [call for call in self.calls if call.name == name and (key is None or call.bulk_key == key)]

    async def authenticate(self) -> None:
        await asyncio.sleep(max(0.0, self._token_at - now()))
        if self._refuses_credentials is not None:
            await asyncio.sleep(self._latency())
            raise self._refuses_credentials

    async def stop(self, bulk_key: str, track_id: str) -> Reply[None]:
        def work(action: Action, call: Call) -> None:
            if not action.stop(now()):
                raise CallError(
                    Kind.WRONG_STATE, "the action is in the wrong state", code=50000030, http_status=200
                )
            call.took_effect = True

        await self._call("stop", bulk_key, track_id, work)
        return Reply(None, f"request-{len(self.calls)}")

    async def status(self, bulk_key: str, track_id: str) -> Reply[ActionState]:
        def work(action: Action, call: Call) -> ActionState:
            action.status(now())  # what others did until now has happened, whatever this reading shows
            seen_at = max(0.0, now() - self._stale())
            status = action.status(seen_at)
            over = status in (Status.STOPPED, Status.COMPLETED)
            return ActionState(
                status, action.action_type, action.uploaded_by, action.records(seen_at),
                f"https://tenant.invalid/v1/files/{bulk_key}" if over and action.has_file else None,
            )  # fmt: skip

        return Reply(await self._call("status", bulk_key, track_id, work), f"request-{len(self.calls)}")

    async def download(self, address: str, track_id: str, write: Callable[[bytes], object]) -> None:
        def work(action: Action, call: Call) -> bytes:
            return msgspec.json.encode(action.records(now()))

        write(await self._call("file", address.rpartition("/")[2], track_id, work))

    async def _call(self, name: str, key: str, track_id: str, work: Callable[[Action, Call], R]) -> R:
        if self._refuses_credentials is not None:
            await asyncio.sleep(self._latency())
            raise self._refuses_credentials
        call = Call(name, key, now(), track_id)
        if not self.cut_off:
            self.calls.append(call)
            self.counts[name, key] += 1
        befalls = self._script(name, key, self.counts[name, key])
        seconds = self._latency()
        if befalls is not None and befalls.seconds is not None:
            seconds = befalls.seconds
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self._way_there(call, seconds / 2, lambda action: work(action, call))
            result, error = self._truth(name, key, call, work, befalls)
            await asyncio.sleep(seconds / 2)
        finally:
            self.in_flight -= 1
        call.ended_at = now()
        call.answer = "ok" if error is None else getattr(error, "kind", "tenant error")
        self._tell(error, seconds)
        if error is not None:
            raise error
        return result

    def _truth(
        self, name: str, key: str, call: Call, work: Callable[[Action, Call], R], befalls: Fault | None
    ) -> tuple[Any, MassStopError | None]:
        """What the tenant does and what it answers; a tenant that was cut off does nothing any more."""
        if self.cut_off:
            return None, CallError(Kind.CONNECTION_LOST, "the process is dead")
        action = self.actions.get(key)
        if (
            befalls is not None
            and befalls.later is not None
            and action is not None
            and action.refuses is None
        ):
            self._later(befalls.later, action, lambda action: work(action, call))
        if befalls is not None and not befalls.works:
            return None, befalls.error
        if action is None:
            return None, CallError(Kind.NOT_FOUND, "there is no such action", code=50000040, http_status=200)
        if action.refuses is not None:
            return None, CallError(action.refuses, f"refused: {action.refuses}", http_status=200)
        try:
            result = work(action, call)
        except CallError as error:
            return None, befalls.error if befalls else error
        return result, befalls.error if befalls else None

    async def _way_there(self, call: Call, seconds: float, work: Callable[[Action], object]) -> None:
        """A request whose sender dies on the way may arrive all the same.

        Which do is told by the call, never by how many were cut before it: anyio cancels the tasks of a group in the
        order of sets, which is that of addresses in memory and another one each time.
        """
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            action = self.actions.get(call.bulk_key)
            if action is not None and action.refuses is None and self._outlives(call):
                self._later(seconds, action, work)
            raise

    def _later(self, seconds: float, action: Action, work: Callable[[Action], object]) -> None:
        def late() -> None:
            with suppress(CallError):
                work(action)

        asyncio.get_running_loop().call_later(seconds, late)

    def _tell(self, error: MassStopError | None, seconds: float) -> None:
        kind = getattr(error, "kind", None)
        if self.cut_off or kind in UNANSWERED or isinstance(error, TenantError):
            return
        retry_after = getattr(error, "retry_after", None)
        self.answered(Answered(Limits(), 200, kind is Kind.THROTTLED, retry_after, seconds))


class MemoryResponses:
    """Response files, kept in memory. Those of ``unusable`` keys cannot be understood."""

    def __init__(self, unusable: Iterable[str] = ()) -> None:
        self.files: dict[str, bytes] = {}
        self._unusable = set(unusable)

    async def fetch(self, bulk_key: str, fetch: Fetch) -> None:
        chunks: list[bytes] = []
        await fetch(write=chunks.append)
        self.files[bulk_key] = b"".join(chunks)

    async def count(self, bulk_key: str) -> Records:
        await asyncio.sleep(0.01)
        if bulk_key in self._unusable:
            raise CallError(Kind.BAD_FILE, "the file is no zip")
        records = msgspec.json.decode(self.files[bulk_key], type=Records)
        return msgspec.structs.replace(records, source="response_file")


class MemoryIntake:
    """Rows that come in batches; before each, the writer of the source takes its time."""

    def __init__(self, journal: Journal, info: SourceInfo, batches: Sequence[Batch]) -> None:
        self._batches = batches
        self._admission = Admission(
            journal, info, ranked=batches[0][1][0].weight is not None if batches else False
        )
        self._waiting = self._done = False

    async def read(self, on_new: Callable[[int], None]) -> None:
        try:
            for seconds, rows in self._batches:
                self._waiting = seconds > 0
                await asyncio.sleep(seconds)
                self._waiting = False
                for row in rows:
                    self._admission.add(row)
                on_new(self._admission.flush().total())
            self._admission.complete(None)
        finally:
            self._done = True

    async def finish(self) -> None:
        while not self._done and not self._waiting:  # noqa: ASYNC110 - both change within this very instant
            await asyncio.sleep(0)


class LaggingWriter:
    """Commits as the journal's thread does, but by the loop's own clock: notes that nobody waits for linger.

    What has lingered but is not committed is what a kill -9 loses.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._group: list[Any] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def trouble(self) -> str | None:
        return self._ledger.trouble

    def note(self, statement: str, **values: Any) -> None:
        self._group.append((statement, values))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LINGER, self.commit)

    def perform(self, work: Callable[[sqlite3.Connection], R]) -> "Future[R]":
        future: Future[R] = Future()
        self._group.append((work, future))
        self.commit()
        return future

    def commit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        group, self._group = self._group, []
        for future, result in self._ledger.commit(group):
            deliver(future, result)

    def close(self) -> None:
        self.commit()
        self._ledger.connection.close()


class SlowJournal(Journal):
    """A journal whose disk takes ``seconds`` to commit what a stop waits for."""

    def __init__(self, writer: Writer, clock: Clock, seconds: float) -> None:
        super().__init__(writer, clock)
        self._seconds = seconds

    async def arm(self, most: int, intent: bool) -> list[Armed]:
        await asyncio.sleep(self._seconds)
        return await super().arm(most, intent)

    async def intend(self, seq: int, *, retried: bool) -> None:
        await super().intend(seq, retried=retried)
        await asyncio.sleep(self._seconds)


@dataclass(frozen=True)
class Grant:
    """One slot given away: to which lane, and how many stops were waiting for a slot in that moment."""

    at: float
    to: str
    stops_waiting: int
    in_flight: int


class WatchedDispatcher(Dispatcher):
    """Writes down each slot it gives away, and what was waiting for it."""

    def __init__(self, pacer: Pacer, clock: Clock, journal: Journal) -> None:
        super().__init__(pacer, clock, Ramp())
        self.grants: list[Grant] = []
        self.most_later = 0
        self._journal = journal

    def _take(self) -> Job | None:
        at = self._clock.now()
        lanes = self.lanes
        self.most_later = max(self.most_later, lanes.retries)
        later = sum(due <= at for lane in (lanes._again, lanes._cold) for due, _, _ in lane._heap)
        stops = len(lanes.stops) + later
        guards, results = len(lanes.guards), len(lanes.results)
        job = super()._take()
        if job is not None:
            to = (
                "result"
                if len(lanes.results) < results
                else "guard"
                if len(lanes.guards) < guards
                else "stop"
            )
            unread = self._unarmed() if to == "result" and not lanes.stops_closed else 0
            self.grants.append(Grant(at, to, stops + guards + unread, self._pacer.in_flight))
        return job

    def _unarmed(self) -> int:
        work = "SELECT COUNT(*) FROM action WHERE stage = 0"
        count: int = self._journal.perform(lambda db: db.execute(work).fetchone()[0]).result()
        return count


def settings(**values: Any) -> Settings:
    """Settings of a run in virtual time: no headroom, ten slots."""
    told: dict[str, Any] = {"base_url": "https://tenant.invalid", "headroom": 0.0, "concurrency": 10}
    return Settings(**(told | values))


@dataclass
class World:
    """A tenant, a journal, and the sessions that work between them."""

    tenant: VirtualTenant
    settings: Settings = field(default_factory=settings)
    command: str = "run"
    lagging: bool = False
    disk: float = 0.0
    seed: int = 0
    responses: MemoryResponses | None = field(default_factory=MemoryResponses)
    settled: list[tuple[int, Outcome]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sessions = 0
        self.connection = database.in_memory()
        weakref.finalize(self, self.connection.close)
        self.most_held = 0
        self.first_call_after_crash = 0

    async def run(self, rows: Sequence[InputRow] | Sequence[Batch], **options: Any) -> Ending:
        """One session of the run, from its first key or from what an earlier one left, to its end."""
        return await self.session(rows, **options).run()

    def session(self, rows: Sequence[InputRow] | Sequence[Batch], **options: Any) -> "Session":
        self.sessions += 1
        return Session(self, _batches(rows), msgspec.structs.replace(self.settings, **options))

    def report(self) -> Report:
        return read_report(self.connection)


class Session:
    """What ``orchestrator/app.py`` wires, with everything in memory."""

    def __init__(self, world: World, batches: Sequence[Batch], settings: Settings) -> None:
        self.world = world
        self.settings = settings
        started = now()
        # Each process has seconds of its own.
        self.clock = Clock(lambda: now() - started + 3.0, wall=EPOCH + started)
        ledger = Ledger(world.connection)
        self.writer = LaggingWriter(ledger)
        inline = InlineWriter(ledger)
        self.journal = SlowJournal(self.writer if world.lagging else inline, self.clock, world.disk)
        self.tally = Tally()
        slots = TenantSlots(settings.headroom / 100, settings.concurrency)
        uniform = Random(world.seed).uniform
        self.pacer = Pacer(slots, settings.headroom / 100, settings.rate, uniform)
        self.dispatcher = WatchedDispatcher(self.pacer, self.clock, self.journal)
        self.batches = batches
        self.engine: Engine | None = None
        self.over = False

    async def run(self) -> Ending:
        standing, info = await self._open()
        self.tally.keys, self.tally.accepted = standing.keys, standing.accepted
        self.journal.begin_session()
        context = Context(
            settings=self.settings,
            tenant=self.world.tenant,
            journal=self.journal,
            dispatcher=self.dispatcher,
            clock=self.clock,
            log=make_log(Sink(None, None), self.clock, "run"),
            tally=self.tally,
            track_prefix=f"t-{self.world.sessions}",
            abort=lambda error: None,
            random=Random(self.world.seed + self.world.sessions),
        )
        self.engine = Engine(
            context,
            self.pacer,
            ReadAlready() if info.complete else MemoryIntake(self.journal, info, self.batches),
            self.world.responses if not self.settings.no_results else None,
            planning=self.world.command == "plan",
            deadline=self.settings.deadline,
            on_settled=lambda seq, outcome: self.world.settled.append((seq, outcome)),
        )

        def answered(answer: Answered) -> None:
            engine.answered(answer)
            self._measure()

        engine, self.world.tenant.answered = self.engine, answered
        ending = await engine.run(standing.waiting, standing.following)
        self.over = True
        await self.journal.end_session(ending.state, ending.reason, 0)
        return ending

    def cut(self, reason: MassStopError) -> None:
        assert self.engine is not None
        self.engine.cut(reason)

    def cut_if_running(self, reason: MassStopError) -> None:
        if self.engine is not None and not self.over:
            self.engine.cut(reason)

    def _measure(self) -> None:
        assert self.engine is not None
        self.world.most_held = max(self.world.most_held, len(self.engine._follow.held))

    async def _open(self) -> tuple[Standing, SourceInfo]:
        if self.world.sessions > 1:
            files = self.world.responses.files if self.world.responses else {}
            standing = await self.journal.reopen(kept=files.__contains__)
            return standing, entries.read_sources(self.world.connection)[0]
        self.journal.begin(
            RunInfo(
                id="run",
                command=self.world.command,
                version="0",
                process_started_at=self.clock.wall(),
                started_at=self.clock.stamp(),
                base_url=self.settings.address,
                entity_id=None,
                org_ids=(),
                settings={},
            )
        )
        (info,) = self.journal.add_sources([("keys.csv", "keys.csv")])
        return Standing(0, 0, 0, 0), info


def _batches(
    rows: Sequence[InputRow] | Sequence[Batch],
) -> list[Batch]:
    if rows and isinstance(rows[0], tuple):
        return [batch for batch in rows if isinstance(batch, tuple)]
    return [(0.0, [row for row in rows if isinstance(row, InputRow)])] if rows else []


def rows_of(count: int, first: int = 1) -> list[InputRow]:
    """Rows for the keys from ``first`` on, on the lines after a header."""
    return [InputRow(number + 1, bulk_key(number)) for number in range(first, first + count)]


def actions_of(count: int, first: int = 1, **fields: Any) -> list[Action]:
    """Running actions for the keys from ``first`` on."""
    return [Action(bulk_key(number), **fields) for number in range(first, first + count)]


def entry(report: Report, number: int) -> ActionEntry:
    """What the report says of key ``number``."""
    (found,) = (action for action in report.actions if action.bulk_key == bulk_key(number))
    return found


def snapshot(connection: sqlite3.Connection) -> sqlite3.Connection:
    """The database as its disk would hold it now: what a kill -9 leaves."""
    return database.copy_to_memory(connection)


def ideal(count: int, slots: int, latency: float) -> float:
    """The shortest time in which ``count`` calls can be made."""
    return math.ceil(count / slots) * latency
