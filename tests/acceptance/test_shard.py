"""One shard as a worker runs it, without a cluster."""

import gc
import logging
import os
import resource
import signal
import threading
import time
from datetime import datetime

import msgspec

from orchestrator.cluster import control
from orchestrator.cluster.control import ControlMessage, Degree
from orchestrator.cluster.messages import ShardResult
from orchestrator.cluster.shard import receive, work
from tests.acceptance import support
from tests.acceptance.jobs import Job, job, make_job, tenant
from tests.acceptance.support import PROCESSING, Tenant, until

__all__ = ["job", "make_job", "tenant"]


def at_work(job: Job, tenant: Tenant, stops: int) -> tuple[list[ShardResult], threading.Thread]:
    """Start ``job`` in a thread and wait for so many stops. Return the list that gets its result, and the thread."""
    done: list[ShardResult] = []
    thread = threading.Thread(target=lambda: done.append(job.work()))
    thread.start()
    until(lambda: tenant.answered("stop") >= stops, "some stops")
    return done, thread


def test_a_shard_stops_its_keys_and_reports_its_progress(job):
    assert job.work() == ShardResult("finished", None, 0)
    assert job.outcomes == {"stopped": 12}
    assert job.progress[-1]["north"]["outcomes"] == {"stopped": 12}


def test_the_journal_of_a_shard_needs_no_memory_that_processes_share(job):
    """There is none between machines."""
    seen: set[str] = set()
    work(msgspec.msgpack.encode(job.shard), lambda _: seen.update(path.name for path in job.folder.iterdir()))
    assert "journal.db-wal" in seen
    assert "journal.db-shm" not in seen


def test_a_second_attempt_continues_where_the_first_was_cut(make_job, make_tenant):
    slowly = PROCESSING | {"latency": 0.2, "stopping_time": (0.0, 0.0)}
    tenant = make_tenant(**slowly, actions=30)  # 3 s, so that the cut comes in time
    job = make_job(tenant)
    done, thread = at_work(job, tenant, stops=3)
    control.write(job.folder.parent, ControlMessage(Degree.CANCEL, "Enough."))
    thread.join(support.LONGEST)
    assert done == [ShardResult("aborted", "Enough.", 4)]
    sent = tenant.sent("stop")
    assert sent < 30
    control.write(job.folder.parent, ControlMessage())
    assert job.work() == ShardResult("finished", None, 0)
    assert job.outcomes == {"stopped": 30}
    assert tenant.sent("stop") == 30


def test_a_merged_shard_sends_nothing(job, tenant):
    job.merge()
    assert job.work().kind == "usage"
    assert tenant.nothing_sent()


def test_a_worker_that_does_not_see_the_shared_folder_sends_nothing(job, tenant):
    (job.folder.parent / "control.json").unlink()
    done = job.work()
    assert "--shared-dir must be a folder" in (done.reason or "")
    assert tenant.nothing_sent()


def test_a_worker_of_another_version_sends_nothing(make_job, tenant):
    done = make_job(tenant, version="0.0.1").work()
    assert "the run 0.0.1" in (done.reason or "")
    assert tenant.nothing_sent()


def test_missing_credentials_are_reported_with_the_name_of_the_worker(tmp_path, job):
    (tmp_path / "secret").unlink()
    done = job.work()
    assert "client_secret_file of tenant north" in (done.reason or "")
    assert "process" in (done.reason or "")


def test_a_shard_without_secrets_writes_and_contains_none(job, tenant):
    job.work()
    secrets = [tenant.environment["ZUORA_CLIENT_SECRET"], *tenant.tokens()]
    written = [path.read_bytes() for path in job.folder.rglob("*") if path.is_file()]
    written.append(msgspec.msgpack.encode(job.shard))
    assert len(secrets) == 2
    assert not [secret for secret in secrets for data in written if secret.encode() in data]


def test_a_shard_follows_control_messages_that_came_through_dask(make_job, make_tenant):
    tenant = make_tenant(**PROCESSING | {"latency": 0.2, "stopping_time": (0.0, 0.0)}, actions=30)
    job = make_job(tenant)
    done, thread = at_work(job, tenant, stops=3)
    receive(str(job.folder.parent), msgspec.json.encode(ControlMessage(Degree.CANCEL, "Enough.", 130)))
    thread.join(support.LONGEST)
    assert done == [ShardResult("interrupted", "Enough.", 130)]
    assert tenant.sent("stop") < 30


def test_an_interrupted_shard_reads_each_unread_status_and_ends(make_job, make_tenant):
    tenant = make_tenant(**PROCESSING | {"latency": 0.2, "stopping_time": (0.0, 0.0)}, actions=60)
    job = make_job(tenant)
    done, thread = at_work(job, tenant, stops=9)
    control.write(job.folder.parent, ControlMessage(Degree.INTERRUPT, "Ctrl-C.", 130))
    thread.join(support.LONGEST)
    assert done == [ShardResult("interrupted", "Ctrl-C.", 130)]
    assert job.outcomes == {"stopped": tenant.answered("stop"), "not_attempted": 60 - tenant.answered("stop")}


def test_a_control_message_for_a_session_without_shards_here_is_ignored(tmp_path):
    receive(str(tmp_path), msgspec.json.encode(ControlMessage(Degree.CANCEL, "Enough.")))


TEN_MINUTES = 600.0


def test_the_deadline_and_the_report_use_the_clock_of_the_caller(job):
    """The caller's clock is ten minutes behind the worker's. By the worker's clock, the deadline is over."""
    callers = time.time() - TEN_MINUTES
    (job.folder.parent / "control.json").write_bytes(msgspec.json.encode(ControlMessage(at=callers)))
    job.shard = msgspec.structs.replace(job.shard, deadline=callers + TEN_MINUTES / 2)
    assert job.work() == ShardResult("finished", None, 0)
    job.merge()
    (last,) = job.run.perform(lambda db: db.execute("SELECT MAX(settled_at) FROM action").fetchone()).result()
    assert datetime.fromisoformat(last).timestamp() < callers + TEN_MINUTES / 2


def test_a_deadline_is_over_by_the_clock_of_the_caller(job, tenant):
    callers = time.time() + TEN_MINUTES
    (job.folder.parent / "control.json").write_bytes(msgspec.json.encode(ControlMessage(at=callers)))
    job.shard = msgspec.structs.replace(job.shard, deadline=callers - 1)
    assert "deadline was reached" in (job.work().reason or "")
    assert tenant.nothing_sent()


def test_a_shard_changes_nothing_in_its_worker(job):
    def state() -> list[object]:
        loggers = {
            name: (one.level, list(one.handlers), one.propagate)
            for name, one in logging.root.manager.loggerDict.items()
            if isinstance(one, logging.Logger)
        }
        mask = os.umask(0o022)
        os.umask(mask)
        collection = (gc.get_threshold(), gc.isenabled())
        signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
        return [
            mask,
            resource.getrlimit(resource.RLIMIT_CORE),
            collection,
            signals,
            loggers,
            dict(os.environ),
        ]

    logging.getLogger("asyncio")
    before, threads, frozen = state(), set(threading.enumerate()), gc.get_freeze_count()
    assert job.work() == ShardResult("finished", None, 0)
    assert state() == before
    until(lambda: set(threading.enumerate()) <= threads, "the end of the shard's threads")
    assert gc.get_freeze_count() <= frozen  # a frozen object may have been freed


def test_the_files_of_a_shard_are_private_whatever_the_umask_of_the_worker(job):
    mask = os.umask(0)
    try:
        job.work()
    finally:
        os.umask(mask)
    files = [path for path in job.folder.rglob("*") if path.is_file()]
    assert {path.name for path in files if path.stat().st_mode & 0o077} == set()
