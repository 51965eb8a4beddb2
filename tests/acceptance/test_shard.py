"""One shard as a worker does it, without a cluster around it."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from orchestrator.app.messages import Done, Orders, Shard, give_orders
from orchestrator.app.shard import work
from orchestrator.clock import Clock
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
        self.folder = home / "1" / "north"
        self.folder.mkdir(parents=True)
        give_orders(self.folder.parent, Orders())
        secret = home / "secret"
        secret.touch(0o600)
        secret.write_text(tenant.environment["ZUORA_CLIENT_SECRET"])
        self.told: list[dict[str, Any]] = []
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
        journal = journals.inline(Clock())
        (source,) = journal.add_sources([("keys.csv", None)])
        rows = [InputRow(number, key, tenant="north") for number, key in enumerate(keys, 1)]
        journal.admit(source, rows, False).result()
        taken = journal.perform(lambda db: shards.take(db, "north", sending=True)).result()
        journal.close()
        return taken

    def work(self) -> Done:
        return msgspec.msgpack.decode(work(msgspec.msgpack.encode(self.shard), self.told.append), type=Done)

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


def test_a_shard_stops_its_keys_and_tells_its_counts(tmp_path, tenant):
    job = Job(tmp_path, tenant)
    assert job.work() == Done("finished", None, 0)
    assert job.outcomes == {"stopped": 12}
    assert job.told[-1]["north"]["outcomes"] == {"stopped": 12}


def test_the_journal_of_a_shard_needs_no_memory_that_processes_share(tmp_path, tenant):
    """There is none between machines."""
    job = Job(tmp_path, tenant)
    seen: set[str] = set()
    work(msgspec.msgpack.encode(job.shard), lambda _: seen.update(path.name for path in job.folder.iterdir()))
    assert "journal.db-wal" in seen
    assert "journal.db-shm" not in seen


def test_a_second_try_goes_on_where_the_first_was_cut(tmp_path, make_tenant):
    slowly = PROCESSING | {"latency": 0.2, "stopping_time": (0.0, 0.0)}
    tenant = make_tenant(**slowly, actions=30)  # 3 s, so that the cut comes in time
    job = Job(tmp_path, tenant)
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


def test_a_shard_that_was_taken_back_sends_nothing(tmp_path, tenant):
    job = Job(tmp_path, tenant)
    job.folder.rmdir()
    assert job.work().kind == "usage"
    assert tenant.nothing_sent()


def test_a_worker_that_does_not_see_the_shared_folder_sends_nothing(tmp_path, tenant):
    job = Job(tmp_path, tenant)
    (job.folder.parent / "orders.json").unlink()
    done = job.work()
    assert "--shared-dir must be a folder" in (done.reason or "")
    assert tenant.nothing_sent()


def test_a_worker_of_another_version_sends_nothing(tmp_path, tenant):
    done = Job(tmp_path, tenant, version="0.0.1").work()
    assert "the run 0.0.1" in (done.reason or "")
    assert tenant.nothing_sent()


def test_credentials_that_the_worker_lacks_are_told_with_its_name(tmp_path, tenant):
    job = Job(tmp_path, tenant)
    (tmp_path / "secret").unlink()
    done = job.work()
    assert "client_secret_file of tenant north" in (done.reason or "")
    assert "process" in (done.reason or "")


def test_no_secret_travels_or_stays(tmp_path, tenant):
    job = Job(tmp_path, tenant)
    job.work()
    secrets = [tenant.environment["ZUORA_CLIENT_SECRET"], *tenant.tokens()]
    written = [path.read_bytes() for path in job.folder.rglob("*") if path.is_file()]
    written.append(msgspec.msgpack.encode(job.shard))
    assert len(secrets) == 2
    assert not [secret for secret in secrets for data in written if secret.encode() in data]
