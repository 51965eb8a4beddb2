"""Which worker gets which shard."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cluster.cluster import spread

WORKERS = ["tcp://a:1", "tcp://b:1", "tcp://c:1"]


def test_shards_that_are_alike_are_dealt_out_evenly():
    assert Counter(spread({f"t{number}": 100 for number in range(9)}, WORKERS).values()) == dict.fromkeys(
        WORKERS, 3
    )


def test_the_largest_shard_has_a_worker_of_its_own_where_the_others_make_no_more_together():
    chosen = spread({"a": 10, "b": 100, "c": 20, "d": 30}, WORKERS[:2])
    assert [name for name, worker in chosen.items() if worker == chosen["b"]] == ["b"]


def test_without_a_worker_dask_is_left_to_find_one():
    assert spread({"a": 1}, []) == {}


@given(st.lists(st.integers(1, 10_000), max_size=40), st.integers(1, 6))
def test_no_worker_has_more_than_its_share_and_one_shard_above(keys, count):
    shards = {f"t{number}": some for number, some in enumerate(keys)}
    chosen = spread(shards, [f"w{number}" for number in range(count)])
    assert chosen.keys() == shards.keys()
    loads = Counter[str]()
    for name, worker in chosen.items():
        loads[worker] += shards[name]
    assert max(loads.values(), default=0) <= sum(keys) / count + max(keys, default=0)
