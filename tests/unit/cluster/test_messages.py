"""Messages between caller and workers arrive unchanged."""

import msgspec

from orchestrator.cluster.messages import (
    NAMED,
    Shard,
    apply_progress,
    decode_shard,
    encode_shard,
    progress_of,
)
from orchestrator.journal.entries import Counts, RunInfo
from orchestrator.journal.shards import Rows
from orchestrator.model import Outcome
from orchestrator.progress import NeedsPerson, OutageFacts, Progress
from orchestrator.sessions.session import initial_progress
from orchestrator.settings import Secret, Settings
from orchestrator.settings.tenants import Tenant


def sent(progress: Progress, now: float = 0.0) -> dict[str, object]:
    """Progress as it arrives."""
    values: dict[str, object] = msgspec.msgpack.decode(msgspec.msgpack.encode(progress_of(progress, now)))
    return values


def test_the_caller_shows_what_the_worker_counted():
    there = Progress(keys=10, accepted=4, completed=3, completed_unsent=1, slots=36, in_flight=6, retries=2)
    there.outcomes.update([Outcome.STOPPED, Outcome.STOPPED, Outcome.REJECTED])
    here = Progress(keys=10)
    apply_progress(here, sent(there), now=0.0)
    assert (here.keys_answered, here.keys_completed, here.slots, here.in_flight, here.retries) == (
        5,
        3,
        36,
        6,
        2,
    )
    assert (here.outcomes, here.need_a_person) == (there.outcomes, 1)


def test_keys_completed_before_the_shard_are_counted():
    before = initial_progress(Counts(keys=100, accepted=70, waiting=20, polling=10), planning=False)
    shard = initial_progress(Counts(keys=30, accepted=8, waiting=20, polling=10), planning=False)
    here = initial_progress(Counts(keys=100, accepted=70, waiting=20, polling=10), planning=False)
    apply_progress(here, sent(shard), now=0.0)
    assert (
        (here.keys, here.keys_answered, here.keys_completed)
        == (before.keys, before.keys_answered, before.keys_completed)
        == (100, 80, 70)
    )
    shard.accepted += 20
    shard.completed += 30
    apply_progress(here, sent(shard), now=0.0)
    assert (here.keys_answered, here.keys_completed) == (100, 100)


def test_a_wait_is_sent_in_seconds_since_machines_share_no_clock():
    here = Progress(keys=1)
    apply_progress(here, sent(Progress(keys=1, closed_until=1_040.0), now=1_000.0), now=5.0)
    assert here.closed_until == 45.0


def test_the_last_keys_that_need_a_person_are_sent_with_their_names():
    there = Progress(keys=NAMED + 2)
    there.latest.extend(NeedsPerson(f"{n:032x}", Outcome.REJECTED, "No.") for n in range(NAMED + 2))
    here = Progress(keys=NAMED + 2)
    for _ in range(2):
        apply_progress(here, sent(there), now=0.0)
    assert list(here.latest) == list(there.latest)[-NAMED:]


def test_the_secrets_of_a_shard_arrive_as_they_were_sent():
    info = RunInfo("run", "run", "1", 0.0, "", "", None, (), msgspec.to_builtins(Settings()))
    tenant = Tenant(client_secret=Secret("s"), token=Secret("t"))
    shard = Shard(info, 1, "north", 1, tenant, "/x", Rows([], []), None, Secret("user:pw"))
    arrived = decode_shard(encode_shard(shard))
    secrets = (arrived.tenant.client_secret, arrived.tenant.token, arrived.proxy_credentials)
    assert [secret and secret.reveal() for secret in secrets] == ["s", "t", "user:pw"]


def test_an_outage_is_sent_in_seconds_since_machines_share_no_clock():
    there, here = Progress(keys=1), Progress(keys=1)
    there.outage = OutageFacts(since=990.0, problem="No answer.", next_probe_at=1_001.5, ends_at=1_890.0)
    there.polls_until = 1_020.0
    apply_progress(here, sent(there, now=1_000.0), now=5.0)
    assert here.outage == OutageFacts(since=-5.0, problem="No answer.", next_probe_at=6.5, ends_at=895.0)
    assert here.polls_until == 25.0
    there.outage = None
    apply_progress(here, sent(there, now=1_001.0), now=6.0)
    assert here.outage is None
