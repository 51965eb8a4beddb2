"""How much room others need: Erlang's loss formula."""

from functools import lru_cache


@lru_cache(maxsize=512)
def servers_for(load: float, loss: float, most: int) -> int:
    """The fewest slots in which ``load`` finds room, but for the share ``loss`` of its calls; at most ``most``.

    ``load`` is the mean number of calls in flight that come at random and do not wait.
    B(m) = a B(m-1) / (m + a B(m-1)), with B(0) = 1 (A. K. Erlang, 1917).
    """
    blocked, servers = 1.0, 0
    while blocked > loss and servers < most and load > 0:
        servers += 1
        blocked = load * blocked / (servers + load * blocked)
    return servers
