"""From the status of an action to its outcome: the whole table."""

import pytest

from orchestrator.engine.verdict import outcome_of_refusal, outcome_without_status, verdict
from orchestrator.errors import NO_RESPONSE, Kind
from orchestrator.model import OVER, Outcome, Problem, Status

ENDS = [status for status in Status if status.terminal]


@pytest.mark.parametrize(
    ("status", "accepted", "possibly_stopped", "outcome"),
    [
        (Status.STOPPED, True, False, Outcome.STOPPED),
        (Status.STOPPED, True, True, Outcome.STOPPED),
        # The stop whose answer was lost may well be the one that stopped it.
        (Status.STOPPED, False, True, Outcome.STOPPED),
        (Status.STOPPED, False, False, Outcome.ALREADY_STOPPED),
        (Status.COMPLETED, True, False, Outcome.COMPLETED_BEFORE_STOP),
        (Status.COMPLETED, True, True, Outcome.COMPLETED_BEFORE_STOP),
        # No status showed our stop as accepted: the weaker claim is reported.
        (Status.COMPLETED, False, True, Outcome.ALREADY_COMPLETED),
        (Status.COMPLETED, False, False, Outcome.ALREADY_COMPLETED),
        (Status.FAILED, True, False, Outcome.ALREADY_FAILED),
        (Status.FAILED, True, True, Outcome.ALREADY_FAILED),
        (Status.FAILED, False, True, Outcome.ALREADY_FAILED),
        (Status.FAILED, False, False, Outcome.ALREADY_FAILED),
    ],
)
def test_the_end_of_an_action_gives_its_outcome(status, accepted, possibly_stopped, outcome):
    assert verdict(status, accepted=accepted, possibly_stopped=possibly_stopped) is outcome


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("possibly_stopped", [True, False])
@pytest.mark.parametrize("status", ENDS)
def test_an_action_seen_at_its_end_is_over(status, accepted, possibly_stopped):
    assert verdict(status, accepted=accepted, possibly_stopped=possibly_stopped) in OVER


@pytest.mark.parametrize("accepted", [True, False])
@pytest.mark.parametrize("possibly_stopped", [True, False])
@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
def test_no_action_is_stopped_unless_its_status_is_stopped(status, accepted, possibly_stopped):
    outcome = verdict(status, accepted=accepted, possibly_stopped=possibly_stopped)
    assert outcome not in (Outcome.STOPPED, Outcome.ALREADY_STOPPED)


@pytest.mark.parametrize("status", [status for status in Status if not status.terminal])
def test_an_action_still_under_way_has_no_verdict(status):
    with pytest.raises(ValueError, match="not the end"):
        verdict(status, accepted=True, possibly_stopped=False)


@pytest.mark.parametrize(("accepted", "possibly_stopped"), [(True, False), (True, True), (False, True)])
@pytest.mark.parametrize("kind", [None, *Kind])
def test_an_action_that_may_have_been_stopped_is_unconfirmed(accepted, possibly_stopped, kind):
    problem = kind and Problem(kind)
    found = outcome_without_status(problem, accepted=accepted, possibly_stopped=possibly_stopped)
    assert found is Outcome.UNCONFIRMED


@pytest.mark.parametrize("kind", [*Kind])
def test_the_last_response_names_an_action_whose_end_was_not_seen(kind):
    expected = Outcome.UNREACHABLE if kind in NO_RESPONSE else Outcome.UNCONFIRMED
    if kind is Kind.UNAUTHENTICATED:
        expected = Outcome.NOT_ATTEMPTED
    assert outcome_without_status(Problem(kind), accepted=False, possibly_stopped=False) is expected


def test_a_key_refused_for_its_credentials_was_not_attempted():
    assert outcome_of_refusal(Problem(Kind.UNAUTHENTICATED)) is Outcome.NOT_ATTEMPTED
    assert outcome_of_refusal(Problem(Kind.NOT_FOUND)) is Outcome.REJECTED
