"""Common parts of the tests of the fallback connection and its thread: statements, and a full disk."""

import sqlite3


def sessions(connection: sqlite3.Connection) -> list[str]:
    return [row[0] for row in connection.execute("SELECT started_at FROM session ORDER BY n")]


def add(text: str):
    return lambda db: db.execute("INSERT INTO session (started_at) VALUES (?)", (text,)).lastrowid


def no_room_for_more(connection: sqlite3.Connection) -> None:
    """Allow no further page, as on a full disk."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")


BIG = "x" * 100_000
"""A text that needs pages of its own."""
