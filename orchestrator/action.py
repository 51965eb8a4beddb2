"""One key while a session works on it: from its claim until it is completed, parked or released."""

from enum import IntEnum

from msgspec import Struct, field

from orchestrator.errors import Kind
from orchestrator.model import ActionState, Outcome, Problem, Records


class Step(IntEnum):
    """The next step for an action."""

    STOP = 0
    """A stop is to be sent, or is in flight."""
    POLL = 1
    """No stop is due. The status decides."""
    FETCH = 2
    """The action is over. Its response file is missing."""


class Attempts(Struct):
    """The attempts of one call, in the session's seconds.

    Attributes:
        made: the number of attempts.
        counted: the failed attempts that count towards ``--max-attempts``, see :meth:`.engine.outage.Outage.covers`.
        failures: the kinds of the counted failures, the first one first.
        started_at: when the last attempt started.
        previous_at: when the previous attempt started. For the first attempt it is ``started_at``.
        in_outage: the last attempt started during an outage.
        unauthenticated_at: when the tenant began to refuse the credentials of each attempt, or None.
    """

    made: int = 0
    counted: int = 0
    failures: tuple[Kind, ...] = ()
    started_at: float = 0.0
    previous_at: float = 0.0
    in_outage: bool = False
    unauthenticated_at: float | None = None

    def begin(self, now: float, *, in_outage: bool) -> None:
        """Count one more attempt, which starts at ``now``."""
        self.previous_at = self.started_at if self.made else now
        self.started_at = now
        self.in_outage = in_outage
        self.made += 1

    def failed(self, kind: Kind) -> int:
        """Count one more failure of ``kind``. Return the number of failures of this kind."""
        self.counted += 1
        self.failures += (kind,)
        return self.failures.count(kind)


class Action(Struct):
    """One key of the run, in memory. The journal creates it from a row, and the journey changes it.

    Attributes:
        seq: the row's number in the journal.
        step: what happens next.
        accepted: the tenant accepted a stop of this run.
        possibly_stopped: a stop may have taken effect although its response was not seen.
        intent: the journal has an intent for a stop that has not left, or whose response is not known.
        in_flight: stops that have left and whose response is not known.
        probed: in an outage, the status was read in place of a stop, and no stop was sent since.
        stops: the stops sent so far.
        due: when the next call is due, in the session's seconds.
        problem: why the last stop failed.
        outcome: the outcome, if only the response file is missing.
        output_url: the address of that response file.
        action_type: the type that the status gave.
        counts: the last counts that the status gave.
        first_polled_at: when the status was first read after the stop, in the session's seconds.
        polls: readings since then that did not show the end.
    """

    seq: int
    bulk_key: str
    step: Step = Step.STOP
    accepted: bool = False
    possibly_stopped: bool = False
    intent: bool = False
    in_flight: int = 0
    probed: bool = False
    stops: Attempts = field(default_factory=Attempts)
    due: float = 0.0
    problem: Problem | None = None
    outcome: Outcome | None = None
    output_url: str | None = None
    action_type: str | None = None
    counts: Records = Records()
    first_polled_at: float | None = None
    polls: int = 0

    def read(self, state: ActionState) -> None:
        """Store the type and the counts that a status gives."""
        self.action_type = state.action_type or self.action_type
        self.counts = state.records
