"""The run as it happens, recorded so that it can be finished and reported after any end of the process."""

import sqlite3
from asyncio import wrap_future
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from orchestrator.action import Action
from orchestrator.clock import Clock
from orchestrator.errors import NO_RESPONSE, StorageError
from orchestrator.journal import database
from orchestrator.journal.entries import (
    NO_KEYS,
    Counts,
    Operator,
    RunInfo,
    SourceInfo,
    Verification,
    action_name,
    chained,
    to_action,
)
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.writer import FallbackConnection, InlineWriter, ThreadWriter, Writer
from orchestrator.model import InputRow, Outcome, Problem, Provenance, Reading, Records, Stage, provenance_of

R = TypeVar("R")

UNRANKED = 1e300
"""The rank of a row without a number, under ``--order``: after all that have one."""

_encode = msgspec.json.encode
_WAITING = Stage.WAITING.value


class Journal:
    """The journal of one run, as one of its tenants sees it; where there are several, each has a view of its own.

    Methods that return nothing say a change and do not wait; it is committed within some hundredths of a second.
    Coroutines return once what they say is on disk.
    """

    def __init__(self, writer: Writer, clock: Clock, tenant: str = "") -> None:
        self._writer = writer
        self._clock = clock
        self._tenant = tenant

    def of(self, tenant: str) -> "Journal":
        """The same journal, giving out the keys of ``tenant`` only."""
        return Journal(self._writer, self._clock, tenant)

    @property
    def trouble(self) -> str | None:
        """A sentence, once the journal could not be written and is kept in memory only."""
        return self._writer.trouble

    def perform(self, work: Callable[[sqlite3.Connection], R], *, batched: bool = False) -> "Future[R]":
        """Run ``work`` on the database, after every earlier change. With ``batched``, it causes no commit."""
        return self._writer.perform(work, batched=batched)

    def read(self, work: Callable[[JournalReader], R], *, batched: bool = False) -> "Future[R]":
        """Runs ``work`` on the journal, after all that was said before; ``batched`` as in :meth:`perform`."""
        return self.perform(lambda connection: work(JournalReader(connection)), batched=batched)

    def close(self) -> None:
        self._writer.close()

    # The run and its sessions

    def begin(self, info: RunInfo) -> None:
        values = msgspec.structs.asdict(info)
        values |= {"org_ids": _json(info.org_ids), "settings": _json(info.settings)}
        del values["tenants"]
        self._writer.note("begin_run", **values)
        for name, tenant in info.tenants.items():
            values = msgspec.structs.asdict(tenant) | {"org_ids": _json(tenant.org_ids)}
            self._writer.note("add_tenant", name=name, **values)

    def begin_session(self, operator: Operator | None = None) -> None:
        self._writer.note("begin_session", at=self._clock.stamp())
        if operator is not None:
            self._writer.note("session_operator", operator=_json(operator))

    def verified(self, verification: Verification) -> "Future[None]":
        """Add a verification and its findings."""

        def work(connection: sqlite3.Connection) -> None:
            values = msgspec.structs.asdict(verification)
            findings = values.pop("findings")
            connection.execute(_sql("add_verification"), values)
            connection.executemany(_sql("add_finding"), map(msgspec.structs.asdict, findings))

        return self.perform(work)

    def withdraw_session(self) -> None:
        """Remove a session that never started: the run is as the session before left it."""
        self._writer.note("withdraw_session")

    def token_call(self) -> None:
        if self._tenant:
            self._writer.note("tenant_token_call", tenant=self._tenant)
        else:
            self._writer.note("token_call")

    def tenant_state(self, state: str, reason: str | None) -> None:
        """Record the state of this tenant's part in a run of several."""
        self._writer.note("tenant_state", tenant=self._tenant, state=state, reason=reason)

    async def end_session(self, state: str, reason: str | None, exit_status: int) -> None:
        self._writer.note(
            "end_session", at=self._clock.stamp(), state=state, reason=reason, exit_status=exit_status
        )
        self._writer.note("end_tenants", state=state, reason=reason)
        await wrap_future(self.perform(lambda _: None))

    async def reopen(self, kept: Callable[[str], bool], *, retry_rejected: bool = False) -> Counts:
        """Take back what an earlier session held in memory or gave up, and return its counts.

        A response file that was counted but is not ``kept`` any more, by its name, is fetched again. With
        ``retry_rejected``, refused keys are stopped again, whatever the reason.
        """

        def work(connection: sqlite3.Connection) -> Counts:
            connection.execute(_sql("forget_trouble"))
            connection.execute(_sql("retry_refused"), {"every": retry_rejected})
            connection.execute(_sql("reopen"))
            for tenant, bulk_key, _ in connection.execute(_sql("filed_keys")).fetchall():
                if not kept(action_name(tenant, bulk_key)):
                    connection.execute(_sql("fetch_again"), {"tenant": tenant, "bulk_key": bulk_key})
            return sum(JournalReader(connection).counts_by_tenant().values(), NO_KEYS)

        return await wrap_future(self.perform(work))

    # Keys in

    def add_sources(self, sources: Sequence[tuple[str, str | None]]) -> list[SourceInfo]:
        """Enters new sources, each a name and a path, all of them or none. Blocks until they are committed."""

        def work(connection: sqlite3.Connection) -> list[SourceInfo]:
            for name, path in sources:
                connection.execute(_sql("add_source"), {"name": name, "path": path})
            every = JournalReader(connection).sources()
            return every[len(every) - len(sources) :]

        return self.perform(work).result()

    def admit(
        self, source: SourceInfo, rows: Sequence[InputRow], ranked: bool
    ) -> "Future[tuple[SourceInfo, Counter[str]]]":
        """Add the next ``rows`` of ``source``. Return how far it is read, and each tenant's number of new keys.

        ``ranked`` puts the greater weight first.
        """

        def work(connection: sqlite3.Connection) -> tuple[SourceInfo, Counter[str]]:
            before = {"before": connection.execute(_sql("last_seq")).fetchone()[0]}
            values = [
                _entered(source.id, row, ranked, position)
                for position, row in enumerate(rows, source.rows + 1)
            ]
            statement, in_order = database.by_position("admit_action")
            entered = connection.executemany(statement, map(in_order, values)).rowcount
            if entered < len(rows):
                connection.executemany(_sql("admit_duplicate"), values)
            new = Counter(dict(connection.execute(_sql("new_keys"), before).fetchall()))
            chain = chained(source.chain, rows)
            last = rows[-1].number
            connection.execute(
                _sql("source_read"), {"id": source.id, "rows": len(rows), "last_row": last, "chain": chain}
            )
            read = msgspec.structs.replace(source, rows=source.rows + len(rows), last_row=last, chain=chain)
            return read, new

        return self.perform(work)

    def source_content(self, source: SourceInfo, size: int, sha256: str) -> None:
        """Record what a regular file holds, so that a resumed run notices that it was changed."""
        self._writer.note("source_content", id=source.id, bytes=size, digest=sha256)

    def source_complete(self, source: SourceInfo, sha256: str | None) -> None:
        self._writer.note("source_complete", id=source.id, sha256=sha256)

    def replace_source(self, source: SourceInfo, name: str, path: str | None) -> None:
        self._writer.note("replace_source", id=source.id, name=name, path=path)

    # Stops

    async def claim(self, most: int, intent: bool) -> list[Action]:
        """At most ``most`` keys that are next to be stopped, in order. With ``intent`` their stop may leave now."""

        values = {"tenant": self._tenant, "most": most, "intent": int(intent)}

        def work(connection: sqlite3.Connection) -> list[Action]:
            rows = connection.execute(_sql("claim"), values).fetchall()
            rows.sort(key=itemgetter(0, 1))
            return [to_action(*row) for _, *row in rows]

        actions = await wrap_future(self.perform(work))
        for action in actions:
            action.intent = intent
        return actions

    async def record_intent(self, seq: int, *, retried: bool) -> None:
        """Returns once one more stop for ``seq`` is allowed to leave."""
        self._writer.note("record_intent", seq=seq, retried=int(retried))
        await wrap_future(self.perform(lambda _: None))

    def release(self, seq: int, *, intent: bool, retried: bool = False) -> None:
        """The stop that was intended last never left; ``retried`` where it was not the key's first."""
        self._writer.note("release", seq=seq, intent=int(intent), retried=int(retried))

    def accepted(
        self,
        seq: int,
        at: str,
        sent_at: str,
        track_id: str,
        request_id: str | None,
        due_at: float,
        claimed: bool,
    ) -> None:
        self._writer.note(
            "accepted", seq=seq, at=at, sent_at=sent_at, track_id=track_id, request_id=request_id, due_at=due_at,
            claimed=int(claimed),
        )  # fmt: skip

    def stop_failed(
        self, seq: int, sent_at: str, track_id: str, problem: Problem, *, lost: bool, throttled: bool
    ) -> None:
        error = _json(problem)
        self._writer.note(
            "stop_failed", seq=seq, sent_at=sent_at, track_id=track_id, request_id=problem.request_id,
            lost=int(lost), error=error, answered=int(problem.kind not in NO_RESPONSE), throttled=int(throttled),
        )  # fmt: skip
        self._failure(seq, "stop", track_id, error)

    def withdraw_hedge(self, seq: int) -> None:
        """The hedge that was intended last never left."""
        self._writer.note("withdraw_hedge", seq=seq)

    def hedged(self, seq: int) -> None:
        """A slow call for ``seq`` was sent once more."""
        self._writer.note("hedged", seq=seq)

    def stop_superseded(self, seq: int, sent_at: str) -> None:
        """A stop was cancelled in favour of another one. It may have taken effect."""
        self._writer.note("stop_superseded", seq=seq, sent_at=sent_at)

    # Ends

    def start_polling(self, seq: int, due_at: float, claimed: bool) -> None:
        self._writer.note("start_polling", seq=seq, due_at=due_at, claimed=int(claimed))

    async def claim_parked(self, most: int) -> list[Action]:
        """At most ``most`` parked actions, the longest due first."""
        values = {"tenant": self._tenant, "most": most}

        def work(connection: sqlite3.Connection) -> list[Action]:
            return [to_action(*row) for row in connection.execute(_sql("claim_parked"), values)]

        return await wrap_future(self.perform(work))

    def park(self, seq: int, due_at: float, read_from: float | None = None, polls: int = 0) -> None:
        """Lets go of a key that is followed, until it is due."""
        self._writer.note("park", seq=seq, due_at=due_at, read_from=read_from, polls=polls)

    def status_read(
        self,
        seq: int,
        status: str | None,
        action_type: str | None,
        records: Records,
        *,
        retried: bool,
        provenance: Provenance | None = None,
    ) -> None:
        self._read(
            seq,
            retried=retried,
            status=status,
            action_type=action_type,
            records=records,
            provenance=provenance,
        )

    def read_failed(
        self, seq: int, call: str, track_id: str, problem: Problem, *, throttled: bool, retried: bool
    ) -> None:
        self._read(seq, retried=retried, throttled=throttled, file=call == "file")
        self._failure(seq, call, track_id, _json(problem))

    def read_cancelled(self, seq: int, call: str) -> None:
        """A ``status`` or ``file`` call was cancelled."""
        self._read(seq, retried=False, file=call == "file")

    def file_read(self, seq: int, *, retried: bool) -> None:
        self._read(seq, retried=retried, file=True)

    def ended(self, seq: int, outcome: Outcome, output_url: str | None) -> None:
        self._writer.note("ended", seq=seq, outcome=outcome.value, output_url=output_url)

    def filed(self, seq: int, records: Records, mismatch: Mapping[str, Records] | None) -> None:
        self._writer.note(
            "filed",
            seq=seq,
            mismatch=mismatch and _json(mismatch),
            held_by_group=records.held_by_group,
            **_counts(records),
        )  # fmt: skip

    def completed(
        self,
        seq: int,
        outcome: Outcome,
        problem: Problem | None,
        speed: float | None = None,
        reading: Reading | None = None,
    ) -> None:
        """``reading`` is the status that showed the end, if it is not in the journal yet."""
        state = reading.state if reading is not None else None
        self._writer.note(
            "completed", seq=seq, outcome=str(outcome), error=problem and _json(problem), speed=speed,
            at=self._clock.stamp(), status=state and state.status, action_type=state and state.action_type,
            provenance=_json(provenance_of(state)) if state is not None else None,
            status_calls=int(reading is not None), retried=int(reading is not None and reading.retried),
            **(_counts(state.records) if state is not None else _NO_COUNTS),
        )  # fmt: skip

    def paced(self, slots: int, in_flight: int, others: float | None, throttled: int, waiting: int) -> None:
        """Record this tenant's pace now; ``throttled`` counts the refusals since the record before."""
        self._writer.note(
            "paced", at=self._clock.stamp(), tenant=self._tenant, slots=slots, in_flight=in_flight,
            others=others, throttled=throttled, waiting=waiting,
        )  # fmt: skip

    def _read(
        self,
        seq: int,
        *,
        retried: bool,
        status: str | None = None,
        action_type: str | None = None,
        provenance: Provenance | None = None,
        records: Records | None = None,
        throttled: bool = False,
        file: bool = False,
    ) -> None:
        self._writer.note(
            "read", seq=seq, status=status, action_type=action_type, provenance=provenance and _json(provenance),
            status_calls=int(not file), file_calls=int(file),
            retried=int(retried), throttled=int(throttled), **(_counts(records) if records is not None else _NO_COUNTS),
        )  # fmt: skip

    def _failure(self, seq: int, call: str, track_id: str, problem: str) -> None:
        self._writer.note(
            "failure", seq=seq, at=self._clock.stamp(), call=call, track_id=track_id, problem=problem
        )


def create(path: Path, clock: Clock, *, shared: bool = False) -> Journal:
    """A new journal; one in memory, with its ``trouble`` set, where the disk does not take it."""
    try:
        fallback = FallbackConnection(database.create(path, shared=shared), home=path)
    except (sqlite3.Error, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        trouble = f"No journal can be written at {path} ({why}). The run goes on and is kept in memory only."
        fallback = FallbackConnection(database.in_memory(), trouble, home=path)
    return Journal(ThreadWriter(fallback), clock)


def reopen(path: Path, clock: Clock, *, shared: bool = False) -> Journal:
    """The journal of an earlier session. Raises RunDirectoryError or StorageError."""
    connection = database.reopen(path, shared=shared)
    try:
        return Journal(ThreadWriter(FallbackConnection(connection, home=path)), clock)
    except (sqlite3.Error, OSError) as error:
        connection.close()
        why = error.strerror if isinstance(error, OSError) else error
        raise StorageError(f"The journal {path} cannot be written to: {why}.") from error


def inline(clock: Clock) -> Journal:
    """A journal in memory that commits in the caller's thread."""
    return Journal(InlineWriter(FallbackConnection(database.in_memory())), clock)


def _sql(name: str) -> str:
    return database.statements()[name]


def _json(value: Any) -> str:
    return _encode(value).decode()


def _entered(source: int, row: InputRow, ranked: bool, position: int) -> dict[str, Any]:
    values = {
        "tenant": row.tenant, "source": source, "row": row.number, "bulk_key": row.key, "malformed": 0,
        "labels": _json(row.labels) if row.labels else None,
        "rank": (UNRANKED if row.weight is None else -row.weight) if ranked else 0,
        "stage": _WAITING, "outcome": None, "error": None, "position": position,
    }  # fmt: skip
    if row.problem is not None:
        error = _json(Problem(kind="malformed", message=row.problem))
        over = {"stage": Stage.OVER.value, "outcome": Outcome.MALFORMED.value}
        values |= {"malformed": 1, "error": error, **over}
    return values


def _counts(records: Records) -> dict[str, int | None]:
    return {
        "total": records.total, "processed": records.processed, "succeeded": records.succeeded,
        "failed": records.failed, "unprocessed": records.unprocessed,
    }  # fmt: skip


_NO_COUNTS = _counts(Records())
