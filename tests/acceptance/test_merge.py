"""The rows of a shard are merged into the run's journal, even if its folder failed."""

import errno
import sqlite3

import pytest

from orchestrator.clock import Clock
from orchestrator.cluster.messages import ShardResult
from orchestrator.errors import StorageError
from orchestrator.journal import database, shards
from orchestrator.journal.journal import Journal
from orchestrator.journal.writer import FallbackConnection
from tests.acceptance.jobs import BEGUN, full, job, make_job, room_for, tenant
from tests.inline_writer import InlineWriter

__all__ = ["job", "make_job", "tenant"]


def test_the_results_of_a_shard_are_merged_from_its_journal(job):
    job.work()
    assert job.merge()
    assert job.reported == {"stopped": 12}
    assert not job.folder.exists()


def test_the_keys_of_a_shard_that_did_not_start_stay_as_they_were(job):
    assert not job.merge()
    assert job.reported == {"not_attempted": 12}


def test_an_attempt_that_was_cut_before_its_first_call_changes_nothing(job, tenant):
    (job.folder / "journal.db").write_bytes(b"half a page")
    assert job.work() == ShardResult("finished", None, 0)
    assert job.outcomes == {"stopped": 12}
    assert {len(tenant.truth(key).stops_received) for key in tenant.keys} == {1}


def test_a_full_disk_delays_no_stop_of_a_shard_and_all_is_merged(job):
    with room_for(BEGUN):
        done = job.work()
    assert (done.state, done.exit_status) == ("aborted", 5)
    assert "journal can no longer be written" in (done.reason or "")
    assert job.outcomes.get("stopped", 0) < 12, "the disk had room after all"
    job.merge(done)
    assert job.reported == {"stopped": 12}


def test_keys_that_a_full_disk_lost_count_as_possibly_stopped(job):
    """Worker and caller died before the worker could return its results."""
    with room_for(BEGUN):
        job.work()
    job.merge()
    assert job.reported["unconfirmed"] > 0
    assert job.reported.keys() <= {"stopped", "unconfirmed"}


def test_a_merge_after_a_full_disk_that_is_killed_can_be_repeated(job):
    with room_for(BEGUN):
        job.work()
    assert shards.read_left(job.folder / "journal.db"), "and then it is killed"
    job.merge()
    assert job.reported["unconfirmed"] > 0
    assert job.reported.keys() <= {"stopped", "unconfirmed"}


def test_a_second_attempt_that_fails_at_its_start_keeps_the_keys_possibly_stopped(job, monkeypatch):
    with room_for(BEGUN):
        job.work()
    with monkeypatch.context() as patch:
        patch.setattr(database, "unmark", killed)
        with pytest.raises(Killed):
            job.work()
    job.merge()
    assert job.reported["unconfirmed"] > 0
    assert job.reported.keys() <= {"stopped", "unconfirmed"}


def test_results_that_a_shard_returned_are_merged_although_its_folder_fails(job, monkeypatch):
    with room_for(BEGUN):
        done = job.work()
    monkeypatch.setattr(shards, "is_untouched", failed)
    job.merge(done)
    assert job.reported == {"stopped": 12}


def test_response_files_that_cannot_be_listed_do_not_prevent_the_merge(job, monkeypatch):
    job.work()
    monkeypatch.setattr("os.scandir", failed)
    job.merge()
    assert job.reported == {"stopped": 12}


def test_a_shards_folder_stays_while_the_callers_journal_is_in_memory(job):
    """Otherwise the results would end with the caller."""
    job.work()
    on_disk, job.run = (
        job.run,
        Journal(InlineWriter(FallbackConnection(database.in_memory(), "No room.")), Clock()),
    )
    job.merge()
    assert job.reported == {"stopped": 12}
    job.run.close()
    job.run = on_disk
    job.merge()
    assert job.reported == {"stopped": 12}
    assert not job.folder.exists()


def test_a_second_attempt_after_a_full_disk_completes_the_shard(job, tenant):
    with room_for(BEGUN):
        job.work()
    assert job.work() == ShardResult("finished", None, 0)
    job.merge()
    assert job.reported == {"stopped": 12}


def test_a_disk_that_refuses_the_journal_delays_no_stop_and_all_is_merged(job, monkeypatch):
    monkeypatch.setattr(database, "create", full)
    with room_for(0):
        done = job.work()
    assert done.exit_status == 5
    job.merge(done)
    assert job.reported == {"stopped": 12}


def test_keys_of_a_started_shard_without_a_journal_count_as_possibly_stopped(job, monkeypatch):
    monkeypatch.setattr(database, "create", full)
    with room_for(0):
        job.work()
    assert job.merge()
    assert job.reported == {"unconfirmed": 12}


class Killed(Exception):
    """Acts like kill -9."""


def killed(*_: object) -> None:
    raise Killed


def failed(*_: object) -> None:
    raise OSError(errno.EIO, "Input/output error")


def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network disk that cannot be read for a while."""

    def fail(*_: object, **__: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(sqlite3, "connect", fail)


def test_an_unreadable_journal_ends_a_second_attempt_and_stays_unchanged(job, monkeypatch):
    job.work()
    before = (job.folder / "journal.db").read_bytes()
    failing(monkeypatch)
    with pytest.raises(StorageError, match=r"journal .*north/journal.db cannot be read: disk I/O error"):
        job.work()
    assert (job.folder / "journal.db").read_bytes() == before


def test_keys_of_a_journal_that_cannot_be_read_count_as_possibly_stopped(job):
    job.work()
    with pytest.MonkeyPatch.context() as patch:
        failing(patch)
        with pytest.raises(StorageError, match="cannot be read: disk I/O error"):
            job.merge()
    assert job.reported == {"unconfirmed": 12}
    job.merge()
    assert job.reported == {"stopped": 12}


def test_a_journal_that_was_changed_is_not_merged(job):
    job.work()
    path = job.folder / "journal.db"
    path.write_bytes(path.read_bytes().replace(b"Stopped", b"Stoppee"))
    with pytest.raises(StorageError, match="digest does not match"):
        job.merge()
    assert job.reported == {"unconfirmed": 12}
