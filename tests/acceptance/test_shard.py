"""One shard as a worker does it, without a cluster around it."""

import threading
import time
from datetime import datetime

import msgspec

from orchestrator.cluster import control as orders
from orchestrator.cluster.control import Orders
from orchestrator.cluster.messages import Done
from orchestrator.cluster.shard import hear, work
from tests.acceptance import support
from tests.acceptance.jobs import job, make_job, tenant
from tests.acceptance.support import PROCESSING, until

__all__ = ["job", "make_job", "tenant"]


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
    orders.give(job.folder.parent, Orders(cut="Enough.", exit_status=4))
    thread.join(support.LONGEST)
    assert done == [Done("aborted", "Enough.", 4)]
    sent = tenant.sent("stop")
    assert sent < 30
    orders.give(job.folder.parent, Orders())
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


def test_a_shard_follows_orders_that_could_not_be_written_to_its_folder(make_job, make_tenant):
    tenant = make_tenant(**PROCESSING | {"latency": 0.2, "stopping_time": (0.0, 0.0)}, actions=30)
    job = make_job(tenant)
    done: list[Done] = []
    thread = threading.Thread(target=lambda: done.append(job.work()))
    thread.start()
    until(lambda: tenant.answered("stop") >= 3, "some stops")
    hear(str(job.folder.parent), msgspec.json.encode(Orders(cut="Enough.", exit_status=130)))
    thread.join(support.LONGEST)
    assert done == [Done("interrupted", "Enough.", 130)]
    assert tenant.sent("stop") < 30


def test_orders_for_a_session_that_has_no_shard_here_are_nobodys(tmp_path):
    hear(str(tmp_path), msgspec.json.encode(Orders(cut="Enough.")))


TEN_MINUTES = 600.0


def test_a_deadline_and_the_times_of_the_report_go_by_the_callers_clock(job):
    """Which is ten minutes behind this worker's: by that, the deadline is over and the stops are of the future."""
    callers = time.time() - TEN_MINUTES
    (job.folder.parent / "orders.json").write_bytes(msgspec.json.encode(Orders(at=callers)))
    job.shard = msgspec.structs.replace(job.shard, deadline=callers + TEN_MINUTES / 2)
    assert job.work() == Done("finished", None, 0)
    job.bring_back()
    (last,) = job.run.perform(lambda db: db.execute("SELECT MAX(settled_at) FROM action").fetchone()).result()
    assert datetime.fromisoformat(last).timestamp() < callers + TEN_MINUTES / 2


def test_a_deadline_that_is_over_by_the_callers_clock_is_over(job, tenant):
    callers = time.time() + TEN_MINUTES
    (job.folder.parent / "orders.json").write_bytes(msgspec.json.encode(Orders(at=callers)))
    job.shard = msgspec.structs.replace(job.shard, deadline=callers - 1)
    assert "deadline was reached" in (job.work().reason or "")
    assert tenant.nothing_sent()
