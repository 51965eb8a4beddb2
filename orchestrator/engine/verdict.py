"""From the status of an action to its outcome."""

from orchestrator.engine.retry import is_final
from orchestrator.errors import NO_RESPONSE, CallError, Kind
from orchestrator.model import ActionState, Outcome, Problem, Status


def verdict(status: Status, *, accepted: bool, possibly_stopped: bool) -> Outcome:
    """The outcome of an action whose ``status`` is terminal.

    ``accepted``: the tenant accepted a stop. ``possibly_stopped``: a stop may have taken effect unseen.
    """
    match status:
        case Status.STOPPED:
            return Outcome.STOPPED if accepted or possibly_stopped else Outcome.ALREADY_STOPPED
        case Status.COMPLETED:
            return Outcome.COMPLETED_BEFORE_STOP if accepted else Outcome.ALREADY_COMPLETED
        case Status.FAILED:
            return Outcome.ALREADY_FAILED
        case _:
            raise ValueError(f"{status} is not the end of an action")


def outcome_of_refusal(problem: Problem) -> Outcome:
    """The outcome of an action for which the API refused a call for good."""
    return Outcome.NOT_ATTEMPTED if problem.kind == Kind.UNAUTHENTICATED else Outcome.REJECTED


def outcome_of_unread(error: CallError, problem: Problem, *, possibly_stopped: bool) -> Outcome:
    """The outcome of an action whose status could not be read before its stop (``--expect-…``). No stop is sent.

    ``problem`` is ``error`` as the report shows it. ``possibly_stopped``: an earlier session sent a stop.
    """
    if possibly_stopped:
        return Outcome.UNCONFIRMED
    if is_final(error.kind):
        return outcome_of_refusal(problem)
    return Outcome.UNREACHABLE if error.kind in NO_RESPONSE else Outcome.NOT_ATTEMPTED


def outcome_of_running(problem: Problem | None) -> Outcome:
    """The outcome of an action that still runs, after its last stop failed with ``problem``."""
    # The tenant responds, so the action is not unreachable.
    unauthenticated = problem is not None and problem.kind == Kind.UNAUTHENTICATED
    return Outcome.NOT_ATTEMPTED if unauthenticated else Outcome.UNCONFIRMED


def outcome_without_status(problem: Problem | None, *, accepted: bool, possibly_stopped: bool) -> Outcome:
    """The outcome of an action whose end was not seen. The view ``reported_action`` of the journal decides alike.

    ``problem`` is the last response to a stop, or why no stop got a response.
    """
    if accepted or possibly_stopped:
        return Outcome.UNCONFIRMED
    if problem is not None and problem.kind == Kind.UNAUTHENTICATED:
        return Outcome.NOT_ATTEMPTED
    if problem is not None and problem.kind in NO_RESPONSE:
        return Outcome.UNREACHABLE
    return Outcome.UNCONFIRMED


def file_is_due(state: ActionState) -> bool:
    """Whether the tenant makes a response file of an action in this terminal ``state``."""
    return state.status is not Status.FAILED and bool(state.records.processed)
