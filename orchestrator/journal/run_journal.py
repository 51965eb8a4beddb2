"""The run, its sessions and its input, as the journal records them."""

import sqlite3
from asyncio import wrap_future
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import msgspec

from orchestrator.clock import Clock
from orchestrator.journal import database
from orchestrator.journal.database import sql
from orchestrator.journal.entries import (
    Counts,
    Operator,
    RunInfo,
    SourceInfo,
    Verification,
    action_name,
    chained,
)
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.writer import ThreadWriter
from orchestrator.model import InputRow, Outcome, Problem, Stage

R = TypeVar("R")

UNRANKED = 1e300
"""The rank of a row without a number, under ``--order``: after all that have one."""

_encode = msgspec.json.encode
_WAITING = Stage.WAITING.value


class RunJournal:
    """Records the run, its sessions and its input. ``tenant`` is the name of the tenant, or empty in a run of one.

    Methods that return nothing record a change and do not wait; it is committed within some hundredths of a second.
    Coroutines return once the change is on disk.
    """

    def __init__(self, writer: ThreadWriter, clock: Clock, tenant: str = "") -> None:
        self._writer = writer
        self._clock = clock
        self._tenant = tenant

    @property
    def trouble(self) -> str | None:
        """A sentence, once the journal could not be written and is kept in memory only."""
        return self._writer.trouble

    def perform(self, work: Callable[[sqlite3.Connection], R], *, batched: bool = False) -> "Future[R]":
        """Run ``work`` on the database, after every earlier change. With ``batched``, it causes no commit."""
        return self._writer.perform(work, batched=batched)

    def read(self, work: Callable[[JournalReader], R], *, batched: bool = False) -> "Future[R]":
        """Run ``work`` on the journal, after every earlier change; ``batched`` as in :meth:`perform`."""
        return self.perform(lambda connection: work(JournalReader(connection)), batched=batched)

    def close(self) -> None:
        self._writer.close()

    # The run and its sessions

    def begin(self, info: RunInfo) -> None:
        values = msgspec.structs.asdict(info)
        values |= {"org_ids": to_json(info.org_ids), "settings": to_json(info.settings)}
        del values["tenants"]
        self._writer.note("begin_run", **values)
        for name, tenant in info.tenants.items():
            values = msgspec.structs.asdict(tenant) | {"org_ids": to_json(tenant.org_ids)}
            self._writer.note("add_tenant", name=name, **values)

    def begin_session(self, operator: Operator | None = None) -> None:
        self._writer.note("begin_session", at=self._clock.stamp())
        if operator is not None:
            self._writer.note("session_operator", operator=to_json(operator))

    def verified(self, verification: Verification) -> "Future[None]":
        """Add a verification and its findings."""

        def work(connection: sqlite3.Connection) -> None:
            values = msgspec.structs.asdict(verification)
            findings = values.pop("findings")
            connection.execute(sql("add_verification"), values)
            connection.executemany(sql("add_finding"), map(msgspec.structs.asdict, findings))

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

    async def reopen(self, kept: Callable[[str], bool], *, retry_rejected: bool = False) -> dict[str, Counts]:
        """Take back what an earlier session held in memory or gave up, and return its counts by tenant.

        A response file that was counted but is not ``kept`` any more, by its name, is fetched again. With
        ``retry_rejected``, refused keys are stopped again, whatever the reason.
        """

        def work(connection: sqlite3.Connection) -> dict[str, Counts]:
            connection.execute(sql("forget_trouble"))
            connection.execute(sql("retry_refused"), {"every": retry_rejected})
            connection.execute(sql("reopen"))
            for tenant, bulk_key, _ in connection.execute(sql("filed_keys")).fetchall():
                if not kept(action_name(tenant, bulk_key)):
                    connection.execute(sql("fetch_again"), {"tenant": tenant, "bulk_key": bulk_key})
            return JournalReader(connection).counts_by_tenant()

        return await wrap_future(self.perform(work))

    # Keys in

    def add_sources(self, sources: Sequence[tuple[str, str | None]]) -> list[SourceInfo]:
        """Add new sources, each a name and a path, all of them or none. Blocks until they are committed."""

        def work(connection: sqlite3.Connection) -> list[SourceInfo]:
            for name, path in sources:
                connection.execute(sql("add_source"), {"name": name, "path": path})
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
            before = {"before": connection.execute(sql("last_seq")).fetchone()[0]}
            values = [
                _entered(source.id, row, ranked, position)
                for position, row in enumerate(rows, source.rows + 1)
            ]
            statement, in_order = database.by_position("admit_action")
            entered = connection.executemany(statement, map(in_order, values)).rowcount
            if entered < len(rows):
                connection.executemany(sql("admit_duplicate"), values)
            new = Counter(dict(connection.execute(sql("new_keys"), before).fetchall()))
            chain = chained(source.chain, rows)
            read = {"rows": len(rows), "last_row": rows[-1].number, "chain": chain}
            connection.execute(sql("source_read"), read | {"id": source.id})
            return msgspec.structs.replace(source, rows=source.rows + len(rows), chain=chain), new

        return self.perform(work)

    def source_content(self, source: SourceInfo, size: int, sha256: str) -> None:
        """Record what a regular file holds, so that a resumed run notices that it was changed."""
        self._writer.note("source_content", id=source.id, bytes=size, digest=sha256)

    def source_complete(self, source: SourceInfo, sha256: str | None) -> None:
        self._writer.note("source_complete", id=source.id, sha256=sha256)

    def replace_source(self, source: SourceInfo, name: str, path: str | None) -> None:
        self._writer.note("replace_source", id=source.id, name=name, path=path)


def to_json(value: Any) -> str:
    """``value`` as a JSON column holds it."""
    return _encode(value).decode()


def _entered(source: int, row: InputRow, ranked: bool, position: int) -> dict[str, Any]:
    values = {
        "tenant": row.tenant, "source": source, "row": row.number, "bulk_key": row.key, "malformed": 0,
        "labels": to_json(row.labels) if row.labels else None,
        "rank": (UNRANKED if row.weight is None else -row.weight) if ranked else 0,
        "stage": _WAITING, "outcome": None, "error": None, "position": position,
    }  # fmt: skip
    if row.problem is not None:
        error = to_json(Problem(kind="malformed", message=row.problem))
        over = {"stage": Stage.OVER.value, "outcome": Outcome.MALFORMED.value}
        values |= {"malformed": 1, "error": error, **over}
    return values
