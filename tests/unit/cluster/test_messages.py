"""What a worker tells of a shard, and what its caller makes of it."""

import msgspec

from orchestrator.cluster.messages import NAMED, counts_of, take_counts
from orchestrator.journal.entries import Standing
from orchestrator.model import Outcome
from orchestrator.progress import NeedsPerson, Tally
from orchestrator.runs.session import first_tally


def told(tally: Tally, now: float = 0.0) -> dict[str, object]:
    """As it comes through a wire."""
    sent: dict[str, object] = msgspec.msgpack.decode(msgspec.msgpack.encode(counts_of(tally, now)))
    return sent


def test_the_caller_shows_what_the_worker_counted():
    there = Tally(keys=10, accepted=4, settled=3, settled_unsent=1, slots=36, in_flight=6, retries=2)
    there.outcomes.update([Outcome.STOPPED, Outcome.STOPPED, Outcome.REJECTED])
    here = Tally(keys=10)
    take_counts(here, told(there), now=0.0)
    assert (here.through, here.over, here.slots, here.in_flight, here.retries) == (5, 3, 36, 6, 2)
    assert (here.outcomes, here.need_a_person) == (there.outcomes, 1)


def test_keys_that_were_over_before_and_stayed_with_the_caller_still_count():
    before = first_tally(Standing(keys=100, accepted=70, waiting=20, following=10), planning=False)
    shard = first_tally(Standing(keys=30, accepted=8, waiting=20, following=10), planning=False)
    here = first_tally(Standing(keys=100, accepted=70, waiting=20, following=10), planning=False)
    take_counts(here, told(shard), now=0.0)
    assert (here.keys, here.through, here.over) == (before.keys, before.through, before.over) == (100, 80, 70)
    shard.accepted += 20
    shard.settled += 30
    take_counts(here, told(shard), now=0.0)
    assert (here.through, here.over) == (100, 100)


def test_a_wait_is_told_in_seconds_since_machines_have_no_clock_in_common():
    here = Tally(keys=1)
    take_counts(here, told(Tally(keys=1, closed_until=1_040.0), now=1_000.0), now=5.0)
    assert here.closed_until == 45.0


def test_the_last_keys_that_need_a_person_come_along_by_name():
    there = Tally(keys=NAMED + 2)
    there.latest.extend(NeedsPerson(f"{n:032x}", Outcome.REJECTED, "No.") for n in range(NAMED + 2))
    here = Tally(keys=NAMED + 2)
    for _ in range(2):
        take_counts(here, told(there), now=0.0)
    assert list(here.latest) == list(there.latest)[-NAMED:]
