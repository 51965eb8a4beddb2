"""When the tenant names a response file late, never, or has archived it."""

import asyncio
from typing import Any

import pytest

from orchestrator.engine.cutoff import Interrupted
from orchestrator.errors import Kind
from orchestrator.model import Outcome, Status
from orchestrator.report import ActionEntry
from tests.simulation.tenant import VirtualTenant, actions_of, fault, scripted
from tests.simulation.virtual import virtually
from tests.simulation.world import World, entry, rows_of, settings

NEVER = 1e9


def world_of(status: Any = (), file: Any = (), **fields: Any) -> World:
    """One action that processes a record each second, and faults of its calls."""
    actions = actions_of(1, speed=1.0, **fields)
    return World(VirtualTenant(actions, script=scripted(status={1: status}, file={1: file})))


def run_one(**fields: Any) -> tuple[World, ActionEntry]:
    world = world_of(**fields)
    virtually(world.run(rows_of(1)))
    return world, entry(world.report(), 1)


def error_kind(action: ActionEntry) -> str | None:
    return action.error.kind if action.error else None


def test_a_response_file_that_is_named_some_seconds_after_the_end_is_read():
    _, action = run_one(born=Status.COMPLETED, file_named_at=40.0)
    assert (action.outcome, action.records.source, action.error) == (
        Outcome.ALREADY_COMPLETED, "response_file", None,
    )  # fmt: skip


def test_an_action_whose_file_is_never_named_keeps_its_outcome_and_counts():
    _, action = run_one(born=Status.COMPLETED, file_named_at=NEVER)
    assert (action.outcome, action.records.processed, action.records.source, error_kind(action)) == (
        Outcome.ALREADY_COMPLETED, 100, "status", "no_response_file",
    )  # fmt: skip


def test_a_run_waits_about_a_minute_for_an_unnamed_file():
    world, _ = run_one(born=Status.COMPLETED, file_named_at=NEVER)
    reads = world.tenant.of("status")
    assert 55 <= reads[-1].at - reads[0].at <= 65
    assert len(reads) <= 15


def test_the_wait_for_an_unnamed_file_does_not_depend_on_settle():
    world = World(
        VirtualTenant(actions_of(1, born=Status.COMPLETED, file_named_at=NEVER)), settings(settle=3600.0)
    )
    virtually(world.run(rows_of(1)))
    assert world.tenant.of("status")[-1].at < 70


@pytest.mark.parametrize("fields", [{"born": Status.FAILED}, {"born": Status.STOPPED}, {"starts_at": 1e6}])
def test_no_second_file_is_requested_for_an_action_without_processed_records(fields):
    world, action = run_one(**fields, file_named_at=NEVER)
    assert (action.error, world.tenant.of("status")[-1].at < 5) == (None, True)


def test_a_run_without_results_waits_for_no_file():
    world = World(
        VirtualTenant(actions_of(1, born=Status.COMPLETED, file_named_at=NEVER)), settings(no_results=True)
    )
    virtually(world.run(rows_of(1)))
    action = entry(world.report(), 1)
    assert (action.error, len(world.tenant.of("status"))) == (None, 1)


def test_a_stale_status_after_the_end_does_not_change_the_outcome():
    staleness = iter([0.0, 5.0, 0.0, 5.0])
    actions = actions_of(1, speed=100.0, total=10_000, file_named_at=30.0)
    world = World(VirtualTenant(actions, stale=lambda: next(staleness, 0.0)))
    virtually(world.run(rows_of(1)))
    action = entry(world.report(), 1)
    assert (action.outcome, action.status, len(world.tenant.of("stop"))) == (Outcome.STOPPED, "Stopped", 1)


def test_a_run_that_is_cut_while_a_file_is_awaited_reports_the_action_as_over():
    world = world_of(born=Status.COMPLETED, file_named_at=NEVER)

    async def main() -> None:
        session = world.session(rows_of(1))
        asyncio.get_running_loop().call_later(20.0, session.cut, Interrupted("SIGINT", 130))
        await session.run()

    virtually(main())
    assert entry(world.report(), 1).outcome is Outcome.ALREADY_COMPLETED


def test_a_resumed_run_asks_again_for_a_file_that_was_never_named():
    world = world_of(born=Status.COMPLETED, file_named_at=500.0)

    async def main() -> None:
        await world.run(rows_of(1))
        await asyncio.sleep(600.0)
        await world.run(rows_of(1))

    virtually(main())
    action = entry(world.report(), 1)
    assert (action.records.source, action.error) == ("response_file", None)


def test_an_archived_file_is_reported_as_archived_with_the_call_that_restores_it():
    world, action = run_one(archived=True)
    assert (action.outcome, error_kind(action), action.error and action.error.http_status) == (
        Outcome.STOPPED, "archived", 404,
    )  # fmt: skip
    assert "PUT /restore" in (action.error.message if action.error else "")
    assert world.report().summary.calls.file == 2


def test_a_file_that_is_refused_but_not_archived_keeps_its_own_error():
    _, action = run_one(file=[fault(Kind.NOT_FOUND, http_status=404)])
    assert (action.outcome, error_kind(action)) == (Outcome.STOPPED, "not_found")


def test_a_file_whose_calls_had_no_answer_is_not_checked_as_archived():
    world, action = run_one(file=[fault(Kind.CONNECTION_LOST)] * 99)
    assert (action.outcome, world.tenant.of("file status")) == (Outcome.STOPPED, [])
