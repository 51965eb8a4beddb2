"""The journal's thread: it owns the database and commits the changes of many callers in groups."""

import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.errors import NO_MEMORY, StorageError
from orchestrator.journal import database, mark
from orchestrator.journal.file import JournalFile
from orchestrator.threads import NO_THREAD

R = TypeVar("R")
Work = Callable[[sqlite3.Connection], Any]
_Entry = tuple[str | Work, Any]
"""The name of a statement with its values, or work with its future."""

LINGER = 0.05
"""Seconds for which changes without a waiting caller are collected before they are committed."""


class FallbackConnection:
    """A database connection that continues in memory when its disk fails.

    When a write fails, everything that the disk still returns is copied into memory. The failed group is applied again
    there, and the run continues. ``trouble`` is then a sentence for the operator. The copy is written to ``home`` at
    the end, if the disk has room again. A failed fsync is never repeated.

    If the files at ``home`` are removed or replaced during a run, the journal is written again from the files that
    SQLite still holds open. ``trouble`` says so.
    """

    def __init__(
        self, connection: sqlite3.Connection, trouble: str | None = None, home: Path | None = None
    ) -> None:
        self.connection = connection
        self.trouble = trouble
        self._home = home
        self._in_memory = trouble is not None
        self._file = JournalFile(home) if home is not None and trouble is None else None
        self._mark = mark.read(connection) if self._file is not None else None

    def commit(self, group: list[_Entry]) -> list[tuple["Future[Any]", Any]]:
        """Apply ``group`` in one transaction. Return the results for the futures, once they are committed."""
        before = self._mark
        try:
            results = self._apply(group)
        except sqlite3.DatabaseError as error:
            self._leave_disk(error)
            try:
                return self._apply(group)
            except sqlite3.DatabaseError as deeper:
                raise StorageError(f"The journal cannot be kept, not even in memory: {deeper}.") from error
        except MemoryError as error:
            with suppress(sqlite3.Error):
                self.connection.rollback()
            raise StorageError(NO_MEMORY) from error
        if self._file is not None and self._mark != before:
            self._look_after(self._file)
        return results

    def close(self) -> None:
        """Close the database. If it is in memory, write it to the disk again, if there is room now."""
        with suppress(sqlite3.Error, OSError):
            if self._file is not None:
                if missing := self._missing(self._file):
                    self._put_back(self._file, missing)
                _, pages, moved = self.connection.execute("PRAGMA wal_checkpoint").fetchone()
                if pages == moved:
                    self._file.finish()
            elif self._home is not None:
                database.copy_to_file(self.connection, self._home)
        self.connection.close()
        if self._file is not None:
            self._file.close()

    def _apply(self, group: list[_Entry]) -> list[tuple["Future[Any]", Any]]:
        results: list[tuple[Future[Any], Any]] = []
        before = self.connection.total_changes
        self.connection.execute("BEGIN IMMEDIATE")
        for what, entries in groupby(group, key=itemgetter(0)):
            if callable(what):
                results += [(future, self._perform(what)) for _, future in entries]
            else:
                statement, in_order = database.by_position(what)
                self.connection.executemany(statement, [in_order(values) for _, values in entries])
        if self._mark is not None and self.connection.total_changes != before:
            self.connection.execute("UPDATE mark SET text = ?", (str(self._mark.next),))
            self.connection.execute("COMMIT")
            self._mark = self._mark.next
        else:
            self.connection.execute("COMMIT")
        return results

    def _look_after(self, file: JournalFile) -> None:
        """After a commit: mark that the file now has a log, and check that both are still in their place."""
        try:
            if file.begin():
                self.connection.execute(f"PRAGMA wal_autocheckpoint = {database.CHECKPOINT}")
            elif missing := self._missing(file):
                self._put_back(file, missing)
        except (sqlite3.DatabaseError, OSError) as error:
            self._leave_disk(error)

    def _missing(self, file: JournalFile) -> list[Path]:
        """As :meth:`JournalFile.missing`, but empty while a shared folder is unreachable: nothing was removed then."""
        missing = file.missing()
        return [] if missing and self._is_shared and not file.path.parent.exists() else missing

    @property
    def _is_shared(self) -> bool:
        return bool(self.connection.execute("PRAGMA locking_mode").fetchone()[0] == "exclusive")

    def _put_back(self, file: JournalFile, missing: list[Path]) -> None:
        """Write the journal again in its place. Another file at this place is kept under another name."""
        names = " and ".join(path.name for path in missing)
        trouble = (
            f"{names} in {file.path.parent} was removed or replaced by another program while the run was at work. "
            "The journal was written again from memory, and no result is lost."
        )
        if file.path in missing and file.path.exists():
            file.path.rename(file.path.with_suffix(".replaced"))
        self.connection.execute("UPDATE mark SET trouble = ?", (trouble,))
        shared = self._is_shared
        database.copy_to_file(self.connection, file.path)
        self.connection.close()
        file.close()
        self.connection, self._file = database.reopen(file.path, shared=shared), JournalFile(file.path)
        self.trouble = trouble

    def _perform(self, work: Work) -> Any:
        """Run ``work``. An error that is not SQLite's goes to the caller, and the group stays intact."""
        self.connection.execute("SAVEPOINT work")
        try:
            result = work(self.connection)
        except sqlite3.Error:
            raise
        except Exception as error:  # noqa: BLE001 - the caller gets it
            self.connection.execute("ROLLBACK TO work")
            result = _Failed(error)
        self.connection.execute("RELEASE work")
        return result

    def _leave_disk(self, error: Exception) -> None:
        try:
            if self._in_memory:
                raise error
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            memory = database.copy_to_memory(self.connection)
        except (sqlite3.Error, OSError) as deeper:
            raise StorageError(f"The journal can be neither written nor read: {error}; {deeper}.") from error
        if self._file is not None:
            database.mark_left(self._file.path)
        self.connection.close()
        if self._file is not None:
            self._file.close()
        self.connection, self._file, self._mark, self._in_memory = memory, None, None, True
        self.trouble = (
            f"The journal can no longer be written ({error}). The run goes on and is kept in memory only."
        )


class _Failed:
    def __init__(self, error: Exception) -> None:
        self.error = error


def deliver(future: "Future[Any]", result: Any) -> None:
    """Give ``future`` the result or the error of its work."""
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(result, _Failed):
        future.set_exception(result.error)
    else:
        future.set_result(result)


class ThreadWriter:
    """Commits in a thread of its own, in groups. A group ends when a caller waits for it, or after :data:`LINGER`.

    The queue needs no limit: changes come from calls, whose number is limited by the slots. Each stop waits for the
    commit of its intent.
    """

    def __init__(self, connection: FallbackConnection) -> None:
        self._connection = connection
        self._entries: deque[_Entry] = deque()
        self._idle = False
        self._awaited = False
        self._closing = False
        self._broken: StorageError | None = None
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            connection.close()
            raise StorageError(NO_THREAD) from error

    @property
    def trouble(self) -> str | None:
        """A sentence for the operator if the disk has failed, or None."""
        return self._connection.trouble

    def note(self, statement: str, **values: Any) -> None:
        """Queue one change for the next commit, without waiting."""
        # A deque needs no lock. The thread sets ``_idle`` before it looks for entries a last time. So if it misses this
        # entry, it is idle here and gets notified.
        self._entries.append((statement, values))
        if self._idle:
            with self._wake:
                self._wake.notify()

    def perform(self, work: Callable[[sqlite3.Connection], R], *, batched: bool = False) -> "Future[R]":
        """Run ``work`` on the database after every earlier change. The future is done once that is committed.

        With ``batched``, it waits for the next commit instead of causing one: at most :data:`LINGER` seconds.
        """
        future: Future[R] = Future()
        with self._wake:
            if self._broken is not None:
                raise self._broken
            if self._closing:
                raise StorageError("The journal is closed: the run has ended.")
            self._entries.append((work, future))
            self._awaited = self._awaited or not batched
            self._wake.notify()
        return future

    def close(self) -> None:
        """Commit every queued change and end the thread. Raises StorageError if that is not possible."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        self._connection.close()
        if self._broken is not None:
            raise self._broken

    def _work(self) -> None:
        group: list[_Entry] = []
        try:
            while group := self._next_group():
                for future, result in self._connection.commit(group):
                    deliver(future, result)
        except StorageError as error:
            self._break(error, group)
        except BaseException as error:  # noqa: BLE001 - every waiting caller gets it
            self._break(StorageError(f"The journal failed ({type(error).__name__}: {error})."), group)

    def _next_group(self) -> list[_Entry]:
        with self._wake:
            self._idle = True
            self._wake.wait_for(lambda: self._entries or self._closing)
            self._idle = False
            self._wake.wait_for(lambda: self._awaited or self._closing, timeout=LINGER)
            self._awaited = False
        return [self._entries.popleft() for _ in range(len(self._entries))]

    def _break(self, error: StorageError, group: list[_Entry]) -> None:
        with self._wake:
            self._broken = error
            left = [*group, *self._entries]
            self._entries.clear()
        for _, how in left:
            if isinstance(how, Future) and not how.done():
                deliver(how, _Failed(error))
