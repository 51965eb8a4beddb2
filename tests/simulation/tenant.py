"""A tenant in memory with a known true state, and the faults of each call."""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from orchestrator.errors import CallError, Kind, MassStopError, TenantError
from orchestrator.model import ActionState, Answered, Limits, Provenance, Records, Status
from tests.simulation.virtual import R, now


def bulk_key(number: int) -> str:
    return f"{number:032x}"


@dataclass
class Action:
    """One mass action: Pending, Processing at ``speed`` records per second, then Completed; or stopped.

    A stop of a running action takes effect at once, and the action is Stopping for ``stopping_for`` seconds. At
    ``others_stop_at``, another user sends a stop. ``refuses`` is the response to a stop and a status in any state.
    ``file_address`` replaces the tenant's usual address of the response file. No status contains an address before
    ``file_named_at``.
    """

    bulk_key: str
    starts_at: float = 0.0
    speed: float = 0.0
    total: int = 100
    stopping_for: float = 1.0
    born: Status = Status.PROCESSING
    action_type: str = "MPU"
    uploaded_by: str = "ada@example.com"
    refuses: Kind | None = None
    has_file: bool = True
    file_address: str | None = None
    file_named_at: float = 0.0
    archived: bool = False
    others_stop_at: float | None = None
    stopped_at: float | None = None

    def processed(self, at: float) -> int:
        until = at if self.stopped_at is None else min(at, self.stopped_at)
        return min(self.total, int(max(0.0, until - self.starts_at) * self.speed))

    def status(self, at: float) -> Status:
        if self.born.terminal:
            return self.born
        others = self.others_stop_at
        if (
            self.stopped_at is None
            and others is not None
            and at >= others
            and self.processed(others) < self.total
        ):
            self.stopped_at = others
        if self.stopped_at is not None and at >= self.stopped_at:
            return Status.STOPPED if at >= self.stopped_at + self.stopping_for else Status.STOPPING
        if at < self.starts_at:
            return Status.PENDING
        return Status.COMPLETED if self.processed(at) >= self.total else Status.PROCESSING

    def records(self, at: float) -> Records:
        if self.status(at) is Status.PENDING:
            return Records()
        done = self.total if self.born is Status.COMPLETED else self.processed(at)
        return Records(self.total, done, done, 0, self.total - done, "status")

    def stop(self, at: float) -> bool:
        """Return whether the tenant accepts the stop."""
        if self.status(at) not in (Status.PENDING, Status.PROCESSING):
            return False
        self.stopped_at = at
        return True


@dataclass(frozen=True)
class Fault:
    """The fault of one call: the error, whether the tenant acts before it, and the duration of the call in seconds.

    With ``later``, the tenant acts so many seconds after the response, because a gateway gave up and the tenant did
    not. With ``acts_after``, the tenant acts after so many seconds, otherwise in the middle of the call.
    """

    error: MassStopError
    works: bool = False
    seconds: float | None = None
    later: float | None = None
    acts_after: float | None = None


def fault(kind: Kind, *, works: bool = False, seconds: float | None = None, **fields: Any) -> Fault:
    return Fault(
        CallError(kind, f"scripted: {kind}", by_api=kind not in NOT_BY_API, **fields), works, seconds
    )


def lost(*, works: bool = True, seconds: float = 30.0) -> Fault:
    """Return a fault where the response never arrives."""
    return fault(Kind.TIMEOUT, works=works, seconds=seconds, may_have_worked=True)


def throttled(retry_after: float | None = None) -> Fault:
    return fault(Kind.THROTTLED, http_status=429, retry_after=retry_after)


@dataclass
class Call:
    """One call at the tenant. ``answer`` is None while the call is in flight, and for ever if it was cancelled."""

    name: str
    bulk_key: str
    at: float
    track_id: str
    ended_at: float | None = None
    answer: str | None = None
    took_effect: bool = False


NOT_BY_API = frozenset(
    {
        Kind.TIMEOUT, Kind.CONNECTION_LOST, Kind.CONNECT_FAILED, Kind.SERVER, Kind.MALFORMED_ANSWER, Kind.GATEWAY,
        Kind.REDIRECTED,
    }
)  # fmt: skip
"""Failures that the network or a gateway causes."""

UNANSWERED = frozenset({Kind.TIMEOUT, Kind.CONNECTION_LOST, Kind.CONNECT_FAILED})

Script = Callable[[str, str, int], Fault | None]
"""Returns the fault of the n-th call (from 1) of a kind for a key, or None."""


def scripted(**faults: Mapping[int, Sequence[Fault]]) -> Script:
    """Return a script of the first calls for a key: ``scripted(stop={7: [lost()]})`` for key 7. Later calls succeed."""
    by_key = {
        name: {bulk_key(number): list(befall) for number, befall in keys.items()}
        for name, keys in faults.items()
    }

    def script(name: str, key: str, n: int) -> Fault | None:
        befall = by_key.get(name, {}).get(key, [])
        return befall[n - 1] if n <= len(befall) else None

    return script


class VirtualTenant:
    """A tenant in memory. Reports are compared with its state."""

    def __init__(
        self,
        actions: Iterable[Action],
        *,
        latency: Callable[[], float] = lambda: 0.08,
        script: Script = lambda name, key, n: None,
        refuses_credentials: MassStopError | None = None,
        token_at: float = 0.0,
        stale: Callable[[], float] = lambda: 0.0,
        outlives: Callable[[Call], bool] = lambda call: False,
    ) -> None:
        self.actions = {action.bulk_key: action for action in actions}
        self.calls: list[Call] = []
        self.counts: Counter[tuple[str, str]] = Counter()
        self.in_flight = 0
        self.most_in_flight = 0
        self.cut_off = False
        self.answered: Callable[[Answered], None] = lambda answer: None
        self._latency = latency
        self._script = script
        self._refuses_credentials = refuses_credentials
        self._token_at = token_at
        self._stale = stale
        self._outlives = outlives

    def of(self, name: str, key: str | None = None) -> list[Call]:
        return [call for call in self.calls if call.name == name and (key is None or call.bulk_key == key)]

    def redact(self, text: str) -> str:
        return text

    @property
    def has_token(self) -> bool:
        return False

    async def authenticate(self) -> None:
        await asyncio.sleep(max(0.0, self._token_at - now()))
        if self._refuses_credentials is not None:
            await asyncio.sleep(self._latency())
            raise self._refuses_credentials

    async def stop(self, bulk_key: str, track_id: str) -> str | None:
        def work(action: Action, call: Call) -> None:
            if not action.stop(now()):
                raise CallError(
                    Kind.WRONG_STATE,
                    "the action is in the wrong state",
                    code=50000030,
                    http_status=200,
                    by_api=True,
                )
            call.took_effect = True

        await self._call("stop", bulk_key, track_id, work)
        return f"request-{len(self.calls)}"

    async def status(self, bulk_key: str, track_id: str) -> ActionState:
        def work(action: Action, call: Call) -> ActionState:
            action.status(now())  # first applies earlier changes by others, also if this response is stale
            seen_at = max(0.0, now() - self._stale())
            status = action.status(seen_at)
            over = status in (Status.STOPPED, Status.COMPLETED)
            return ActionState(
                status, action.action_type, Provenance(action.uploaded_by), records=action.records(seen_at),
                output_url=action.file_address or f"https://tenant.invalid/v1/files/{bulk_key}"
                if over and action.has_file and now() >= action.file_named_at
                else None,
            )  # fmt: skip

        return await self._call("status", bulk_key, track_id, work)

    async def download(
        self,
        address: str,
        track_id: str,
        write: Callable[[bytes], Awaitable[object]],
        on_headers: Callable[[], object],
    ) -> None:
        def work(action: Action, call: Call) -> bytes:
            if action.archived:
                raise CallError(Kind.NOT_FOUND, "no such file", code=50000040, http_status=404, by_api=True)
            return msgspec.json.encode(action.records(now()))

        await write(await self._call("file", address.rpartition("/")[2], track_id, work))

    async def archived(self, address: str, track_id: str) -> str | None:
        def work(action: Action, call: Call) -> str | None:
            return "Archived: restore it with PUT /restore." if action.archived else None

        return await self._call("file status", address.rpartition("/")[2], track_id, work)

    def _seconds(self, name: str, key: str) -> float:
        """Return the duration of a call that starts now, in seconds."""
        return self._latency()

    def _limits(self) -> Limits:
        """Return the limits in a response of the API now. A refusal because of a limit contains none."""
        return Limits()

    async def _call(self, name: str, key: str, track_id: str, work: Callable[[Action, Call], R]) -> R:
        if self._refuses_credentials is not None:
            await asyncio.sleep(self._latency())
            raise self._refuses_credentials
        call = Call(name, key, now(), track_id)
        if not self.cut_off:
            self.calls.append(call)
            self.counts[name, key] += 1
        befalls = self._script(name, key, self.counts[name, key])
        seconds = self._seconds(name, key)
        if befalls is not None and befalls.seconds is not None:
            seconds = befalls.seconds
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            there = seconds / 2
            if befalls is not None and befalls.acts_after is not None:
                there = befalls.acts_after
            await self._way_there(call, there, lambda action: work(action, call))
            result, error = self._truth(name, key, call, work, befalls)
            await asyncio.sleep(seconds - there)
        finally:
            self.in_flight -= 1
        call.ended_at = now()
        call.answer = "ok" if error is None else getattr(error, "kind", "tenant error")
        self._report_answer(error, seconds)
        if error is not None:
            raise error
        return result

    def _truth(
        self, name: str, key: str, call: Call, work: Callable[[Action, Call], R], befalls: Fault | None
    ) -> tuple[Any, MassStopError | None]:
        """Return the effect and the response of a call. A tenant that was cut off does nothing."""
        if self.cut_off:
            return None, CallError(Kind.CONNECTION_LOST, "the process is dead")
        action = self.actions.get(key)
        if (
            befalls is not None
            and befalls.later is not None
            and action is not None
            and action.refuses is None
        ):
            self._later(befalls.later, action, lambda action: work(action, call))
        if befalls is not None and not befalls.works:
            return None, befalls.error
        if action is None:
            return None, CallError(
                Kind.NOT_FOUND, "there is no such action", code=50000040, http_status=200, by_api=True
            )
        if action.refuses is not None:
            return None, CallError(action.refuses, f"refused: {action.refuses}", http_status=200, by_api=True)
        try:
            result = work(action, call)
        except CallError as error:
            return None, befalls.error if befalls else error
        return result, befalls.error if befalls else None

    async def _way_there(self, call: Call, seconds: float, work: Callable[[Action], object]) -> None:
        """Wait until the request arrives. It may arrive although its sender was cancelled in transit.

        This depends on the call alone, and not on the number of earlier cancelled calls. A task group cancels its tasks
        in the order of a set, which differs in each run.
        """
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            action = self.actions.get(call.bulk_key)
            if action is not None and action.refuses is None and self._outlives(call):
                self._later(seconds, action, work)
            raise

    def _later(self, seconds: float, action: Action, work: Callable[[Action], object]) -> None:
        def late() -> None:
            with suppress(CallError):
                work(action)

        asyncio.get_running_loop().call_later(seconds, late)

    def _report_answer(self, error: MassStopError | None, seconds: float) -> None:
        kind = getattr(error, "kind", None)
        if self.cut_off or kind in UNANSWERED or isinstance(error, TenantError):
            return
        retry_after = getattr(error, "retry_after", None)
        by_api = error is None or getattr(error, "by_api", False)
        limits = self._limits() if by_api and kind is not Kind.THROTTLED else Limits()
        self.answered(Answered(limits, 200, kind is Kind.THROTTLED, retry_after, seconds, by_api=by_api))


def actions_of(count: int, first: int = 1, **fields: Any) -> list[Action]:
    """Return running actions for ``count`` keys, starting with number ``first``."""
    return [Action(bulk_key(number), **fields) for number in range(first, first + count)]


def ideal(count: int, slots: int, latency: float) -> float:
    """Return the shortest time for ``count`` calls, in the unit of ``latency``."""
    return math.ceil(count / slots) * latency
