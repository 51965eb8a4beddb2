"""Changes to the files of a journal without the product."""

import sqlite3
from contextlib import closing
from pathlib import Path

from orchestrator.journal import checksum, database, mark


def remove_digest(journal: Path) -> None:
    with database.descriptor_of(journal) as descriptor:
        checksum.remove(descriptor)


def close_again(journal: Path) -> None:
    """Set the digest to the content of ``journal``."""
    remove_digest(journal)
    with database.descriptor_of(journal) as descriptor:
        checksum.append(descriptor)


def change_as_killed(journal: Path, statement: str, values: tuple[object, ...] = ()) -> None:
    """Change a journal without a log. Leave the change in the log, as a killed process does."""
    remove_digest(journal)
    found = mark.of_file(journal)
    assert found is not None
    with closing(sqlite3.connect(journal)) as other:
        other.create_function("seal", -1, database.seal)
        other.execute("PRAGMA writable_schema = ON")
        other.execute(statement, values)
        other.execute("UPDATE mark SET text = ?", (str(found.next),))
        other.commit()
        files = {path: path.read_bytes() for path in (journal, mark.log_of(journal))}
    for path, data in files.items():
        path.write_bytes(data)


def lose_log(journal: Path) -> None:
    """Remove the log and its index."""
    for suffix in ("-wal", "-shm"):
        journal.with_name(f"{journal.name}{suffix}").unlink(missing_ok=True)
