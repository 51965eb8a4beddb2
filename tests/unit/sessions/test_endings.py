"""How the parts of a run ended: a worker reports it to the caller, and several endings become one."""

import pytest

from orchestrator.cluster.control import EndedByCaller
from orchestrator.cluster.messages import ShardResult
from orchestrator.engine.cutoff import DeadlineReached, Ending, Interrupted
from orchestrator.errors import CredentialsRefused, StorageError, TenantError, UsageError
from orchestrator.sessions.several import together

GONE = Ending.cut(TenantError("It is gone."))


@pytest.mark.parametrize(
    ("reason", "comes_as"),
    [
        (CredentialsRefused("No."), TenantError),
        (UsageError("No secret."), UsageError),
        (StorageError("The disk is full."), EndedByCaller),
        (DeadlineReached("It is over."), EndedByCaller),
        (Interrupted("By a signal.", 143), EndedByCaller),
    ],
)
def test_the_caller_sees_how_a_shard_ended(reason, comes_as):
    ended = Ending.cut(reason)
    received = ShardResult.of(ended).ending()
    assert (received.state, received.reason) == (ended.state, ended.reason)
    assert isinstance(received.cut_by, comes_as)
    assert received.cut_by.exit_status == reason.exit_status


def test_a_shard_that_finished_was_not_cut():
    assert ShardResult.of(Ending("finished")).ending() == Ending("finished")


@pytest.mark.parametrize(
    ("reason", "state"), [(Interrupted("", 130), "interrupted"), (DeadlineReached(""), "aborted")]
)
def test_only_a_signal_interrupts(reason, state):
    assert Ending.cut(reason).state == state


def test_a_reason_of_one_of_several_tenants_names_the_tenant():
    assert together({"north": GONE, "south": Ending("finished")}).reason == "north: It is gone."


def test_a_reason_of_a_tenant_without_a_name_is_unchanged():
    assert together({"": GONE}).reason == "It is gone."
