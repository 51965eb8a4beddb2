"""From what was seen of an action to its outcome."""

from orchestrator.model import Outcome, Status


def verdict(status: Status, *, accepted: bool, lost: bool) -> Outcome:
    """The outcome of an action seen in the terminal ``status``.

    ``accepted``: the tenant took a stop of ours. ``lost``: it may have taken one whose answer we did not see.
    """
    match status:
        case Status.STOPPED:
            return Outcome.STOPPED if accepted or lost else Outcome.ALREADY_STOPPED
        case Status.COMPLETED:
            return Outcome.COMPLETED_BEFORE_STOP if accepted else Outcome.ALREADY_COMPLETED
        case Status.FAILED:
            return Outcome.ALREADY_FAILED
        case _:
            raise ValueError(f"{status} is not the end of an action")


def given_up(*, accepted: bool, lost: bool) -> Outcome:
    """The outcome of an action whose end was not seen."""
    return Outcome.UNCONFIRMED if accepted or lost else Outcome.UNREACHABLE
