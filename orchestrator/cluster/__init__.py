"""The dask engine: tenants spread over worker processes.

``session`` is the caller's side, ``shard`` the worker's. They exchange ``messages`` through the ``client`` of dask, and
``control`` messages through a file. Each shard has a journal in a shared folder; ``merge`` adds it to the run's.
"""

from orchestrator.cluster.merge import merge_left_behind
from orchestrator.cluster.session import ClusterSession

__all__ = ["ClusterSession", "merge_left_behind"]
