"""Values that packages share. All are frozen. None depends on how it is sent, stored or shown."""

import re
from enum import IntEnum, StrEnum

from msgspec import Struct

_BULK_KEY = re.compile(r"[0-9A-Za-z]{32}", re.ASCII)
_SAFE_KEY = re.compile(r"[0-9A-Za-z._~-]{1,200}", re.ASCII)  # the characters that no URL encodes (RFC 3986)


def is_bulk_key(text: str) -> bool:
    """Whether ``text`` has the form of a bulk key: 32 ASCII letters or digits (Zuora API, mass actions)."""
    return _BULK_KEY.fullmatch(text) is not None


def is_safe_key(text: str) -> bool:
    """Whether ``text`` is one path segment that no client or server rewrites (``--any-key``)."""
    return _SAFE_KEY.fullmatch(text) is not None and text not in (".", "..")


PLAN = "plan "
"""The prefix of the name of a plan as a source; its directory follows."""


class Outcome(StrEnum):
    """The result of one row of the input, as in the report."""

    STOPPED = "stopped"
    ALREADY_STOPPED = "already_stopped"
    ALREADY_COMPLETED = "already_completed"
    ALREADY_FAILED = "already_failed"
    COMPLETED_BEFORE_STOP = "completed_before_stop"
    UNCONFIRMED = "unconfirmed"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"
    NOT_ATTEMPTED = "not_attempted"
    SKIPPED_BY_GUARD = "skipped_by_guard"
    MALFORMED = "malformed"
    WOULD_STOP = "would_stop"

    @property
    def is_over(self) -> bool:
        """Whether the action is over: it processes no more records."""
        return self in OVER


OVER = frozenset(
    {
        Outcome.STOPPED,
        Outcome.ALREADY_STOPPED,
        Outcome.ALREADY_COMPLETED,
        Outcome.ALREADY_FAILED,
        Outcome.COMPLETED_BEFORE_STOP,
    }
)
"""Outcomes after which the action processes no more records. A run with only these outcomes exits with 0."""

GOOD = OVER | {Outcome.WOULD_STOP}
"""Outcomes that need no person."""

RESUMABLE = frozenset({Outcome.UNCONFIRMED, Outcome.UNREACHABLE, Outcome.NOT_ATTEMPTED})
"""Outcomes that a resumed run may still change."""

FAILED = frozenset({Outcome.REJECTED, Outcome.UNREACHABLE, Outcome.NOT_ATTEMPTED})
"""Outcomes of completed keys that count for ``--max-failures``."""


class Status(StrEnum):
    """The states of a mass action (Zuora API, "Retrieve the status of a mass action")."""

    PENDING = "Pending"
    PROCESSING = "Processing"
    STOPPING = "Stopping"
    STOPPED = "Stopped"
    COMPLETED = "Completed"
    FAILED = "Failed"

    @property
    def terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = frozenset({Status.STOPPED, Status.COMPLETED, Status.FAILED})


class Stage(IntEnum):
    """How far a row of the journal is."""

    WAITING = 0
    """No stop was sent."""
    CLAIMED = 1
    """A stop may have left, or is due to be sent again."""
    POLLING = 2
    """No stop is due. The status decides."""
    OVER = 3
    """The outcome is known."""


class InputRow(Struct, frozen=True):
    """One record of the input.

    ``number`` is the physical line (from 1) on which the record starts. ``key`` is the bulk key, or for a malformed
    row the content of the key's cell. ``problem`` says why a row is malformed, and is None for a usable row.
    ``tenant`` is the name of its tenant, where a run has several.
    """

    number: int
    key: str
    labels: dict[str, str] = {}
    weight: float | None = None
    problem: str | None = None
    tenant: str = ""


class Window(Struct, frozen=True):
    """A rate limit: at most ``quota`` calls in ``seconds``."""

    quota: int
    seconds: int


class Limits(Struct, frozen=True):
    """The tenant's limits as one response reports them; None or empty if it does not.

    ``remaining`` (calls) and ``reset`` (seconds) describe the window nearest to exhaustion. Its quota is ``nearest``.
    """

    windows: tuple[Window, ...] = ()
    nearest: int | None = None
    remaining: int | None = None
    reset: float | None = None
    concurrency: int | None = None
    concurrency_remaining: int | None = None


class Records(Struct, frozen=True):
    """Counts of an action's records, and where they come from: ``response_file``, ``status`` or ``none``.

    ``held_by_group`` counts the unprocessed records behind a failed record of the same group. Only a response file
    shows them.
    """

    total: int | None = None
    processed: int | None = None
    succeeded: int | None = None
    failed: int | None = None
    unprocessed: int | None = None
    source: str = "none"
    held_by_group: int | None = None


def add_known(one: int | None, other: int | None) -> int | None:
    """Return the sum of two counts. An unknown count (None) adds nothing. The sum of two unknown counts is None."""
    return one if other is None else other if one is None else one + other


class Provenance(Struct, frozen=True, omit_defaults=True):
    """The uploader of an action, and when it was uploaded, started and ended.

    The times are the tenant's own text: its zone is not documented.
    """

    uploaded_by: str | None = None
    uploaded_on: str | None = None
    started_on: str | None = None
    ended_on: str | None = None


class ActionState(Struct, frozen=True):
    """The state of a mass action as one status call shows it. ``output_url`` is the address of its response file."""

    status: Status
    action_type: str | None = None
    provenance: Provenance = Provenance()
    records: Records = Records()
    output_url: str | None = None


class Reading(Struct, frozen=True):
    """A state as one call reported it. ``retried``: that call repeated a failed call."""

    state: ActionState
    retried: bool


class Problem(Struct, frozen=True):
    """The report's ``error`` of one action: the last failure that mattered."""

    kind: str
    code: int | None = None
    http_status: int | None = None
    message: str = ""
    request_id: str | None = None
    process_id: str | None = None


class Answered(Struct, frozen=True):
    """The details of one response besides its meaning.

    ``seconds`` is the duration of the call. ``date`` is the tenant's clock. ``by_api`` is False if a gateway responded
    instead of the API.
    """

    limits: Limits
    http_status: int
    throttled: bool
    retry_after: float | None
    seconds: float
    date: str | None = None
    by_api: bool = True


class Grant(Struct, frozen=True):
    """The details of a token: its lifetime in seconds, its scope, and the entities in the scope.

    ``scope`` is shortened for display, and None if the tenant sends no scope. ``entities`` are ids in the form of
    :func:`plain_entity`.
    """

    seconds: float
    scope: str | None = None
    entities: frozenset[str] = frozenset()


def plain_entity(entity: str) -> str:
    """Return an entity id in the form in which ids are compared: lower case, without hyphens."""
    return entity.replace("-", "").lower()
