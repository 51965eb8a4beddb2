"""The messages between caller and workers: a shard, its end, and its progress."""

from collections import Counter
from dataclasses import fields
from typing import Any

import msgspec
from msgspec import Struct

from orchestrator.cluster.control import EndedByCaller
from orchestrator.engine.cutoff import Ending
from orchestrator.errors import MassStopError, TenantError, UsageError
from orchestrator.journal import shards
from orchestrator.journal.entries import RunInfo
from orchestrator.model import Outcome
from orchestrator.progress import NeedsPerson, OutageFacts, Progress
from orchestrator.settings.forms import Secret
from orchestrator.settings.tenants import Tenant


class Shard(Struct, frozen=True):
    """One tenant's part of one session.

    ``name`` is empty in a run of one tenant, ``number`` is the tenant's place among all, ``deadline`` a wall-clock
    time. Only a shard for a worker of this machine contains secrets: those of the tenant, and the proxy's.
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
    """Return ``shard`` as bytes, including its secrets."""
    return msgspec.msgpack.encode(shard, enc_hook=_reveal)


def decode_shard(data: bytes) -> Shard:
    """Return the shard that :func:`encode_shard` encoded."""
    return msgspec.msgpack.decode(data, type=Shard, dec_hook=lambda _, text: Secret(text))


def _reveal(value: object) -> str:
    if not isinstance(value, Secret):
        raise NotImplementedError(type(value))
    return value.reveal()


_KINDS: dict[str, type[MassStopError]] = {"tenant": TenantError, "usage": UsageError}


class ShardResult(Struct, frozen=True):
    """How a shard ended. ``kind`` is the kind of error that ended it: of the tenant, of usage, or another.

    ``tables`` is all that its journal contains, if the disk could not take it.
    """

    state: str
    reason: str | None
    exit_status: int
    kind: str = ""
    tables: shards.Tables | None = None

    @classmethod
    def of(cls, ending: Ending) -> "ShardResult":
        """Return the result for ``ending``."""
        if ending.cut_by is None:
            return cls(ending.state, ending.reason, 0)
        kind = next((kind for kind, error in _KINDS.items() if isinstance(ending.cut_by, error)), "")
        return cls(ending.state, ending.reason, ending.cut_by.exit_status, kind)

    def ending(self) -> Ending:
        """Return the ending of the shard."""
        if not self.exit_status:
            return Ending(self.state, self.reason)
        kind = _KINDS.get(self.kind)
        reason = self.reason or ""
        return Ending(self.state, reason, kind(reason) if kind else EndedByCaller(reason, self.exit_status))


def topic(run_id: str) -> str:
    """Return the dask topic under which the shards of a run report their progress."""
    return f"mass-stop-{run_id}"


NAMED = 5
"""Keys that need a person and are reported with their names."""


def progress_of(progress: Progress, now: float) -> dict[str, Any]:
    """Return the progress of a shard at ``now`` (monotonic seconds) in plain values."""
    counts = {field.name: getattr(progress, field.name) for field in fields(progress)}
    counts = {name: value for name, value in counts.items() if type(value) is int}
    latest = list(progress.latest)[-NAMED:]
    outage = progress.outage
    return counts | {
        "outcomes": {outcome.value: count for outcome, count in progress.outcomes.items()},
        "latest": [(one.bulk_key, one.outcome.value, one.reason) for one in latest],
        "closed_for": max(0.0, progress.closed_until - now),
        "polls_for": max(0.0, progress.polls_until - now),
        "outage": outage
        and (now - outage.since, outage.problem, outage.next_probe_at - now, outage.ends_at - now),
    }


def apply_progress(progress: Progress, values: dict[str, Any], now: float) -> None:
    """Set ``progress``, which counts all keys of a tenant, to the ``values`` of the keys in its shard."""
    elsewhere = progress.keys - values["keys"]  # completed before, and not part of the shard
    for name, value in values.items():
        if type(value) is int and name not in ("keys", "not_over_before"):
            setattr(progress, name, value)
    progress.sent_before += elsewhere
    progress.confirmed_before += elsewhere
    progress.over_before += elsewhere
    progress.outcomes = Counter({Outcome(name): count for name, count in values["outcomes"].items()})
    progress.latest.clear()
    progress.latest.extend(NeedsPerson(key, Outcome(outcome), why) for key, outcome, why in values["latest"])
    progress.closed_until, progress.polls_until = now + values["closed_for"], now + values["polls_for"]
    progress.outage = None
    if values["outage"] is not None:
        ago, problem, next_probe_in, ends_in = values["outage"]
        progress.outage = OutageFacts(now - ago, problem, now + next_probe_in, now + ends_in)
