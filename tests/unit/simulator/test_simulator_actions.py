"""The life of a simulated action, on a clock that the test moves."""

from collections import Counter

import pytest

from orchestrator.model import Status
from orchestrator.simulator import TenantConfig
from orchestrator.simulator.actions import Action, Actions


def _action(state: Status, **changes: object) -> Action:
    settings: dict[str, object] = {
        "records": (100, 100),
        "speed": (10.0, 10.0),
        "failing": (0.1, 0.1),
        "start_delay": (5.0, 5.0),
        "stopping_time": (1.0, 1.0),
    }
    return Action(TenantConfig(**{**settings, **changes}), "a" * 32, 0.0, state=state)  # type: ignore[arg-type]


def test_a_pending_action_starts_after_its_delay_and_runs_to_its_end() -> None:
    """100 records at 10 a second from second 5 end at second 15."""
    action = _action(Status.PENDING)
    assert [action.status(t) for t in (0, 4.9, 5, 14.9, 15)] == [
        Status.PENDING,
        Status.PENDING,
        Status.PROCESSING,
        Status.PROCESSING,
        Status.COMPLETED,
    ]
    assert action.counts(15) == (100, 100, 90, 10)


def test_a_stopped_processing_action_keeps_the_counts_of_the_moment_it_stopped() -> None:
    """It goes on for the second it is Stopping, and no further."""
    action = _action(Status.PENDING)
    assert action.stop(10.0)
    assert action.status(10.5) is Status.STOPPING
    assert action.status(11.0) is Status.STOPPED
    assert action.counts(11.0) == action.counts(1e9) == (100, 60, 54, 6)
    assert action.has_file(11.0)
    assert action.ended(20.0) == 11.0


def test_a_stopped_pending_action_has_no_response_file_and_never_starts() -> None:
    """No record was processed, so there is no response file."""
    action = _action(Status.PENDING)
    assert action.stop(1.0)
    assert action.status(1e9) is Status.STOPPED
    assert not action.has_file(1e9)
    assert action.counts(1e9).processed == 0
    assert not action.truth(1e9).started


def test_an_action_may_complete_while_it_is_stopping() -> None:
    """The stop was accepted, yet the last records went through first."""
    action = _action(Status.PENDING)
    assert action.stop(14.5)
    assert action.status(14.6) is Status.STOPPING
    assert action.status(16.0) is Status.COMPLETED
    assert action.counts(16.0).processed == 100


@pytest.mark.parametrize("state", [Status.COMPLETED, Status.STOPPED, Status.FAILED, Status.STOPPING])
def test_an_action_that_is_over_or_stopping_accepts_no_stop(state: Status) -> None:
    """Only Pending and Processing actions accept a stop."""
    action = _action(state, speed=(1.0, 1.0))
    assert action.status(0.0) is state
    assert not action.stop(0.0)
    assert action.truth(0.0).stop_effective_at is None


def test_a_failed_action_has_processed_no_records() -> None:
    """And has no file."""
    action = _action(Status.FAILED)
    assert action.counts(99.0).processed == 0
    assert not action.has_file(99.0)


def test_the_counts_always_add_up_and_never_shrink() -> None:
    """processed is succeeded plus failed, at most total, at every moment."""
    actions = Actions(TenantConfig(actions=50, seed=3), 0.0)
    for action in map(actions.peek, actions.keys):
        before = -1
        for tick in range(200):
            total, processed, succeeded, failed = action.counts(tick * 0.5)
            assert before <= processed <= total
            assert processed == succeeded + failed
            before = processed


def test_every_state_occurs_at_the_start_in_its_share() -> None:
    """An action drawn as Processing is Processing, and so on."""
    mix = {"Pending": 1, "Processing": 1, "Completed": 1, "Stopped": 1, "Failed": 1}
    actions = Actions(TenantConfig(actions=1000, mix=mix), 7.0)
    found = Counter(action.status(7.0).value for action in map(actions.peek, actions.keys))
    assert set(found) == set(mix)
    assert all(150 < count < 250 for count in found.values())


def test_the_same_seed_gives_the_same_actions_whatever_is_asked_first() -> None:
    """Creating them on demand must not change them."""
    one, other = (Actions(TenantConfig(actions=20, seed=9), 0.0) for _ in range(2))
    assert one.keys == other.keys
    forwards = {key: one.peek(key).truth(3.0) for key in one.keys}
    backwards = {key: other.peek(key).truth(3.0) for key in reversed(other.keys)}
    assert forwards == backwards
    assert Actions(TenantConfig(actions=20, seed=10), 0.0).keys != one.keys


def test_keys_are_32_hexadecimal_digits_and_all_different() -> None:
    """Two hundred thousand of them are made in no time worth measuring."""
    keys = Actions(TenantConfig(actions=200_000), 0.0).keys
    assert len(set(keys)) == 200_000
    assert all(len(key) == 32 for key in keys)
    assert set("".join(keys[:1000])) == set("0123456789abcdef")


def test_an_unknown_key_has_no_action() -> None:
    """find returns None, peek raises KeyError."""
    actions = Actions(TenantConfig(actions=1), 0.0)
    assert actions.find("0" * 32) is None
    with pytest.raises(KeyError):
        actions.peek("0" * 32)
