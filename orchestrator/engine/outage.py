"""When a tenant that does not answer is given up."""

from orchestrator.engine.backlog import Backlog
from orchestrator.engine.cutoff import Cutoff
from orchestrator.engine.gate import Gate
from orchestrator.engine.pace import Pace
from orchestrator.errors import CallError, Kind, TenantUnreachable


class Outage:
    """Counts calls without a response, and ends the run if the tenant is gone.

    A tenant may carry out stops and be too slow to answer them. Before the run gives up, it therefore stops sending and
    polls every key that may have been stopped. It is cancelled only if a poll is not answered either.
    """

    def __init__(self, max_attempts: int, gate: Gate, pace: Pace, backlog: Backlog, cutoff: Cutoff) -> None:
        self._max_attempts = max_attempts
        self._gate = gate
        self._pace = pace
        self._backlog = backlog
        self._cutoff = cutoff
        self._responses_before: int | None = None
        self._stops_in_flight = 0

    @property
    def _checking(self) -> bool:
        """Whether the first poll after the end of sending is still to be answered."""
        return self._responses_before == self._pace.responses

    def unanswered(self, error: CallError) -> None:
        """One call got no response. Must be called before its slot is released."""
        self._pace.unanswered()
        if self._checking and self._stops_in_flight > 0:
            self._stops_in_flight -= 1  # it left before the end of sending, so it says nothing new
        elif self._checking or self._pace.pacer.circuit.failed_probes >= self._max_attempts:
            self._give_up(error)

    def attempts_exhausted(self, error: CallError, since: float) -> None:
        """All attempts of one call got no response. The first of them started at ``since``."""
        if not self.answered_since(since) and not self._checking:
            self._give_up(error)

    def answered_since(self, since: float) -> bool:
        """Whether any call was answered since then."""
        return self._pace.last_response_at >= since

    def _give_up(self, error: CallError) -> None:
        if self._cutoff.sending and self._backlog.any_possibly_stopped():
            advice = " A longer --timeout may help." if error.kind is Kind.TIMEOUT else ""
            self._responses_before, self._stops_in_flight = self._pace.responses, self._gate.in_flight - 1
            self._cutoff.stop_sending(
                TenantUnreachable(f"The tenant answers no stop any more: {error.message}{advice}"),
                if_keys_remain=True,
            )
        else:
            self._cutoff.cancel(TenantUnreachable(f"The tenant does not answer any more: {error.message}"))
