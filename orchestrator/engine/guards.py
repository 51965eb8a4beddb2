"""The guards that prevent a stop: expectations of the action, and too many failures of the run."""

from orchestrator.engine.cutoff import Cutoff
from orchestrator.errors import MassStopError
from orchestrator.model import ActionState, Problem
from orchestrator.settings import Settings, Threshold

PERCENTAGE_FROM = 20
"""A percentage of failures says little of the first few keys; it counts from this one on."""


class TooManyFailures(MassStopError):
    """``--max-failures`` or ``--max-failures-total`` was reached."""

    exit_status = 4


class Expectations:
    """The values that ``--expect-action-type`` and ``--expect-uploaded-by`` require; false if they require nothing."""

    def __init__(self, settings: Settings) -> None:
        self._types = {text.lower() for text in settings.expect_action_type}
        self._uploaders = {text.lower() for text in settings.expect_uploaded_by}

    def __bool__(self) -> bool:
        return bool(self._types or self._uploaders)

    def problem(self, state: ActionState) -> Problem | None:
        """Why ``state`` is not as expected, or None where it is."""
        if self._types and (state.action_type or "").lower() not in self._types:
            return _unexpected(f"its action type is {state.action_type or 'not known'}")
        uploader = state.provenance.uploaded_by
        if self._uploaders and (uploader or "").lower() not in self._uploaders:
            return _unexpected(f"it was uploaded by {uploader or 'an unknown user'}")
        return None


class FailureGuard:
    """Ends the sending of a run or of a tenant's part, through ``cutoff``, once too many of its keys have failed.

    ``in_all``: it counts the keys of all tenants, as ``--max-failures-total`` does.

    A percentage refers to the keys tried: those with an accepted stop, and those completed without one. Referring to
    completed keys it would nearly always be 100: a refused key is completed at once, an accepted one after polling.
    """

    def __init__(self, threshold: Threshold, cutoff: Cutoff, *, in_all: bool = False) -> None:
        self._threshold = threshold
        self._cutoff = cutoff
        self._in_all = in_all
        self._failures = 0
        self._tried = 0

    def accepted(self) -> None:
        """A key's stop was accepted."""
        self._tried += 1
        if self._tried == PERCENTAGE_FROM:  # from then on an accepted key only lowers the percentage
            self._check()

    def ended(self, *, failed: bool) -> None:
        """A key was completed without an accepted stop. ``failed``: it was refused or unreachable."""
        self._tried += 1
        self._failures += failed
        if failed or self._tried == PERCENTAGE_FROM:
            self._check()

    def _check(self) -> None:
        error = too_many(self._threshold, self._failures, self._tried, in_all=self._in_all)
        if error is not None:
            self._cutoff.stop_sending(error)


def too_many(
    threshold: Threshold | None, failures: int, tried: int, *, in_all: bool
) -> TooManyFailures | None:
    """The end of the sending, where ``failures`` are too many among the keys ``tried``; ``in_all``: of all tenants."""
    if threshold is None:
        return None
    count, share = threshold.count, threshold.share
    reached = (count is not None and failures >= count) or (
        share is not None and tried >= PERCENTAGE_FROM and failures / tried >= share
    )
    if not reached:
        return None
    option = "--max-failures-total" if in_all else "--max-failures"
    return TooManyFailures(
        f"{failures} of {tried} keys were refused or unreachable: {option} stopped the sending."
    )


def _unexpected(why: str) -> Problem:
    return Problem(kind="unexpected_action", message=f"The action was left alone: {why}.")
