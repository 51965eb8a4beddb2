"""One shard as a worker does it, without a cluster around it, and how its rows come home."""

import errno
import os
import resource
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from orchestrator.app.homecoming import Back, bring_back
from orchestrator.app.messages import Done, Orders, Shard, give_orders
from orchestrator.app.shard import work
from orchestrator.clock import Clock
from orchestrator.errors import StorageError
from orchestrator.model import InputRow
from orchestrator.settings import Settings
from orchestrator.settings.tenants import Tenant
from orchestrator.store import database, shards
from orchestrator.store import journal as journals
from orchestrator.store.entries import RunInfo
from orchestrator.version import VERSION
from tests.acceptance import support
from tests.acceptance.support import PROCESSING, until

MakeTenant = Callable[..., support.Tenant]


class Job:
    """A shard of one simulated tenant, with its folder."""

    def __init__(self, home: Path, tenant: support.Tenant, **changes: Any) -> None:
        self.home = home
        self.folder = home / "1" / "north"
        self.folder.parent.mkdir()
        shards.lay_out(self.folder)
        give_orders(self.folder.parent, Orders())
        secret = home / "secret"
        secret.touch(0o600)
        secret.write_text(tenant.environment["ZUORA_CLIENT_SECRET"])
        self.told: list[dict[str, Any]] = []
        self.run = journals.inline(Clock())
        address = tenant.environment["ZUORA_BASE_URL"]
        settings = msgspec.to_builtins(Settings(concurrency=2))
        info = RunInfo("run", "run", VERSION, 0.0, "2026-11-23T22:50:14.000Z", "", None, (), settings)
        self.shard = Shard(
            info=msgspec.structs.replace(info, **changes),
            session=1,
            name="north",
            number=1,
            tenant=Tenant(
                base_url=address,
                client_id=tenant.environment["ZUORA_CLIENT_ID"],
                client_secret_file=str(secret),
            ),
            folder=str(self.folder),
            rows=self._rows(tenant.keys),
            deadline=None,
        )

    def _rows(self, keys: list[str]) -> shards.Rows:
        (source,) = self.run.add_sources([("keys.csv", None)])
        rows = [InputRow(number, key, tenant="north") for number, key in enumerate(keys, 1)]
        self.run.admit(source, rows, False).result()
        return self.run.perform(lambda db: shards.take(db, "north", sending=True)).result()

    def work(self) -> Done:
        return msgspec.msgpack.decode(work(msgspec.msgpack.encode(self.shard), self.told.append), type=Done)

    def bring_back(self, done: Done | None = None) -> Back:
        """Takes the shard's rows into the run's journal; without ``done``, nobody heard how it ended."""
        told = done.told if done else None
        return anyio.run(partial(bring_back, self.run, self.folder, "north", self.home, sent=True, told=told))

    @property
    def reported(self) -> dict[str, int]:
        """How many keys of each outcome the run's own journal tells."""
        return self.run.perform(
            lambda db: dict(db.execute(database.statements()["outcomes"]).fetchall())
        ).result()

    @property
    def outcomes(self) -> dict[str, int]:
        connection = database.reopen(self.folder / "journal.db")
        try:
            return dict(connection.execute(database.statements()["outcomes"]).fetchall())
        finally:
            connection.close()


@pytest.fixture
def tenant(make_tenant: MakeTenant) -> support.Tenant:
    return make_tenant(**PROCESSING | {"latency": 0.05}, actions=12)


@pytest.fixture
def make_job(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    jobs: list[Job] = []

    def make(tenant: support.Tenant, **changes: Any) -> Job:
        jobs.append(Job(tmp_path, tenant, **changes))
        return jobs[-1]

    yield make
    for job in jobs:
        job.run.close()


@pytest.fixture
def job(make_job: Callable[..., Job], tenant: support.Tenant) -> Job:
    return make_job(tenant)


def test_a_shard_stops_its_keys_and_tells_its_counts(job):
    assert job.work() == Done("finished", None, 0)
    assert job.outcomes == {"stopped": 12}
    assert job.told[-1]["north"]["outcomes"] == {"stopped": 12}


def test_the_journal_of_a_shard_needs_no_memory_that_processes_share(job):
    """There is none between machines."""
    seen: set[str] = set()
    work(msgspec.msgpack.encode(job.shard), lambda _: seen.update(path.name for path in job.folder.iterdir()))
    assert "journal.db-wal" in seen
    assert "journal.db-shm" not in seen


def test_a_second_try_goes_on_where_the_first_was_cut(make_job, make_tenant):
    slowly = PROCESSING | {"latency": 0.2, "stopping_time": (0.0, 0.0)}
    tenant = make_tenant(**slowly, actions=30)  # 3 s, so that the cut comes in time
    job = make_job(tenant)
    done: list[Done] = []
    thread = threading.Thread(target=lambda: done.append(job.work()))
    thread.start()
    until(lambda: tenant.answered("stop") >= 3, "some stops")
    give_orders(job.folder.parent, Orders(cut="Enough.", exit_status=4))
    thread.join(support.LONGEST)
    assert done == [Done("aborted", "Enough.", 4)]
    sent = tenant.sent("stop")
    assert sent < 30
    give_orders(job.folder.parent, Orders())
    assert job.work() == Done("finished", None, 0)
    assert job.outcomes == {"stopped": 30}
    assert tenant.sent("stop") == 30


def test_a_shard_that_was_taken_back_sends_nothing(job, tenant):
    job.bring_back()
    assert job.work().kind == "usage"
    assert tenant.nothing_sent()


def test_a_worker_that_does_not_see_the_shared_folder_sends_nothing(job, tenant):
    (job.folder.parent / "orders.json").unlink()
    done = job.work()
    assert "--shared-dir must be a folder" in (done.reason or "")
    assert tenant.nothing_sent()


def test_a_worker_of_another_version_sends_nothing(make_job, tenant):
    done = make_job(tenant, version="0.0.1").work()
    assert "the run 0.0.1" in (done.reason or "")
    assert tenant.nothing_sent()


def test_credentials_that_the_worker_lacks_are_told_with_its_name(tmp_path, job):
    (tmp_path / "secret").unlink()
    done = job.work()
    assert "client_secret_file of tenant north" in (done.reason or "")
    assert "process" in (done.reason or "")


def test_no_secret_travels_or_stays(job, tenant):
    job.work()
    secrets = [tenant.environment["ZUORA_CLIENT_SECRET"], *tenant.tokens()]
    written = [path.read_bytes() for path in job.folder.rglob("*") if path.is_file()]
    written.append(msgspec.msgpack.encode(job.shard))
    assert len(secrets) == 2
    assert not [secret for secret in secrets for data in written if secret.encode() in data]


# What became of a shard whose folder fails it


BEGUN = 110_000
"""Bytes in which the log of a journal can be begun with its keys, and not go on for long."""


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """While it is open, no file grows beyond ``size`` bytes, and there is no room for another journal."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "copy_to_file", full)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_a_shard_did_comes_back_from_a_journal_that_was_closed(job):
    job.work()
    assert job.bring_back().touched
    assert job.reported == {"stopped": 12}
    assert not job.folder.exists()


def test_the_keys_of_a_shard_that_nobody_took_up_are_as_they_were(job):
    assert not job.bring_back().touched
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
    assert job.bring_back().touched
    assert job.reported == {"unconfirmed": 12}


def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network's disk that gives back nothing for now."""

    def fail(path: str, *, alone: bool = False) -> sqlite3.Connection:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(database, "_connect", fail)


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
    with pytest.raises(StorageError, match="not what was written"):
        job.bring_back()
    assert job.reported == {"unconfirmed": 12}
