"""What the last screen of a command needs of the journal: bounded, however many keys the run has."""

import json
import sqlite3
from collections.abc import Iterable

from msgspec import Struct

from orchestrator.model import OVER, Outcome
from orchestrator.store.database import statements
from orchestrator.store.entries import done_in

REASONS = 5
NAMED = 3


class Trouble(Struct, frozen=True):
    """Keys that came to no good end for one reason. ``named`` are the first of them: key, source and row."""

    outcome: Outcome
    keys: int
    code: int | None
    message: str
    named: list[tuple[str, str, int]]


class PlanTotals(Struct, frozen=True):
    """What the actions that a run would stop are doing.

    ``unprocessed`` are records, ``within_a_minute`` those of them that go through in the next minute; ``still`` are
    being processed without visible progress; ``done_in`` are the seconds until the last would have come to its end by
    itself, as far as known.
    """

    processing: int
    pending: int
    stopping: int
    unprocessed: int
    within_a_minute: int
    still: int
    done_in: float | None

    @property
    def actions(self) -> int:
        return self.processing + self.pending + self.stopping


class Planned(Struct, frozen=True):
    """One action that a run would stop; ``unprocessed`` records at ``speed`` records a second."""

    bulk_key: str
    status: str
    action_type: str | None
    unprocessed: int | None
    speed: float | None

    @property
    def done_in(self) -> float | None:
        """Seconds until it would have come to its end by itself."""
        return done_in(self.unprocessed, self.speed)


def read_troubles(connection: sqlite3.Connection) -> list[Trouble]:
    """The most frequent reasons for which keys need a person, each with its first keys."""
    fine = json.dumps([outcome.value for outcome in sorted(OVER | {Outcome.WOULD_STOP})])
    found: Iterable[tuple[str, str | None, int | None, str | None, int, int]] = connection.execute(
        statements()["needs_a_person"], {"fine": fine, "most": REASONS}
    ).fetchall()
    return [
        Trouble(
            Outcome(outcome),
            keys,
            code,
            message or "",
            connection.execute(
                statements()["needs_a_person_first"],
                {"outcome": outcome, "kind": kind, "code": code, "most": NAMED},
            ).fetchall(),
        )
        for outcome, kind, code, message, keys, _ in found
    ]


def read_plan_totals(connection: sqlite3.Connection) -> PlanTotals:
    """Sums over the actions that a run would stop."""
    return PlanTotals(*connection.execute(statements()["plan_totals"]).fetchone())


def read_plan_first(connection: sqlite3.Connection, most: int) -> list[Planned]:
    """The first ``most`` actions that a run by this plan would stop."""
    return [Planned(*row) for row in connection.execute(statements()["plan_first"], {"most": most})]
