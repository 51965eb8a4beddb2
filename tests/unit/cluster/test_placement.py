"""Which worker gets which shard."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cluster.session import place

WORKERS = ["tcp://a:1", "tcp://b:1", "tcp://c:1"]


def test_equal_shards_are_spread_evenly():
    assert Counter(place({f"t{number}": 100 for number in range(9)}, WORKERS).values()) == dict.fromkeys(
        WORKERS, 3
    )


def test_the_largest_shard_has_a_worker_alone_if_the_others_are_smaller():
    chosen = place({"a": 10, "b": 100, "c": 20, "d": 30}, WORKERS[:2])
    assert [name for name, worker in chosen.items() if worker == chosen["b"]] == ["b"]


def test_without_a_worker_dask_chooses_one_later():
    assert place({"a": 1}, []) == {}


@given(st.lists(st.integers(1, 10_000), max_size=40), st.integers(1, 6))
def test_no_worker_has_more_than_its_share_and_one_shard_above(keys, count):
    shards = {f"t{number}": some for number, some in enumerate(keys)}
    chosen = place(shards, [f"w{number}" for number in range(count)])
    assert chosen.keys() == shards.keys()
    loads = Counter[str]()
    for name, worker in chosen.items():
        loads[worker] += shards[name]
    assert max(loads.values(), default=0) <= sum(keys) / count + max(keys, default=0)
