"""Settings of dask with which no connection to a cluster is possible."""

import dask.config
import distributed  # before any setting of it is changed: it brings their defaults
import pytest

from orchestrator.cluster.client import connect
from orchestrator.errors import UsageError

assert distributed
pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("value", ["5s", 10, "soon", "10 apples"])
async def test_a_timeout_with_which_dask_makes_no_connection_is_refused(value):
    with dask.config.set({"distributed.comm.timeouts.tcp": value}), pytest.raises(UsageError) as refused:
        async with connect(None, 2, {}):
            pass
    sentence = str(refused.value)
    assert sentence.startswith(f"dask's own setting distributed.comm.timeouts.tcp is {value!r}")
    assert "30s" in sentence
