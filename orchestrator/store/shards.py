"""A tenant's keys, out of the run's journal into one of their own, and back with what came of them."""

import sqlite3
from typing import Any

from msgspec import Struct

from orchestrator.model import Outcome
from orchestrator.store.database import statements

_OF_THE_RUN = frozenset({"merged", "run", "session", "source", "tenant", "duplicate", "action"})
"""Tables of which a shard brings back no rows, or not as they are; every other is a record of what happened."""


class Rows(Struct, frozen=True):
    """Rows of the table ``action`` as they stand, with the names of their columns."""

    columns: list[str]
    values: list[list[Any]]


def take(connection: sqlite3.Connection, tenant: str, *, sending: bool) -> Rows:
    """The rows of ``tenant`` that are not over, to be worked on elsewhere.

    Where stops will be sent there, this journal takes each that waits for one that may have been sent, from now until
    the rows are back (:func:`merge`) or are known not to have been touched (:func:`take_back`).
    """
    found = connection.execute(statements()["open_actions"], {"tenant": tenant})
    rows = Rows([column[0] for column in found.description], [list(row) for row in found])
    if sending:
        connection.execute(statements()["hand_over"], {"tenant": tenant})
    return rows


def take_back(connection: sqlite3.Connection, tenant: str, name: str) -> None:
    """Nobody has worked on the rows that were taken for the shard ``name``, unless they are back from it already."""
    connection.execute(statements()["take_back"], {"tenant": tenant, "shard": name})


def put(connection: sqlite3.Connection, rows: Rows) -> None:
    """Puts ``rows`` into the table ``action``, in the place of those that have their numbers."""
    _insert(connection, "action", rows, "INSERT OR REPLACE")


def merge(connection: sqlite3.Connection, shard: sqlite3.Connection, name: str) -> list[tuple[int, Outcome]]:
    """Brings back all that the journal of the shard ``name`` holds, once; gives number and outcome of what is over.

    A tenant is in one shard at a time, and its rows travel whole, so that they simply take the place of those here.
    """
    if not connection.execute(statements()["merge_once"], {"shard": name}).rowcount:
        return []
    for (table,) in shard.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
        if table not in _OF_THE_RUN:
            _insert(connection, table, _all(shard, table), "INSERT")
    actions = _all(shard, "action")
    put(connection, actions)
    for tenant, state, reason, token_calls in shard.execute(statements()["tenant_of_shard"]):
        values = {"name": tenant, "state": state, "reason": reason, "token_calls": token_calls}
        connection.execute(statements()["merge_tenant"], values)
    connection.execute(
        statements()["merge_session"],
        {"token_calls": shard.execute(statements()["token_calls"]).fetchone()[0]},
    )
    seq, outcome, settled = map(actions.columns.index, ("seq", "outcome", "settled_at"))
    return [(row[seq], Outcome(row[outcome])) for row in actions.values if row[settled] is not None]


def _all(connection: sqlite3.Connection, table: str) -> Rows:
    found = connection.execute(f'SELECT * FROM "{table}"')
    return Rows([column[0] for column in found.description], [list(row) for row in found])


def _insert(connection: sqlite3.Connection, table: str, rows: Rows, how: str) -> None:
    columns = ", ".join(f'"{name}"' for name in rows.columns)
    places = ", ".join("?" * len(rows.columns))
    connection.executemany(f'{how} INTO "{table}" ({columns}) VALUES ({places})', rows.values)
