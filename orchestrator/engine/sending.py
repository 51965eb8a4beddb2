"""Sending one stop: in a slot, with its intent on disk, and once more if it is slow."""

from asyncio import CancelledError

from orchestrator.action import Action
from orchestrator.clock import Clock
from orchestrator.engine.gate import Gate
from orchestrator.engine.hedge import Hedging
from orchestrator.engine.outage import Outage
from orchestrator.engine.ports import Tenant
from orchestrator.engine.queue import Priority
from orchestrator.engine.race import CallKind, Failure, Looked, Race, Send
from orchestrator.engine.reading import Reader, TrackIds
from orchestrator.engine.recorder import AcceptedStop, Recorder, as_problem
from orchestrator.engine.retry import Retry
from orchestrator.errors import NO_RESPONSE, CallError, TenantError
from orchestrator.journal.journal import Journal


class StopSender:
    """Sends one stop at a time for an action. Whether another one follows is decided by the journey."""

    def __init__(
        self,
        tenant: Tenant,
        journal: Journal,
        gate: Gate,
        hedging: Hedging,
        outage: Outage,
        recorder: Recorder,
        reader: Reader,
        retry: Retry,
        clock: Clock,
        track_ids: TrackIds,
    ) -> None:
        self._tenant = tenant
        self._journal = journal
        self._gate = gate
        self._hedging = hedging
        self._outage = outage
        self._recorder = recorder
        self._reader = reader
        self._retry = retry
        self._clock = clock
        self._track_ids = track_ids

    async def send(self, action: Action) -> AcceptedStop | Failure | Looked:
        """Send the stop whose intent is on disk, when it is due and has a slot.

        If there is an outage at that moment, every second probe of a key that may have been stopped reads its status. A
        tenant may carry out stops and be too slow to answer them. Then only the status shows what they did.

        Raises:
            Closed: no stop may leave any more.
            TenantError: there is no token.
        """
        race: Race[AcceptedStop | Looked, Action] = Race(self._hedging, CallKind.STOP, self._send, (action,))
        return await race.result()

    async def _send(self, send: Send, action: Action) -> AcceptedStop | Failure | Looked:
        """Send one stop.

        A hedge has an intent of its own, or that of the stop in place of which the status is read.
        """
        priority, due = (Priority.RETRY if action.stops.made or action.looked else Priority.STOP), action.due
        try:
            if send.is_hedge:
                priority, due = Priority.HEDGE, 0.0
                send.intent = action.in_flight > 0 or not action.intent
                if send.intent:
                    await self._journal.record_intent(action.seq, retried=False)
            async with self._gate.slot(priority, due):
                if self._outage.open and not action.looked and (action.possibly_stopped or action.in_flight):
                    return await self._look(action, send)
                return await self._call(send, action)
        finally:
            self._withdraw_intent(action, send)

    async def _look(self, action: Action, send: Send) -> Failure | Looked:
        action.looked = True
        self._withdraw_intent(action, send)
        with send:
            status = await self._reader.look(action)
        return status if isinstance(status, Failure) else Looked(status)

    def _withdraw_intent(self, action: Action, send: Send) -> None:
        if send.intent:
            send.intent = False
            self._journal.withdraw_hedge(action.seq)

    async def _call(self, send: Send, action: Action) -> AcceptedStop | Failure:
        action.looked = send.intent = False
        track_id, sent_at = self._track_ids.next(), self._clock.stamp()
        if send.is_hedge:
            self._recorder.hedged(action, "stop", track_id)
        else:
            action.stops.begin(self._clock.now(), in_outage=self._outage.open)
        self._recorder.stop_sent()
        action.in_flight += 1
        try:
            with send:
                request_id = await self._tenant.stop(action.bulk_key, track_id)
            return AcceptedStop(sent_at, track_id, request_id)
        except CallError as error:
            wait = self._failed(action, error, track_id, sent_at)
            return Failure(error, wait)
        except TenantError:
            action.in_flight -= 1
            action.stops.made -= not send.is_hedge  # it never left
            raise
        except CancelledError:
            if send.superseded:
                self._superseded(action, track_id, sent_at)
            raise

    def _failed(self, action: Action, error: CallError, track_id: str, sent_at: str) -> float | None:
        """Return the seconds until the next attempt, or None if no attempt is left."""
        action.in_flight -= 1
        action.intent = False
        action.possibly_stopped |= error.may_have_worked
        if error.kind not in NO_RESPONSE or action.problem is None or action.problem.kind in NO_RESPONSE:
            action.problem = as_problem(error)  # the last response says more than a later failure without one
        in_outage = self._outage.covers(error, action.stops)
        wait = self._retry.wait(action.stops, error, self._clock.now(), in_outage=in_outage)
        self._recorder.stop_failed(action, error, track_id, sent_at, wait=wait)
        self._outage.failed(error, action.stops.started_at)
        return wait

    def _superseded(self, action: Action, track_id: str, sent_at: str) -> None:
        """The stop was cancelled, and may have taken effect."""
        action.in_flight -= 1
        action.intent = False
        action.possibly_stopped = True
        self._recorder.stop_superseded(action, track_id, sent_at)
