"""From the status of an action to its outcome."""

from orchestrator.model import ActionState, Outcome, Status


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


def given_up(*, accepted: bool, possibly_stopped: bool) -> Outcome:
    """The outcome of an action whose end was not seen."""
    return Outcome.UNCONFIRMED if accepted or possibly_stopped else Outcome.UNREACHABLE


def file_is_due(state: ActionState) -> bool:
    """Whether the tenant makes a response file of an action in this terminal ``state``."""
    return state.status is not Status.FAILED and bool(state.records.processed)
