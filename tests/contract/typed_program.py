"""A program that uses every public function. Type checkers read it, and no test runs it."""

import asyncio
import logging
from contextlib import aclosing
from pathlib import Path
from typing import assert_type

from orchestrator import (
    ActionEntry,
    Outcome,
    Rate,
    Report,
    RunProgress,
    Secret,
    Settings,
    Tenant,
    Verification,
    plan_all,
    read_report,
    read_tenants,
    resolve,
    resume_all,
    resume_all_blocking,
    stop_all,
    stop_all_blocking,
    stop_each,
    verify_all,
)


def show(progress: RunProgress) -> None:
    assert_type(progress.completed, int)


async def work(keys: list[str], run_dir: Path) -> None:
    settings = Settings(
        base_url="https://rest.zuora.com",
        token=Secret("…"),
        timeout="30s",
        deadline=600,
        rate="600/min",
        max_failures="5%",
        out=run_dir,
        expect_action_type=["MPU"],
    )
    assert_type(await stop_all(keys, settings, on_progress=show, logger=logging.getLogger("x")), Report)
    assert_type(await plan_all(set(keys), settings, on_progress=print), Report)
    assert_type(await resume_all(run_dir, settings, keys), Report)
    assert_type(await verify_all(str(run_dir), settings), Verification)
    async with aclosing(stop_each(keys, settings)) as actions:
        async for action in actions:
            assert_type(action, ActionEntry)
            assert_type(action.outcome.is_over, bool)
    tenants = {"north": Tenant(env="us-test", rate=Rate(10, 1))} | read_tenants("tenants.toml")
    await stop_all([("north", key) for key in keys], Settings(out="here"), tenants)


def blocking(keys: list[str]) -> None:
    settings = resolve({"headroom": 20, "out": Path("here")}, config=Path("mass-stop.toml"))
    assert_type(settings, Settings)
    report = stop_all_blocking(keys, settings)
    assert_type(resume_all_blocking("here", settings), Report)
    assert_type(read_report("here"), Report)
    assert_type(report.all_over, bool)
    assert_type(report.needs_person, list[ActionEntry])
    assert_type(report.run_dir, Path | None)
    assert_type(report.actions[0].tenant, str | None)
    assert_type(report.summary.outcomes, dict[Outcome, int])
    report.raise_for_status()


if __name__ == "__main__":
    asyncio.run(work([], Path()))
