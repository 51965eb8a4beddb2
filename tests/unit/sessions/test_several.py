"""The progress of each of several tenants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.clock import Clock
from orchestrator.engine.cutoff import Cutoff, Ending, Interrupted
from orchestrator.errors import TenantError
from orchestrator.journal.entries import Counts
from orchestrator.journal.intake import ReadAlready
from orchestrator.logs import Sink, make_log
from orchestrator.progress import OutageFacts, Progress
from orchestrator.results.spool import ResponseFiles
from orchestrator.sessions import several
from orchestrator.sessions.session import Common
from orchestrator.settings import Settings
from orchestrator.settings.tenants import Tenant
from tests.inline_writer import inline

SOUTH = Tenant(base_url="https://south.invalid", client_id="c", client_secret_env="SECRET")
GONE = TenantError("It is gone.")


@pytest.mark.parametrize(
    ("reason", "given_up"), [(Interrupted("By a signal.", 130), None), (GONE, "It is gone.")]
)
def test_only_a_tenant_that_ends_before_the_run_is_given_up(monkeypatch, reason, given_up):
    @asynccontextmanager
    async def tenant_session(
        _: Common, __: Settings, cutoff: Cutoff, *___: Any, **____: Any
    ) -> AsyncIterator[Any]:
        class Session:
            sending = False

            async def run(self, _: object) -> Ending:
                run_cutoff.interrupt(reason) if isinstance(reason, Interrupted) else cutoff.cancel(reason)
                return cutoff.ending()

        yield Session()

    async def main() -> None:
        clock, journal = Clock(), inline(Clock())
        log, files = make_log(Sink(None, None), clock, "run"), ResponseFiles(Path(), save=False)
        common = Common(planning=False, clock=clock, journal=journal, log=log, responses=files, label="t")
        counts = {"south": Counts(keys=1, accepted=0, waiting=1, polling=0)}
        await several.MultiTenantSession(
            common, Settings(), {"south": SOUTH}, counts, progress, run_cutoff
        ).run(ReadAlready())
        journal.close()

    monkeypatch.setenv("SECRET", "s")
    monkeypatch.setattr(several, "tenant_session", tenant_session)
    run_cutoff, progress = Cutoff(), Progress()
    asyncio.run(main())
    assert progress.tenants["south"].given_up == given_up


def test_a_run_waits_for_no_tenant_that_was_given_up():
    outage = OutageFacts(since=1.0, problem="Connection refused.", next_probe_at=2.0, ends_at=3.0)
    gone, away = Progress(outage=outage, given_up="It did not answer for 2s."), Progress(outage=outage)
    total = Progress()
    several.add_up(total, [gone, Progress()])
    assert total.outage is None
    several.add_up(total, [gone, away])
    assert total.outage is outage
