"""The values that the journal gives out, and how they are read from it."""

import hashlib
from collections.abc import Iterable
from typing import Any, Literal

import msgspec
from msgspec import Struct

from orchestrator.action import Action, Step
from orchestrator.errors import InputError
from orchestrator.model import InputRow, Outcome, Problem, Records


class TenantInfo(Struct, frozen=True):
    """The tenant behind one name of a run with several."""

    base_url: str
    entity_id: str | None = None
    org_ids: tuple[str, ...] = ()


class RunInfo(Struct, frozen=True):
    """The properties of a run, as its first process wrote them. ``settings`` holds no secret.

    A run of several tenants has them in ``tenants``, by name, and no ``base_url`` of its own.
    """

    id: str
    command: str
    version: str
    process_started_at: float
    started_at: str
    base_url: str
    entity_id: str | None
    org_ids: tuple[str, ...]
    settings: dict[str, Any]
    tenants: dict[str, TenantInfo] = {}


class Operator(Struct, frozen=True):
    """The operator, the host, and how the session was started. ``command_line`` holds no secret.

    ``confirmed`` says how the run was confirmed: on the ``terminal``, by the ``option`` --yes, or by a ``program``. It
    is null for a plan and a drill. ``client_id`` is null with a bearer token and with several tenants.
    """

    user: str
    host: str
    client_id: str | None
    command_line: tuple[str, ...]
    confirmed: Literal["terminal", "option", "program"] | None
    reason: str | None
    ticket: str | None


FindingKind = Literal["not_over", "changed", "unread"]


class Finding(Struct, frozen=True):
    """The finding of a verification about the action ``seq``: not over, changed after its end, or not read."""

    seq: int
    bulk_key: str
    kind: FindingKind
    message: str


class Verification(Struct, frozen=True):
    """All statuses read again after a run: the number of ``keys``, those whose action is ``over``, and the findings."""

    started_at: str
    ended_at: str
    keys: int
    over: int
    findings: list[Finding]

    @property
    def held(self) -> bool:
        """Whether every action is over and unchanged."""
        return self.over == self.keys and not self.findings


class SourceInfo(Struct, frozen=True):
    """How far one source was read; ``chain`` is a digest over the rows admitted.

    A regular file had ``bytes`` with the SHA-256 ``digest`` before its first row was admitted.
    """

    id: int
    name: str
    path: str | None = None
    sha256: str | None = None
    rows: int = 0
    chain: str = ""
    complete: bool = False
    bytes: int | None = None
    digest: str | None = None

    @property
    def shown(self) -> str:
        """The name for a person."""
        return "standard input" if self.name == "-" else self.name


class Counts(Struct, frozen=True):
    """Counts of keys when a session begins.

    Attributes:
        keys: all.
        accepted: with an accepted stop.
        waiting: a stop is to be sent.
        polling: to be polled, or only the response file is missing.
        ended: those of ``polling`` that are over.
        not_over: completed, but not known to be over.
    """

    keys: int
    accepted: int
    waiting: int
    polling: int
    ended: int = 0
    not_over: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Counts(*(one + another for one, another in pairs))


NO_KEYS = Counts(0, 0, 0, 0)


TenantState = Literal["finished", "interrupted", "aborted", "running", "unused"]


class TenantRow(Struct, frozen=True):
    """A tenant's part in a run of several: its state, and its token calls."""

    info: TenantInfo
    state: TenantState
    reason: str | None
    token_calls: int


def action_name(tenant: str, bulk_key: str) -> str:
    """The name of an action and of its response file; the same key may occur in several tenants."""
    return f"{tenant}/{bulk_key}" if tenant else bulk_key


def split_action_name(name: str) -> tuple[str, str]:
    """Tenant and bulk key of what :func:`action_name` gave; the tenant is empty in a run of one."""
    tenant, slash, bulk_key = name.partition("/")
    return (tenant, bulk_key) if slash else ("", name)


def done_in(unprocessed: int | None, speed: float | None) -> float | None:
    """Seconds that ``unprocessed`` records take at ``speed`` records a second; None if that is not known."""
    return round(unprocessed / speed, 1) if unprocessed is not None and speed else None


def chained(chain: str, rows: Iterable[InputRow]) -> str:
    """The digest over all rows of a source up to ``rows``; ``chain`` is the digest of those before them.

    It covers the line, tenant and key of each row.
    """
    for row in rows:
        chain = hashlib.blake2b(
            f"{chain}{row.number}\0{action_name(row.tenant, row.key)}".encode("utf-8", "surrogatepass"),
            digest_size=8,
        ).hexdigest()
    return chain


def same_rows(source: SourceInfo, chain: str) -> None:
    """Raises InputError where the rows read again are not those that were admitted."""
    if chain != source.chain:
        raise InputError(
            f"{source.shown} is not what it was when the run was cut: its first {source.rows} rows have changed. "
            "Resume with the input the run began with."
        )


def to_action(seq: int, bulk_key: str, accepted: int, lost: int, action_type: str | None) -> Action:
    """The action in memory for a row of the statement ``claim``. It starts with all its attempts."""
    return Action(
        seq, bulk_key, accepted=bool(accepted), possibly_stopped=bool(lost), action_type=action_type
    )


def to_polled_action(
    seq: int, bulk_key: str, accepted: int, lost: int, action_type: str | None, attempts: int, due_at: float,
    outcome: str | None, output_url: str | None, error: str | None, read_from: float | None, polls: int,
    total: int | None, processed: int | None, succeeded: int | None, failed: int | None, unprocessed: int | None,
) -> Action:  # fmt: skip
    """The action in memory for a row of the statement ``claim_parked``. It continues with the attempts it had left."""
    action = to_action(seq, bulk_key, accepted, lost, action_type)
    action.step = Step.FETCH if outcome and output_url else Step.POLL
    action.stops.made = action.stops.counted = 0 if accepted else attempts
    action.due, action.first_polled_at, action.polls = due_at, read_from, polls
    action.problem = msgspec.json.decode(error, type=Problem) if error else None
    action.outcome, action.output_url = Outcome(outcome) if outcome else None, output_url
    source = "none" if total is None else "status"
    action.counts = Records(total, processed, succeeded, failed, unprocessed, source)
    return action
