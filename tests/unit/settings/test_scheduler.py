"""Schedulers that everyone on the network could use are refused."""

import pytest

from orchestrator.errors import UsageError
from orchestrator.settings import resolve
from orchestrator.settings.scheduler import reach_of


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("tls://scheduler.example:8786", "certificate"),
        ("tls://127.0.0.1:8786", "certificate"),
        ("tcp://127.0.0.1:8786", "machine"),
        ("tcp://127.1.2.3:8786", "machine"),
        ("tcp://[::1]:8786", "machine"),
        ("tcp://localhost:8786", "machine"),
        ("127.0.0.1:8786", "machine"),
        ("localhost", "machine"),
        ("tcp://10.0.0.1:8786", "network"),
        ("10.0.0.1:8786", "network"),
        ("tcp://0.0.0.0:8786", "network"),
        ("tcp://localhost.example:8786", "network"),
        ("tcp://127.0.0.1@10.0.0.1:8786", "network"),
        ("tcp://[10.0.0.1", "network"),
        ("ws://127.0.0.1:8786", "network"),
        ("ucx://127.0.0.1:8786", "network"),
        ("TLS://10.0.0.1:8786", "network"),
        ("", "network"),
    ],
)
def test_the_address_of_a_scheduler_decides_who_can_use_it(address, reach):
    assert reach_of(address) == reach


OPTIONS = {"engine": "dask", "scheduler": "tcp://10.0.0.1:8786", "shared_dir": "/mnt/shared"}


def test_a_scheduler_without_tls_on_the_network_is_refused():
    with pytest.raises(UsageError, match="--insecure-scheduler") as refused:
        resolve(OPTIONS, {})
    assert str(refused.value).startswith("--scheduler tcp://10.0.0.1:8786 is not encrypted")


def test_a_scheduler_without_tls_is_accepted_if_asked_for():
    assert resolve(OPTIONS | {"insecure_scheduler": True}, {}).scheduler == "tcp://10.0.0.1:8786"


def test_a_scheduler_of_a_resumed_run_is_refused_as_well():
    with pytest.raises(UsageError, match="is not encrypted"):
        resolve({}, {}, None, OPTIONS)


def test_a_scheduler_that_the_local_engine_ignores_is_not_refused():
    assert resolve({"engine": "local"}, {}, None, OPTIONS).engine == "local"
