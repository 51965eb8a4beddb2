"""What the caller of a cluster and the workers of its shards tell each other, and in what words."""

from collections import Counter
from dataclasses import fields
from typing import Any

import msgspec
from msgspec import Struct

from orchestrator.cluster.control import Ordered
from orchestrator.engine.cutoff import Ending
from orchestrator.errors import MassStopError, TenantError, UsageError
from orchestrator.journal import shards
from orchestrator.journal.entries import RunInfo
from orchestrator.model import Outcome
from orchestrator.progress import NeedsPerson, Tally
from orchestrator.settings.forms import Secret
from orchestrator.settings.tenants import Tenant


class Shard(Struct, frozen=True):
    """One tenant's part of one session. ``number`` is the tenant's place among all, ``deadline`` a wall-clock time.

    Only a shard for this machine carries secrets: in ``tenant``, and the proxy's.
    """

    info: RunInfo
    session: int
    name: str
    number: int
    tenant: Tenant
    folder: str
    rows: shards.Rows
    deadline: float | None
    proxy_credentials: Secret | None = None


def encode_shard(shard: Shard) -> bytes:
    """Return ``shard`` as bytes, with the secrets of its tenant if there are any."""
    return msgspec.msgpack.encode(shard, enc_hook=lambda value: _checked(value).reveal())


def decode_shard(data: bytes) -> Shard:
    """Return the shard that :func:`encode_shard` made bytes of."""
    return msgspec.msgpack.decode(data, type=Shard, dec_hook=lambda _, text: Secret(text))


def _checked(value: object) -> Secret:
    if not isinstance(value, Secret):
        raise NotImplementedError(type(value))
    return value


_KINDS: dict[str, type[MassStopError]] = {"tenant": TenantError, "usage": UsageError}


class Done(Struct, frozen=True):
    """How a shard ended. ``kind`` says whose fault a cut was: the tenant's, the usage's, or another's.

    ``told`` is all that its journal holds, where the disk took no more of it.
    """

    state: str
    reason: str | None
    exit_status: int
    kind: str = ""
    told: shards.Tables | None = None

    @classmethod
    def of(cls, ending: Ending) -> "Done":
        if ending.cut_by is None:
            return cls(ending.state, ending.reason, 0)
        kind = next((kind for kind, error in _KINDS.items() if isinstance(ending.cut_by, error)), "")
        return cls(ending.state, ending.reason, ending.cut_by.exit_status, kind)

    def ending(self) -> Ending:
        if not self.exit_status:
            return Ending(self.state, self.reason)
        kind = _KINDS.get(self.kind)
        reason = self.reason or ""
        return Ending(self.state, reason, kind(reason) if kind else Ordered(reason, self.exit_status))


def topic(run_id: str) -> str:
    """Where the counts of a run's shards are told."""
    return f"mass-stop-{run_id}"


NAMED = 5
"""Keys that need a person and are told by name."""


def counts_of(tally: Tally, now: float) -> dict[str, Any]:
    """What a worker tells of a shard at ``now`` (monotonic seconds), in plain values."""
    counts = {field.name: getattr(tally, field.name) for field in fields(tally)}
    counts = {name: value for name, value in counts.items() if type(value) is int}
    latest = list(tally.latest)[-NAMED:]
    return counts | {
        "outcomes": {outcome.value: count for outcome, count in tally.outcomes.items()},
        "latest": [(one.bulk_key, one.outcome.value, one.reason) for one in latest],
        "closed_for": max(0.0, tally.closed_until - now),
    }


def take_counts(tally: Tally, told: dict[str, Any], now: float) -> None:
    """Makes ``tally``, which counts all keys of a tenant, show what :func:`counts_of` told of those in the shard."""
    elsewhere = tally.keys - told["keys"]  # over before, and not sent along
    for name, value in told.items():
        if name not in ("keys", "outcomes", "latest", "closed_for"):
            setattr(tally, name, value)
    tally.sent_before += elsewhere
    tally.over_before += elsewhere
    tally.outcomes = Counter({Outcome(name): count for name, count in told["outcomes"].items()})
    tally.latest.clear()
    tally.latest.extend(NeedsPerson(key, Outcome(outcome), why) for key, outcome, why in told["latest"])
    tally.closed_until = now + told["closed_for"]
