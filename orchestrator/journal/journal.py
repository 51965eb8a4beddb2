"""Records the actions of a run as they happen, so that the run can be resumed and reported after any end."""

import sqlite3
from asyncio import wrap_future
from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path

from orchestrator.action import Action
from orchestrator.clock import Clock
from orchestrator.errors import NO_RESPONSE, StorageError
from orchestrator.journal import database
from orchestrator.journal.database import sql
from orchestrator.journal.entries import split_action_name, to_action, to_polled_action
from orchestrator.journal.run_journal import RunJournal, to_json
from orchestrator.journal.writer import FallbackConnection, ThreadWriter
from orchestrator.model import ActionState, Outcome, Problem, Reading, Records, Status


def _counts(records: Records) -> dict[str, str | int | None]:
    return {
        "total": records.total, "processed": records.processed, "succeeded": records.succeeded,
        "failed": records.failed, "unprocessed": records.unprocessed,
    }  # fmt: skip


def _seen(state: ActionState) -> dict[str, str | int | None]:
    """The columns of a row that a status gives."""
    return {
        "status": state.status, "action_type": state.action_type, "provenance": to_json(state.provenance),
        **_counts(state.records),
    }  # fmt: skip


_NOTHING: dict[str, str | int | None] = dict.fromkeys(_seen(ActionState(Status.PENDING)))


class Journal(RunJournal):
    """The journal of one run, for one of its tenants. With several tenants, each has its own object.

    Coroutines return once the change is on disk. The other methods do not wait, as in :class:`RunJournal`.
    """

    def of(self, tenant: str) -> "Journal":
        """Return the same journal for the keys of ``tenant``."""
        return Journal(self._writer, self._clock, tenant)

    # Stops

    async def claim(self, most: int, intent: bool) -> list[Action]:
        """Claim at most ``most`` keys, the next to be stopped, in order. With ``intent``, their stops may leave now."""

        values = {"tenant": self._tenant, "most": most, "intent": int(intent)}

        def work(connection: sqlite3.Connection) -> list[Action]:
            rows = connection.execute(sql("claim"), values).fetchall()
            rows.sort(key=itemgetter(0, 1))
            return [to_action(*row) for _, *row in rows]

        actions = await wrap_future(self.perform(work))
        for action in actions:
            action.intent = intent
        return actions

    async def record_intent(self, seq: int, *, retried: bool) -> None:
        """Record the intent of one more stop. It may leave once this returns."""
        self._writer.note("record_intent", seq=seq, retried=int(retried))
        await wrap_future(self.perform(lambda _: None))

    def release(self, seq: int, *, intent: bool, retried: bool = False) -> None:
        """The stop of the last intent never left. ``retried``: it was not the key's first stop."""
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
        error = to_json(problem)
        self._writer.note(
            "stop_failed", seq=seq, sent_at=sent_at, track_id=track_id, request_id=problem.request_id,
            lost=int(lost), error=error, answered=int(problem.kind not in NO_RESPONSE), throttled=int(throttled),
        )  # fmt: skip
        self._failure(seq, "stop", track_id, error)

    def withdraw_intent(self, seq: int) -> None:
        """The hedge that was intended last never left."""
        self._writer.note("withdraw_intent", seq=seq)

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
            return [to_polled_action(*row) for row in connection.execute(sql("claim_parked"), values)]

        return await wrap_future(self.perform(work))

    def park(self, seq: int, due_at: float, read_from: float | None = None, polls: int = 0) -> None:
        """Release a polled key until it is due."""
        self._writer.note("park", seq=seq, due_at=due_at, read_from=read_from, polls=polls)

    def status_read(self, seq: int, state: ActionState | None, *, retried: bool) -> None:
        """A status was read. Without ``state``, only the call counts."""
        self._read(seq, retried=retried, seen=_NOTHING if state is None else _seen(state))

    def read_failed(
        self, seq: int, call: str, track_id: str, problem: Problem, *, throttled: bool, retried: bool
    ) -> None:
        self._read(seq, retried=retried, throttled=throttled, file=call == "file")
        self._failure(seq, call, track_id, to_json(problem))

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
            mismatch=mismatch and to_json(mismatch),
            held_by_group=records.held_by_group,
            **_counts(records),
        )  # fmt: skip

    def groups_read(self, name: str, records: Records) -> None:
        """The groups of a response file were read, after its records were counted. ``name`` is the action's."""
        tenant, bulk_key = split_action_name(name)
        held = records.held_by_group
        self._writer.note("groups_read", tenant=tenant, bulk_key=bulk_key, held_by_group=held)

    def completed(
        self,
        seq: int,
        outcome: Outcome,
        problem: Problem | None,
        speed: float | None = None,
        reading: Reading | None = None,
    ) -> None:
        """``reading`` is the status that showed the end, if it is not in the journal yet."""
        self._writer.note(
            "completed", seq=seq, outcome=str(outcome), error=problem and to_json(problem), speed=speed,
            at=self._clock.stamp(), status_calls=int(reading is not None),
            retried=int(reading is not None and reading.retried),
            **(_NOTHING if reading is None else _seen(reading.state)),
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
        seen: dict[str, str | int | None] = _NOTHING,
        throttled: bool = False,
        file: bool = False,
    ) -> None:
        self._writer.note(
            "read", seq=seq, status_calls=int(not file), file_calls=int(file), retried=int(retried),
            throttled=int(throttled), **seen,
        )  # fmt: skip

    def _failure(self, seq: int, call: str, track_id: str, problem: str) -> None:
        self._writer.note(
            "failure", seq=seq, at=self._clock.stamp(), call=call, track_id=track_id, problem=problem
        )


def create(path: Path, clock: Clock, *, shared: bool = False) -> Journal:
    """Create a journal. If the disk fails, it is in memory and its ``trouble`` says why."""
    try:
        fallback = FallbackConnection(database.create(path, shared=shared), home=path)
    except (sqlite3.Error, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        trouble = f"No journal can be written at {path} ({why}). The run goes on and is kept in memory only."
        fallback = FallbackConnection(database.in_memory(), trouble, home=path)
    return Journal(ThreadWriter(fallback), clock)


def reopen(path: Path, clock: Clock, *, shared: bool = False) -> Journal:
    """Open the journal of an earlier session. Raises RunDirectoryError or StorageError."""
    connection = database.reopen(path, shared=shared)
    try:
        return Journal(ThreadWriter(FallbackConnection(connection, home=path)), clock)
    except (sqlite3.Error, OSError) as error:
        connection.close()
        why = error.strerror if isinstance(error, OSError) else error
        raise StorageError(f"The journal {path} cannot be written to: {why}.") from error
