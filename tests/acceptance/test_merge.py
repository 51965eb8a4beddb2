"""How the rows of a shard come home, also where its folder failed it."""

import errno
import sqlite3

import pytest

from orchestrator.clock import Clock
from orchestrator.cluster.messages import Done
from orchestrator.errors import StorageError
from orchestrator.journal import database, shards
from orchestrator.journal.journal import Journal
from orchestrator.journal.writer import InlineWriter, Ledger
from tests.acceptance.jobs import BEGUN, full, job, make_job, room_for, tenant

__all__ = ["job", "make_job", "tenant"]


def test_what_a_shard_did_comes_back_from_a_journal_that_was_closed(job):
    job.work()
    assert job.bring_back()
    assert job.reported == {"stopped": 12}
    assert not job.folder.exists()


def test_the_keys_of_a_shard_that_nobody_took_up_are_as_they_were(job):
    assert not job.bring_back()
    assert job.reported == {"not_attempted": 12}


def test_a_try_that_was_cut_before_its_first_call_is_as_if_it_had_not_been(job, tenant):
    (job.folder / "journal.db").write_bytes(b"half a page")
    assert job.work() == Done("finished", None, 0)
    assert job.outcomes == {"stopped": 12}
    assert {len(tenant.truth(key).stops_received) for key in tenant.keys} == {1}


def test_a_disk_that_fills_up_in_mid_shard_keeps_no_stop_from_going_out_and_all_is_told(job):
    with room_for(BEGUN):
        done = job.work()
    assert (done.state, done.exit_status) == ("aborted", 5)
    assert "journal can no longer be written" in (done.reason or "")
    assert job.outcomes.get("stopped", 0) < 12, "the disk had room after all"
    job.bring_back(done)
    assert job.reported == {"stopped": 12}


def test_what_a_disk_that_filled_up_has_lost_is_told_as_perhaps_stopped(job):
    """Worker and caller died before the one could tell the other."""
    with room_for(BEGUN):
        job.work()
    job.bring_back()
    assert job.reported["unconfirmed"] > 0
    assert job.reported.keys() <= {"stopped", "unconfirmed"}


def test_a_caller_who_dies_while_taking_back_what_a_full_disk_left_is_followed_by_one_who_knows_as_much(job):
    with room_for(BEGUN):
        job.work()
    assert shards.read_left(job.folder / "journal.db"), "and then it is killed"
    job.bring_back()
    assert job.reported["unconfirmed"] > 0
    assert job.reported.keys() <= {"stopped", "unconfirmed"}


def test_a_second_try_that_dies_at_its_start_forgets_nothing_of_what_a_full_disk_has_lost(job, monkeypatch):
    with room_for(BEGUN):
        job.work()
    with monkeypatch.context() as patch:
        patch.setattr(database, "unmark", killed)
        with pytest.raises(Killed):
            job.work()
    job.bring_back()
    assert job.reported["unconfirmed"] > 0
    assert job.reported.keys() <= {"stopped", "unconfirmed"}


def test_what_a_shard_told_is_taken_although_its_folder_fails(job, monkeypatch):
    with room_for(BEGUN):
        done = job.work()
    monkeypatch.setattr(shards, "is_untouched", failed)
    job.bring_back(done)
    assert job.reported == {"stopped": 12}


def test_response_files_that_cannot_even_be_listed_keep_no_row_from_coming_home(job, monkeypatch):
    job.work()
    monkeypatch.setattr("os.scandir", failed)
    job.bring_back()
    assert job.reported == {"stopped": 12}


def test_what_a_shard_did_stays_in_its_folder_while_the_callers_own_journal_is_not_on_disk(job):
    """Or it would be gone with the caller, who has nowhere to keep it."""
    job.work()
    on_disk, job.run = job.run, Journal(InlineWriter(Ledger(database.in_memory(), "No room.")), Clock())
    job.bring_back()
    assert job.reported == {"stopped": 12}
    job.run.close()
    job.run = on_disk
    job.bring_back()
    assert job.reported == {"stopped": 12}
    assert not job.folder.exists()


def test_a_second_try_after_a_disk_that_filled_up_takes_what_is_lost_for_perhaps_stopped(job, tenant):
    with room_for(BEGUN):
        job.work()
    assert job.work() == Done("finished", None, 0)
    job.bring_back()
    assert job.reported == {"stopped": 12}


def test_a_disk_that_takes_no_journal_keeps_no_stop_from_going_out_and_all_is_told(job, monkeypatch):
    monkeypatch.setattr(database, "create", full)
    with room_for(0):
        done = job.work()
    assert done.exit_status == 5
    job.bring_back(done)
    assert job.reported == {"stopped": 12}


def test_where_there_is_no_journal_of_a_shard_that_was_taken_up_its_keys_are_perhaps_stopped(
    job, monkeypatch
):
    monkeypatch.setattr(database, "create", full)
    with room_for(0):
        job.work()
    assert job.bring_back()
    assert job.reported == {"unconfirmed": 12}


class Killed(Exception):
    """In the place of a kill -9."""


def killed(*_: object) -> None:
    raise Killed


def failed(*_: object) -> None:
    raise OSError(errno.EIO, "Input/output error")


def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network's disk that gives back nothing for now."""

    def fail(*_: object, **__: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(sqlite3, "connect", fail)


def test_a_journal_that_cannot_be_read_ends_a_second_try_and_is_left_as_it_is(job, monkeypatch):
    job.work()
    before = (job.folder / "journal.db").read_bytes()
    failing(monkeypatch)
    with pytest.raises(StorageError, match=r"journal .*north/journal.db cannot be read: disk I/O error"):
        job.work()
    assert (job.folder / "journal.db").read_bytes() == before


def test_a_journal_that_cannot_be_read_is_left_and_its_keys_are_perhaps_stopped(job):
    job.work()
    with pytest.MonkeyPatch.context() as patch:
        failing(patch)
        with pytest.raises(StorageError, match="cannot be read: disk I/O error"):
            job.bring_back()
    assert job.reported == {"unconfirmed": 12}
    job.bring_back()
    assert job.reported == {"stopped": 12}


def test_a_journal_that_is_not_what_was_written_is_not_taken_for_what_was_done(job):
    job.work()
    path = job.folder / "journal.db"
    path.write_bytes(path.read_bytes().replace(b"Stopped", b"Stoppee"))
    with pytest.raises(StorageError, match="digest does not match"):
        job.bring_back()
    assert job.reported == {"unconfirmed": 12}
