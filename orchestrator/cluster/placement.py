"""Which worker gets which shard."""

import heapq
from collections.abc import Iterable, Mapping


def place(shards: Mapping[str, int], workers: Iterable[str]) -> dict[str, str]:
    """Return a worker for each of ``shards`` (name → number of keys); nothing if there is no worker.

    The largest shard comes first, each on the worker with the fewest keys so far. This is at most a third longer than
    the optimum (LPT, Graham 1969). Dask itself counts tasks. It would put eight that start at once on one worker with
    many threads, whose single core then does all the work.
    """
    loads = [(0, number, worker) for number, worker in enumerate(workers)]
    if not loads:
        return {}
    chosen = {}
    for name in sorted(shards, key=lambda name: -shards[name]):
        keys, number, worker = loads[0]
        chosen[name] = worker
        heapq.heapreplace(loads, (keys + shards[name], number, worker))
    return chosen
