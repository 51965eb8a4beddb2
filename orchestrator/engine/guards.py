"""What may keep a stop from being sent: expectations of the action, and too many failures of the run."""

from orchestrator.errors import MassStopError
from orchestrator.model import ActionState, Outcome, Problem
from orchestrator.settings import Settings, Threshold

FAILURES = frozenset({Outcome.REJECTED, Outcome.UNREACHABLE})
PERCENTAGE_FROM = 20
"""A percentage of failures says little of the first few keys; it counts from this one on."""


class TooManyFailures(MassStopError):
    """``--max-failures`` was reached."""

    exit_status = 4


class DeadlineReached(MassStopError):
    """``--deadline`` was reached."""

    exit_status = 4


class Expectations:
    """What ``--expect-action-type`` and ``--expect-uploaded-by`` want of an action; false where they want nothing."""

    def __init__(self, settings: Settings) -> None:
        self._types = {text.lower() for text in settings.expect_action_type}
        self._uploaders = {text.lower() for text in settings.expect_uploaded_by}

    def __bool__(self) -> bool:
        return bool(self._types or self._uploaders)

    def problem(self, state: ActionState) -> Problem | None:
        """Why ``state`` is not as expected, or None where it is."""
        if self._types and (state.action_type or "").lower() not in self._types:
            return _unexpected(f"its action type is {state.action_type or 'not told'}")
        if self._uploaders and (state.uploaded_by or "").lower() not in self._uploaders:
            return _unexpected(f"it was uploaded by {state.uploaded_by or 'nobody that is told'}")
        return None


class FailureGuard:
    """Counts outcomes against ``--max-failures``.

    A share is of the keys tried: those with an accepted stop, and those that came to their end without one. Of keys
    that are over it would be nearly all, since a refusal is over at once and an accepted stop has yet to be followed.
    """

    def __init__(self, threshold: Threshold | None) -> None:
        self._threshold = threshold
        self._failures = 0

    def settled(self, outcome: Outcome, tried: int) -> TooManyFailures | None:
        """The end of the run, where ``outcome`` is one failure too many among the keys ``tried``."""
        self._failures += outcome in FAILURES
        return self.reached(self._failures, tried) if outcome in FAILURES else None

    def reached(self, failures: int, tried: int) -> TooManyFailures | None:
        """The end of the run, where ``failures`` are too many among the keys ``tried``."""
        if self._threshold is None:
            return None
        count, share = self._threshold.count, self._threshold.share
        too_many = (count is not None and failures >= count) or (
            share is not None and tried >= PERCENTAGE_FROM and failures / tried >= share
        )
        if not too_many:
            return None
        return TooManyFailures(
            f"{failures} of {tried} keys were refused or unreachable: --max-failures stopped the sending."
        )


def _unexpected(why: str) -> Problem:
    return Problem(kind="unexpected_action", message=f"The action was left alone: {why}.")
