"""Faults that can be replayed and that let a run end."""

import pytest

from orchestrator.simulator import FaultPlan
from orchestrator.simulator.faults import EFFECTS, Effect, FaultDraw


def test_the_same_calls_get_the_same_faults_in_any_order() -> None:
    """The draw depends on the call and how often it was made, on nothing else."""
    plan = FaultPlan.level("hell")
    one, other = FaultDraw(plan, 5), FaultDraw(plan, 5)
    keys = [f"key {n}" for n in range(50)]
    by_key = {(key, n): one.draw("stop", key) for key in keys for n in range(6)}
    by_round = {(key, n): other.draw("stop", key) for n in range(6) for key in reversed(keys)}
    assert by_key == by_round
    assert any(by_key.values())


def test_no_call_gets_more_faults_in_a_row_than_planned() -> None:
    """Even where every call should fail, the fourth goes through."""
    draw = FaultDraw(FaultPlan({"reset": 1.0}, max_consecutive=3), 1)
    assert [draw.draw("stop", "k") is not None for _ in range(8)] == [True, True, True, False] * 2


def test_the_share_of_faults_is_the_share_asked_for() -> None:
    """Within what chance allows for twenty thousand draws."""
    draw = FaultDraw(FaultPlan.level(0.1), 2)
    met = sum(draw.draw("status", str(n)) is not None for n in range(20_000))
    assert 1800 < met < 2200


def test_the_hardest_level_has_every_kind_of_fault() -> None:
    """Ten thousand calls meet all of them."""
    draw = FaultDraw(FaultPlan.level("hell"), 3)
    kinds = {fault.kind for n in range(10_000) if (fault := draw.draw("stop", str(n)))}
    assert kinds == set(EFFECTS)


def test_a_lost_answer_has_its_effect_and_a_reset_has_none() -> None:
    """This is the difference between the two; a hang may be either."""
    for kind, effect in EFFECTS.items():
        draw = FaultDraw(FaultPlan({kind: 1.0}), 4)
        effects = {fault.effective for n in range(100) if (fault := draw.draw("stop", str(n)))}
        expected = {Effect.DONE: {True}, Effect.NONE: {False}, Effect.EITHER: {True, False}}
        assert effects == expected[effect], kind


def test_a_401_never_comes_twice_in_a_row_for_one_call() -> None:
    """A client gives up at the second one."""
    draw = FaultDraw(FaultPlan({"expired_token": 1.0}), 1)
    assert [draw.draw("stop", "k") is not None for _ in range(4)] == [True, False, True, False]
    draw.note_refused_token("stop", "other")
    assert draw.draw("stop", "other") is None


def test_a_token_call_gets_only_faults_of_a_token_endpoint() -> None:
    """No lock is contended where no action is concerned."""
    draw = FaultDraw(FaultPlan.level(1.0), 1)
    kinds = {fault.kind for n in range(2000) if (fault := draw.draw("token", str(n)))}
    assert kinds == {"500", "502", "503", "504", "reset", "hang"}


@pytest.mark.parametrize("level", ["none", 0, "0", 0.0])
def test_no_faults_are_injected_at_level_none(level: str | float) -> None:
    """However they are asked for."""
    assert FaultPlan.level(level) == FaultPlan()
    assert FaultDraw(FaultPlan.level(level), 1).draw("stop", "k") is None


@pytest.mark.parametrize("level", ["lots", "1.5", -0.1, 2, "nan"])
def test_an_impossible_level_is_refused(level: str | float) -> None:
    with pytest.raises(ValueError, match=r"fault|float"):
        FaultPlan.level(level)


def test_an_unknown_kind_is_refused() -> None:
    """A misspelt kind would otherwise mean a run without faults."""
    with pytest.raises(ValueError, match="no fault is called"):
        FaultPlan({"resett": 0.1})
