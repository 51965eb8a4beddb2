"""What every lane of one run shares."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from orchestrator.clock import Clock
from orchestrator.engine.dispatcher import Dispatcher
from orchestrator.engine.guards import FailureGuard
from orchestrator.engine.ports import Tenant
from orchestrator.engine.retry import again, delay
from orchestrator.errors import CallError, Kind, MassStopError, TenantError
from orchestrator.journal.journal import Journal
from orchestrator.logs import Log
from orchestrator.model import Outcome, Problem
from orchestrator.progress import Tally
from orchestrator.settings import Settings

NO_ANSWER = frozenset({Kind.CONNECT_FAILED, Kind.CONNECTION_LOST, Kind.TIMEOUT})


class Tries:
    """The tries of one call for one key: how many, of what failures, and since when."""

    __slots__ = ("failures", "first_at", "made")

    def __init__(self) -> None:
        self.made = 0
        self.first_at = 0.0
        self.failures: dict[Kind, int] = {}

    def failed(self, kind: Kind) -> int:
        """Counts one more failure of ``kind``, and says how many that makes."""
        self.failures[kind] = self.failures.get(kind, 0) + 1
        return self.failures[kind]

    def begin(self, now: float) -> None:
        if not self.made:
            self.first_at = now
        self.made += 1


@dataclass
class Context:
    """The parts of a run, wired once.

    ``abort`` ends the sending of anything with a reason; ``settled`` is told the journal's number and the outcome of
    each key that comes to its end, ``unanswered`` each call that came to no answer, and ``away`` the last of so many
    that the tenant is taken for gone. ``guards`` count the keys that were tried. ``results_wait`` says whether results
    leave this process to other tenants for now; when that ends the dispatcher is kicked.
    """

    settings: Settings
    tenant: Tenant
    journal: Journal
    dispatcher: Dispatcher
    clock: Clock
    log: Log
    tally: Tally
    track_prefix: str
    abort: Callable[[MassStopError], None]
    settled: Callable[[int, Outcome], None] = lambda *_: None
    unanswered: Callable[[CallError], None] = lambda _: None
    away: Callable[[CallError], None] = lambda _: None
    guards: Sequence[FailureGuard] = ()
    results_wait: Callable[[], bool] = lambda: False
    random: Random = field(default_factory=Random)
    last_answer_at: float | None = None
    calls: int = 0

    def track_id(self) -> str:
        """A ``Zuora-Track-Id`` that no other call has: at most 64 ASCII characters."""
        self.calls += 1
        return f"{self.track_prefix}-{self.calls}"

    async def may_call(self, *, stop: bool = False) -> bool:
        """Waits for a token. False where the call must not leave: none came, or the run was cut meanwhile."""
        try:
            await self.tenant.authenticate()
        except TenantError as error:
            self.abort(error)
            return False
        return not (self.dispatcher.closed or (stop and self.dispatcher.lanes.stops_closed))

    def try_again_in(self, tries: Tries, error: CallError) -> float | None:
        """Seconds until a failed call is made once more, or None where its tries are used up."""
        if error.kind in NO_ANSWER:
            self.unanswered(error)
        failures = tries.failed(error.kind)
        most = self.settings.max_attempts
        if tries.made >= most or not again(error, failures, most):
            return None
        return delay(tries.made, error.retry_after, self.random.uniform)

    def answered_since(self, tries: Tries) -> bool:
        """Whether the tenant answered anybody since the first of ``tries``."""
        return self.last_answer_at is not None and self.last_answer_at >= tries.first_at

    def tries_ended(self, tries: Tries, error: CallError) -> None:
        """Tells that the tenant is gone, where all the tries of one call went by without it answering anybody."""
        if error.kind in NO_ANSWER and not self.answered_since(tries):
            self.away(error)


def as_problem(error: CallError) -> Problem:
    """``error`` as the report tells it."""
    return Problem(
        kind=error.kind.value,
        code=error.code,
        http_status=error.http_status,
        message=error.message,
        request_id=error.request_id,
        process_id=error.process_id,
    )
