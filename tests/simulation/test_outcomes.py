"""Every outcome of the contract, each by its own course."""

import asyncio
from typing import Any

import pytest

from orchestrator.engine.cutoff import Interrupted
from orchestrator.errors import Kind
from orchestrator.model import InputRow, Outcome, Status
from orchestrator.report import ActionEntry
from orchestrator.settings import Threshold
from tests.simulation.memory import MemoryResponses
from tests.simulation.tenant import Action, Fault, VirtualTenant, actions_of, bulk_key, fault, lost, scripted
from tests.simulation.virtual import virtually
from tests.simulation.world import World, entry, rows_of, settings


def one(
    action: Action | None = None,
    command: str = "run",
    stop: Any = (),
    status: Any = (),
    file: Any = (),
    **values: Any,
) -> ActionEntry:
    """The report's entry for a run of one key."""
    script = scripted(stop={1: stop}, status={1: status}, file={1: file})
    actions = [action] if action else actions_of(1)
    world = World(VirtualTenant(actions, script=script), settings(**values), command)
    virtually(world.run(rows_of(1)))
    return entry(world.report(), 1)


def test_an_accepted_stop_whose_action_is_seen_stopped_is_stopped():
    assert one().outcome is Outcome.STOPPED


def test_a_stopped_action_names_the_time_and_call_of_its_stop():
    stop = one().stop
    assert (stop.attempts, stop.accepted_at, stop.track_id, stop.request_id) == (
        1, "2026-11-18T11:06:40.080Z", "t-1-1", "request-1",
    )  # fmt: skip


def test_a_stop_that_timed_out_but_worked_is_stopped_with_its_answer_lost():
    found = one(stop=[lost()], hedge=0.0)
    assert (found.outcome, found.stop.answer) == (Outcome.STOPPED, "lost")


def test_a_stop_that_worked_although_the_server_failed_is_stopped_with_its_answer_lost():
    found = one(stop=[fault(Kind.SERVER, works=True, http_status=502, may_have_worked=True)])
    assert (found.outcome, found.stop.answer) == (Outcome.STOPPED, "lost")


def test_a_lost_stop_that_did_not_work_is_sent_again_and_its_answer_is_not_called_lost():
    found = one(stop=[lost(works=False)])
    assert (found.outcome, found.stop.answer, found.stop.attempts) == (Outcome.STOPPED, None, 2)


@pytest.mark.parametrize(
    ("born", "outcome"),
    [
        (Status.STOPPED, Outcome.ALREADY_STOPPED),
        (Status.COMPLETED, Outcome.ALREADY_COMPLETED),
        (Status.FAILED, Outcome.ALREADY_FAILED),
    ],
)
def test_an_action_over_before_our_stop_has_the_outcome_of_its_state(born, outcome):
    assert one(Action(bulk_key(1), born=born)).outcome is outcome


def test_an_action_that_was_over_before_our_stop_carries_no_error():
    assert one(Action(bulk_key(1), born=Status.COMPLETED)).error is None


class Runaway(Action):
    """Accepts a stop and still runs to its end."""

    def stop(self, at: float) -> bool:
        return self.status(at) is Status.PROCESSING


def test_an_accepted_stop_whose_action_runs_to_its_end_is_completed_before_stop():
    assert one(Runaway(bulk_key(1), speed=50)).outcome is Outcome.COMPLETED_BEFORE_STOP


def test_an_accepted_stop_whose_end_is_not_seen_in_time_is_unconfirmed():
    found = one(Action(bulk_key(1), stopping_for=1e9), settle=60.0)
    assert (found.outcome, found.error and found.error.kind) == (Outcome.UNCONFIRMED, "not_settled")


def test_an_action_whose_status_cannot_be_read_is_not_followed_beyond_settle():
    world = World(
        VirtualTenant(actions_of(1), script=scripted(status={1: [fault(Kind.TEMPORARY)] * 50})),
        settings(settle=2.0, max_attempts=50),
    )
    virtually(world.run(rows_of(1)))
    assert entry(world.report(), 1).outcome is Outcome.UNCONFIRMED
    assert len(world.tenant.of("status")) < 12


def test_an_accepted_stop_is_followed_for_the_whole_of_settle():
    assert one(Action(bulk_key(1), stopping_for=55.0), settle=60.0).outcome is Outcome.STOPPED


def test_an_accepted_stop_whose_status_cannot_be_read_is_unconfirmed():
    assert one(status=[fault(Kind.LOCKED, http_status=500)] * 9).outcome is Outcome.UNCONFIRMED


def test_a_lost_stop_whose_status_cannot_be_read_is_unconfirmed():
    found = one(stop=[lost()] * 9, status=[fault(Kind.LOCKED, http_status=500)] * 99)
    assert found.outcome is Outcome.UNCONFIRMED


@pytest.mark.parametrize("kind", [Kind.NOT_FOUND, Kind.NO_PERMISSION, Kind.INVALID_REQUEST, Kind.UNSUPPORTED])
def test_a_stop_that_the_tenant_refuses_for_good_is_rejected_and_says_why(kind):
    found = one(Action(bulk_key(1), refuses=kind))
    assert (found.outcome, found.error and found.error.kind) == (Outcome.REJECTED, kind)


def test_a_rejected_stop_is_sent_once():
    assert one(Action(bulk_key(1), refuses=Kind.NOT_FOUND)).stop.attempts == 1


def test_an_action_that_runs_after_the_last_attempt_to_stop_it_is_unconfirmed():
    found = one(stop=[fault(Kind.LOCKED, code=50000050, http_status=200)] * 8)
    assert (found.outcome, found.error and found.error.kind, found.stop.attempts) == (
        Outcome.UNCONFIRMED, "locked", 8,
    )  # fmt: skip


def test_the_state_decides_after_the_last_attempt_on_a_finished_action():
    found = one(Action(bulk_key(1), born=Status.COMPLETED), stop=[fault(Kind.LOCKED)] * 8)
    assert found.outcome is Outcome.ALREADY_COMPLETED


def test_a_stop_refused_for_its_state_while_the_action_runs_is_sent_again():
    found = one(stop=[fault(Kind.WRONG_STATE, code=50000030, http_status=200)])
    assert (found.outcome, found.stop.attempts) == (Outcome.STOPPED, 2)


def test_a_lost_stop_seen_as_stopping_came_before_the_completion():
    class Hasty(Action):
        """Its records are done while it is Stopping."""

        def status(self, at: float) -> Status:
            status = super().status(at)
            return Status.COMPLETED if status is Status.STOPPED else status

    found = one(Hasty(bulk_key(1), stopping_for=60.0), stop=[lost()], hedge=0.0)
    assert (found.outcome, found.stop.accepted_at) == (Outcome.COMPLETED_BEFORE_STOP, None)


def test_a_running_action_whose_state_always_refuses_the_stop_is_unconfirmed():
    found = one(stop=[fault(Kind.WRONG_STATE)] * 99)
    assert (found.outcome, found.stop.attempts) == (Outcome.UNCONFIRMED, 8)


def test_a_key_without_a_call_before_the_deadline_is_not_attempted():
    world = World(VirtualTenant(actions_of(2), latency=lambda: 1.0), settings(concurrency=1, deadline=0.5))
    virtually(world.run(rows_of(2)))
    found = entry(world.report(), 2)
    assert (found.outcome, found.stop.attempts) == (Outcome.NOT_ATTEMPTED, 0)


def test_a_key_without_a_call_before_a_signal_is_not_attempted():
    async def main(world: World) -> None:
        session = world.session(rows_of(2))
        asyncio.get_running_loop().call_later(0.5, session.cut, Interrupted("SIGINT", 130))
        await session.run()

    world = World(VirtualTenant(actions_of(2), latency=lambda: 1.0), settings(concurrency=1))
    virtually(main(world))
    found = entry(world.report(), 2)
    assert (found.outcome, found.stop.attempts) == (Outcome.NOT_ATTEMPTED, 0)


def test_a_key_after_too_many_failures_is_not_attempted():
    run_settings = settings(concurrency=1, max_failures=Threshold(count=1))
    world = World(
        VirtualTenant([Action(bulk_key(1), refuses=Kind.NOT_FOUND), *actions_of(2, 2)]), run_settings
    )
    virtually(world.run(rows_of(3)))
    found = entry(world.report(), 3)
    assert (found.outcome, found.stop.attempts) == (Outcome.NOT_ATTEMPTED, 0)


@pytest.mark.parametrize(
    "expected", [{"expect_action_type": ("ImportFXRate",)}, {"expect_uploaded_by": ("bob@example.com",)}]
)
def test_a_guard_skips_an_unexpected_action_and_sends_no_stop(expected):
    found = one(**expected)
    assert (found.outcome, found.stop.attempts) == (Outcome.SKIPPED_BY_GUARD, 0)


def test_an_action_that_meets_its_guards_is_stopped():
    assert (
        one(expect_action_type=("mpu",), expect_uploaded_by=("ADA@example.com",)).outcome is Outcome.STOPPED
    )


def test_a_finished_action_that_meets_its_guards_gets_no_stop():
    found = one(Action(bulk_key(1), born=Status.COMPLETED), expect_action_type=("MPU",))
    assert (found.outcome, found.stop.attempts) == (Outcome.ALREADY_COMPLETED, 0)


def test_a_guarded_action_that_does_not_exist_is_rejected():
    world = World(VirtualTenant([]), settings(expect_action_type=("MPU",)))
    virtually(world.run(rows_of(1)))
    assert entry(world.report(), 1).outcome is Outcome.REJECTED


def test_a_guarded_action_whose_state_cannot_be_read_is_not_attempted():
    found = one(status=[fault(Kind.TEMPORARY)] * 8, expect_action_type=("MPU",))
    assert (found.outcome, found.stop.attempts) == (Outcome.NOT_ATTEMPTED, 0)


def test_a_row_without_a_key_is_malformed_and_its_neighbours_are_stopped():
    world = World(VirtualTenant(actions_of(1)))
    virtually(world.run([InputRow(2, "nonsense", problem="That is no bulk key."), *rows_of(1)]))
    assert [action.outcome for action in world.report().actions] == [Outcome.MALFORMED, Outcome.STOPPED]


def test_a_plan_shows_speed_and_remaining_records_of_a_running_action():
    found = one(Action(bulk_key(1), speed=5, total=1_000), "plan")
    speed, left = found.plan.records_per_second, found.plan.remaining  # type: ignore[union-attr]
    assert (found.outcome, round(speed or 0), left) == (Outcome.WOULD_STOP, 5, 990)


def test_a_plan_would_stop_a_pending_action():
    found = one(Action(bulk_key(1), starts_at=1e6), "plan")
    assert (found.outcome, found.status) == (Outcome.WOULD_STOP, "Pending")


def test_a_plan_shows_the_state_of_a_finished_action():
    assert one(Action(bulk_key(1), born=Status.FAILED), "plan").outcome is Outcome.ALREADY_FAILED


def test_a_plan_shows_which_actions_the_guards_would_skip():
    found = one(Action(bulk_key(1), speed=5, total=1_000), "plan", expect_action_type=("ImportFXRate",))
    assert (found.outcome, found.status) == (Outcome.SKIPPED_BY_GUARD, "Processing")
    assert found.error is not None


def test_a_plan_sends_no_stop():
    world = World(VirtualTenant(actions_of(30)), command="plan")
    virtually(world.run(rows_of(30)))
    assert world.tenant.of("stop") == []


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        (Kind.NOT_FOUND, Outcome.REJECTED),
        (Kind.NO_PERMISSION, Outcome.REJECTED),
        (Kind.LOCKED, Outcome.UNCONFIRMED),
    ],
)
def test_a_plan_says_whether_a_refused_read_is_permanent(kind, outcome):
    assert one(Action(bulk_key(1), refuses=kind), "plan").outcome is outcome


@pytest.mark.parametrize(
    "befalls",
    [
        fault(Kind.NOT_FOUND, http_status=404),
        fault(Kind.NO_RESPONSE_FILE),
        fault(Kind.TOO_LARGE),
        fault(Kind.SERVER),
    ],
    ids=lambda befalls: str(befalls.error.kind),
)
def test_a_missing_response_file_is_reported_beside_the_outcome(befalls: Fault):
    found = one(file=[befalls] * 99)
    assert (found.outcome, found.records.source, found.error and found.error.kind) == (
        Outcome.STOPPED, "status", befalls.error.kind,  # type: ignore[attr-defined]
    )  # fmt: skip


def test_an_address_without_a_file_id_is_not_counted_as_a_call():
    world = World(VirtualTenant(actions_of(1), script=scripted(file={1: [fault(Kind.NO_RESPONSE_FILE)]})))
    virtually(world.run(rows_of(1)))
    assert world.report().summary.calls.file == 0


def test_a_malformed_response_file_is_reported_beside_the_outcome():
    world = World(VirtualTenant(actions_of(1)), responses=MemoryResponses(unusable=[bulk_key(1)]))
    virtually(world.run(rows_of(1)))
    found = entry(world.report(), 1)
    assert (found.outcome, found.error and found.error.kind) == (Outcome.STOPPED, "bad_file")


def test_counts_come_from_the_response_file_if_there_is_one():
    assert one(Action(bulk_key(1), born=Status.COMPLETED)).records.source == "response_file"


def test_counts_come_from_the_status_with_no_results():
    assert one(Action(bulk_key(1), born=Status.COMPLETED), no_results=True).records.source == "status"


def test_no_response_file_is_requested_with_no_results():
    world = World(VirtualTenant(actions_of(3)), settings(no_results=True))
    virtually(world.run(rows_of(3)))
    assert world.tenant.of("file") == []


def test_the_status_decides_a_lost_stop_although_the_next_is_rejected():
    script = scripted(stop={1: [lost(), fault(Kind.NO_PERMISSION)]})
    world = World(VirtualTenant([*actions_of(1), *actions_of(9, first=2)], script=script))
    virtually(world.run(rows_of(10)))
    assert entry(world.report(), 1).outcome is Outcome.STOPPED


def test_the_error_of_an_unusable_file_contains_no_credentials():
    tenant = VirtualTenant(actions_of(1))
    tenant.redact = lambda text: text.replace("zip", "…")  # type: ignore[method-assign]  # as if it were a secret
    world = World(tenant, responses=MemoryResponses(unusable=[bulk_key(1)]))
    virtually(world.run(rows_of(1)))
    error = world.report().actions[0].error
    assert error is not None
    assert error.message == "the file is no …"


def test_each_answered_poll_resets_the_attempts_of_the_next():
    def two_of_three_fail(name: str, key: str, n: int) -> Fault | None:
        return fault(Kind.TEMPORARY) if name == "status" and n % 3 else None

    world = World(
        VirtualTenant(actions_of(1, stopping_for=600.0), script=two_of_three_fail), settings(max_attempts=3)
    )
    virtually(world.run(rows_of(1)))
    assert len(world.tenant.of("status")) > 6
    assert world.report().actions[0].outcome is Outcome.STOPPED
