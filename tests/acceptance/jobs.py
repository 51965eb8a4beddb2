"""A shard, run as by a worker, without a cluster."""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest

from orchestrator.clock import Clock
from orchestrator.cluster import control
from orchestrator.cluster.control import ControlMessage
from orchestrator.cluster.merge import ShardMerge
from orchestrator.cluster.messages import Shard, ShardResult
from orchestrator.cluster.shard import work
from orchestrator.journal import database, shards
from orchestrator.journal.entries import RunInfo
from orchestrator.model import InputRow
from orchestrator.settings import Settings
from orchestrator.settings.tenants import Tenant
from orchestrator.version import VERSION
from tests.acceptance import support
from tests.acceptance.support import PROCESSING
from tests.inline_writer import inline

MakeTenant = Callable[..., support.Tenant]


class Job:
    """A shard of one simulated tenant, with its folder."""

    def __init__(self, home: Path, tenant: support.Tenant, **changes: Any) -> None:
        self.home = home
        self.folder = home / "1" / "north"
        self.folder.parent.mkdir()
        shards.create_folder(self.folder)
        control.write(self.folder.parent, ControlMessage())
        secret = home / "secret"
        secret.touch(0o600)
        secret.write_text(tenant.environment["ZUORA_CLIENT_SECRET"])
        self.progress: list[dict[str, Any]] = []
        self.run = inline(Clock())
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
        return shards.hand_over(self.run, "north", sending=True).result()

    def work(self) -> ShardResult:
        return msgspec.msgpack.decode(
            work(msgspec.msgpack.encode(self.shard), self.progress.append), type=ShardResult
        )

    def merge(self, done: ShardResult | None = None) -> bool:
        """Merge the shard into the run's journal. Without ``done``, the shard's end is unknown."""
        tables = done.tables if done else None
        return anyio.run(ShardMerge(self.run, self.home, True, 30.0).merge, self.folder, "north", tables)

    @property
    def reported(self) -> dict[str, int]:
        """The number of keys with each outcome in the run's own journal."""
        return self.run.perform(lambda db: dict(db.execute(database.sql("outcomes")).fetchall())).result()

    @property
    def outcomes(self) -> dict[str, int]:
        connection = database.reopen(self.folder / "journal.db")
        try:
            return dict(connection.execute(database.sql("outcomes")).fetchall())
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


BEGUN = 110_000
"""Bytes for the start of a journal's log with its keys, and little more."""


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Limit all files to ``size`` bytes while the context is open, and fail every copy of a journal."""
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
