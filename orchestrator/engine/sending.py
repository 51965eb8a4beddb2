"""Sends one stop: in a slot, with its intent on disk, and once more if it is slow."""

from asyncio import CancelledError

from msgspec import Struct

from orchestrator.action import Action
from orchestrator.clock import Clock
from orchestrator.engine.gate import Gate
from orchestrator.engine.hedge import Hedging
from orchestrator.engine.outage import Outage
from orchestrator.engine.ports import Tenant
from orchestrator.engine.queue import Priority
from orchestrator.engine.race import CallKind, Failure, Probed, Race, Send
from orchestrator.engine.reading import Reader, TrackIds
from orchestrator.engine.recorder import AcceptedStop, Recorder, as_problem
from orchestrator.engine.retry import Retry
from orchestrator.errors import NO_RESPONSE, CallError, TenantError


class StopSender(Struct, eq=False):
    """Sends one stop of an action. The journey decides whether another one follows."""

    _tenant: Tenant
    _gate: Gate
    _hedging: Hedging
    _outage: Outage
    _recorder: Recorder
    _reader: Reader
    _retry: Retry
    _clock: Clock
    _track_ids: TrackIds

    async def send(self, action: Action) -> AcceptedStop | Failure | Probed:
        """Send the stop whose intent is on disk, when it is due and has a slot.

        If there is an outage at that moment, every second probe of a key that may have been stopped reads its status. A
        tenant may carry out stops and be too slow to answer them. Then only the status shows what they did.

        Raises:
            Closed: no stop may leave any more.
            TenantError: there is no token.
        """
        race: Race[AcceptedStop | Probed, Action] = Race(self._hedging, CallKind.STOP, self._send, (action,))
        return await race.result()

    async def _send(self, send: Send, action: Action) -> AcceptedStop | Failure | Probed:
        """Send one stop.

        A hedge needs an intent of its own, unless the send beside it is a probe: then the action's intent is unused.
        """
        due = action.due
        if send.is_hedge:
            priority, due = Priority.HEDGE, 0.0
        elif action.stops.made or action.probed:
            priority = Priority.RETRY
        else:
            priority = Priority.STOP
        try:
            if send.is_hedge and (action.in_flight > 0 or not action.intent):
                send.intent = True
                await self._recorder.hedge_intent(action)
            async with self._gate.slot(priority, due):
                if self._outage.open and not action.probed and (action.possibly_stopped or action.in_flight):
                    return await self._probe(action, send)
                return await self._call(send, action)
        finally:
            self._withdraw_intent(action, send)

    async def _probe(self, action: Action, send: Send) -> Failure | Probed:
        action.probed = True
        self._withdraw_intent(action, send)
        with send:
            return await self._reader.probe(action)

    def _withdraw_intent(self, action: Action, send: Send) -> None:
        if send.intent:
            send.intent = False
            self._recorder.hedge_unsent(action)

    async def _call(self, send: Send, action: Action) -> AcceptedStop | Failure:
        action.probed = send.intent = False
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
