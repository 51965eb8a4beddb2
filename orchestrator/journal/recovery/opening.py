"""Opening the journal of an earlier session: what it is known to hold, and what it may lack.

A journal is in one of these states:

- closed: a digest behind its last page vouches for every byte, and the file alone holds everything;
- open: its process was killed, and the latest commits are in the log beside it, which names the journal it belongs to;
- shortened: the log is missing, belongs to another journal or has lost its end, or the run left a failing disk;
- damaged: a digest, a seal or SQLite's own check fails.

A report never modifies a journal: it reads a closed one in place and any other from a temporary copy. A resumed run
first brings its journal into the closed state. A key of a shortened journal that was not sent as far as it knows may
have been sent. A damaged journal is never continued.
"""

import fcntl
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from orchestrator.errors import RunDirectoryError, StorageError
from orchestrator.journal import checksum, database, mark
from orchestrator.journal.database import UNREADABLE, sql
from orchestrator.journal.reader import JournalReader
from orchestrator.journal.recovery.integrity import broken_seals, problem_of
from orchestrator.journal.recovery.rebuild import in_current_form, rebuilt
from orchestrator.journal.recovery.state import LEFT, FileState, indexed_frames, is_read_only
from orchestrator.rundir import JOURNAL

_NOT_BEGUN = (
    "The journal {} is empty: the run was cut before it began, and nothing was sent. Start it again with another "
    "--out."
)
_NOTHING_KNOWN = (
    "The journal {} is damaged: it holds no run, and its log {} is missing or cannot be used. It is not known whether "
    "anything was sent. Put the log back beside it; or start the same input again with another --out: an action that "
    "is stopped already stays stopped."
)
_SHORTENED = (
    "The journal {} ends before its run did: {}. Keys that may have been stopped later are reported as "
    "unconfirmed. Rows that were read later are missing from the report. To read the rest of the input and the status "
    "of these keys, run mass-stop resume."
)
_LOG_CUT = "the end of its log is lost"
_FOREIGN = "The file {} belongs to another journal or to another time, and is ignored."
_MOVE = "The run is not resumed while that file is there: move it away, or put the right one in its place."
_DAMAGED = (
    "It is not resumed. mass-stop report {} shows what can be read. To stop the rest, start the same input again with "
    "another --out: an action that is stopped already stays stopped."
)
_LOCAL = "The journal {} cannot be used: {}. Make room on the disk and the files accessible, and repeat the command."


_READ_ONLY = (
    "The run in {0} is read-only, so it cannot be resumed there. Copy the directory to a place of your own, run "
    "chmod -R u+w on the copy, and resume that."
)


class _Damaged(Exception):
    """The journal is damaged."""


def open_for_report(directory: Path) -> JournalReader:
    """A reader of the journal in the run directory ``directory``. Modifies nothing.

    Raises:
        RunDirectoryError: there is no journal, or a later version wrote it.
        StorageError: nothing can be read from it.
    """
    _require_directory(directory)
    path = directory / JOURNAL
    with _held(directory) as held, _local_failures(path):
        if not held:
            return JournalReader(database.read_only(path, at_work=True))
        if database.whole(path).is_file():
            path = database.whole(path)
        state = FileState(path)
        if state.closed:
            connection = database.read_only(path)
            if database.form_of(connection) == database.FORM:
                foreign = [_FOREIGN.format(mark.log_of(path))] if state.foreign else []
                return _begun(connection, path, foreign)
            connection.close()
        return _open_copy(path, state)


def open_undamaged(directory: Path) -> JournalReader:
    """As :func:`open_for_report`, for a journal that lacks nothing. Raises StorageError for any other."""
    reader = open_for_report(directory)
    if not reader.missing:
        return reader
    reader.close()
    raise StorageError(" ".join(reader.missing))


def open_for_resume(directory: Path) -> JournalReader:
    """A reader of the journal in the run directory ``directory``.

    The journal is brought into the closed state and the current form first. Where commits are lost, it records that
    what it holds as not sent may have been sent.

    Raises:
        RunDirectoryError: there is no journal, or a later version wrote it.
        StorageError: it is damaged, or its disk takes nothing.
    """
    _require_directory(directory)
    path = directory / JOURNAL
    with _held(directory) as held, _local_failures(path):
        database.require_journal(path)
        if is_read_only(directory):
            raise RunDirectoryError(_READ_ONLY.format(directory))
        if not held:  # the session at work will refuse a second one
            return JournalReader(database.read_only(path, at_work=True))
        sentences = recover(path)
        return _begun(database.read_only(path), path, sentences)


def recover(path: Path, *, shared: bool = False) -> list[str]:
    """Brings the journal at ``path`` into the closed state and the current form. Returns sentences on what it lacks.

    Only for the process that holds the run directory. Raises as :func:`open_for_resume`, and OSError or sqlite3.Error.
    """
    database.finish_replacing(path)
    state = FileState(path)
    refusal = "" if shared else _DAMAGED.format(path.parent)  # of a shard, the run says what to do
    if state.damaged:
        raise StorageError(f"The journal {path} is damaged (its digest does not match). {refusal}".rstrip())
    if state.foreign:
        raise StorageError(f"{_FOREIGN.format(mark.log_of(path))} {_MOVE}")
    if state.closed:
        with closing(database.read_only(path)) as connection:
            if database.form_of(connection) == database.FORM:
                return []
    try:
        lost = _close(path, state, path, shared=shared)
    except _Damaged as problem:
        raise StorageError(f"The journal {path} is damaged ({problem}). {refusal}".rstrip()) from problem
    if state.lost == LEFT:
        database.unmark(path)
    return [_SHORTENED.format(path, lost)] if lost else []


def _open_copy(path: Path, state: FileState) -> JournalReader:
    """As :func:`open_for_report`, from a temporary copy that is recovered as a resumed run would do it."""
    with tempfile.TemporaryDirectory(prefix="mass-stop-") as directory:
        copy = Path(directory) / path.name
        shutil.copyfile(path, copy)
        for suffix in () if state.foreign else ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                shutil.copyfile(
                    path.with_name(f"{path.name}{suffix}"), copy.with_name(f"{copy.name}{suffix}")
                )
        try:
            if state.damaged:
                raise _Damaged("its digest does not match")
            lost = _close(copy, state, path)
        except _Damaged as problem:
            return JournalReader(*rebuilt(copy, path, str(problem)))
        # The open file outlives its name. SQLite reads nothing else of a journal that does not change.
        connection = database.read_only(copy)
        return _begun(connection, path, [_SHORTENED.format(path, lost)] if lost else [])


def _close(path: Path, state: FileState, shown: Path, *, shared: bool = False) -> str | None:
    """Brings the journal at ``path`` into the closed state and the current form. Returns why it is shortened, if it is.

    ``shown`` is its path for the operator. Raises _Damaged, StorageError, OSError or sqlite3.Error.
    """
    indexed = indexed_frames(path)
    if not state.closed:
        with database.descriptor_of(path) as descriptor:
            checksum.remove(descriptor)  # from now on SQLite may write to the file
    with closing(_opened(path, state, shown, shared=shared)) as connection, _current(connection) as current:
        lost = state.lost
        if not state.closed:
            if lost is None and (indexed_frames(path) < indexed or _behind(connection, state.last)):
                lost = _LOG_CUT
            if not connection.execute(sql("holds_run")).fetchone()[0]:
                if lost is not None:
                    raise StorageError(_NOTHING_KNOWN.format(shown, mark.log_of(shown).name))
            elif problem := broken_seals(current) if shared else problem_of(current, path):
                raise _Damaged(problem)
        if lost is not None:
            current.execute(sql("doubt_unsent"))
            current.execute(sql("doubt_unread"))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if current is not connection:
            database.copy_to_file(current, path)
    with database.descriptor_of(path) as descriptor:
        checksum.append(descriptor)
    return lost


@contextmanager
def _current(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """The journal behind ``connection`` in the current form: itself, or a copy in memory."""
    if database.form_of(connection) == database.FORM:
        yield connection
        return
    with closing(in_current_form(connection)) as copy:
        yield copy


def _opened(path: Path, state: FileState, shown: Path, *, shared: bool) -> sqlite3.Connection:
    """The journal with its log. Raises _Damaged or StorageError."""
    nothing = StorageError(_NOTHING_KNOWN.format(shown, mark.log_of(shown).name))
    if not path.stat().st_size:  # SQLite would delete the log
        raise nothing
    try:
        return database.reopen(path, shared=shared)
    except StorageError as error:
        if isinstance(error.__cause__, UNREADABLE):
            raise _Damaged(str(error.__cause__)) from error
        raise (nothing if state.lost else _Damaged("it holds no tables")) from error


def _behind(connection: sqlite3.Connection, last: mark.Mark | None) -> bool:
    """Whether ``last``, a commit whose frames are in the log, is missing from the journal as SQLite reads it."""
    if last is None:
        return False
    try:
        found = mark.read(connection)
    except UNREADABLE:
        return True
    return found is None or found < last


def _begun(connection: sqlite3.Connection, path: Path, sentences: list[str]) -> JournalReader:
    """A reader with ``connection``. ``sentences`` are on its gaps. Raises NotBegun if the journal holds no run."""
    if connection.execute(sql("holds_run")).fetchone()[0]:
        trouble = [sentence for (sentence,) in connection.execute(sql("trouble"))]
        return JournalReader(connection, [*trouble, *sentences])
    connection.close()
    raise database.NotBegun(_NOT_BEGUN.format(path))


@contextmanager
def _local_failures(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, *UNREADABLE) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise StorageError(_LOCAL.format(path, why)) from error


def _require_directory(directory: Path) -> None:
    """Raises RunDirectoryError if ``directory`` is no directory or cannot be read."""
    try:
        if not stat.S_ISDIR(directory.stat().st_mode):
            raise RunDirectoryError(
                f"{directory} is a file, and no run directory. Give the directory that holds its journal.db."
            )
    except OSError as error:
        raise RunDirectoryError(f"{directory} holds no run that can be read: {error.strerror}.") from error


@contextmanager
def _held(directory: Path) -> Iterator[bool]:
    """Whether no session works on the run in ``directory``; none can start in this block."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield True
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # without locks no session works there: it would be refused
        yield not isinstance(error, BlockingIOError)
    else:
        yield True
    finally:
        os.close(descriptor)
