"""One reading of one key's status, with all that is written down about it: what the lanes have in common."""

from typing import Protocol

from msgspec import Struct

from orchestrator.engine.context import Context, Tries, as_problem
from orchestrator.errors import CallError, Kind, TenantError
from orchestrator.logs import Log
from orchestrator.model import ActionState, Problem, Reading


class Read(Protocol):
    """A key, as far as reading it needs to know it."""

    @property
    def seq(self) -> int: ...

    @property
    def bulk_key(self) -> str: ...

    @property
    def log(self) -> Log: ...


class Failed(Struct, frozen=True):
    """A call that failed. ``wait`` is the seconds until it is made again, None where its tries are used up."""

    error: CallError
    problem: Problem
    wait: float | None


async def read_status(context: Context, key: Read, tries: Tries) -> Reading | Failed | None:
    """Reads the status of ``key`` once; None where the run can make no call any more.

    A failure is journalled here. A reading is left to the caller: to :func:`keep`, or to journal with what it settles.
    """
    if not await context.may_call():
        return None
    track_id = context.track_id()
    retried = tries.made > 0
    tries.begin(context.clock.now())
    try:
        state = await context.tenant.status(key.bulk_key, track_id)
    except CallError as error:
        return call_failed(context, key, tries, "status", error, track_id, retried=retried)
    except TenantError as error:
        context.abort(error)
        return None
    return Reading(state, retried)


def keep(context: Context, key: Read, reading: Reading) -> ActionState:
    """Journals ``reading`` and gives its state."""
    state = reading.state
    context.journal.status_read(
        key.seq, state.status, state.action_type, state.records, retried=reading.retried
    )
    return state


def call_failed(
    context: Context, key: Read, tries: Tries, call: str, error: CallError, track_id: str, *, retried: bool
) -> Failed:
    """Journals a failed ``status`` or ``file`` call, and decides whether it is made again."""
    problem = as_problem(error)
    throttled = error.kind is Kind.THROTTLED
    wait = context.try_again_in(tries, error)
    context.tally.throttled += throttled
    context.tally.retries += wait is not None
    context.journal.read_failed(key.seq, call, track_id, problem, throttled=throttled, retried=retried)
    key.log.debug(
        "read.failed", call=call, kind=error.kind, code=error.code, http_status=error.http_status, track_id=track_id,
        request_id=error.request_id, attempt=tries.made, again_in=wait and round(wait, 3), message=error.message,
    )  # fmt: skip
    return Failed(error, problem, wait)
