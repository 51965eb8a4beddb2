"""Tenants that serve during a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import (
    Settings,
)
from tests.unit.embedding.served import Served


@pytest.fixture
def served() -> Iterator[Served]:
    one = Served()
    one.start()
    yield one
    one.end()


@pytest.fixture
def slow() -> Iterator[Served]:
    """As ``served``, but calls are slow enough for a test to act during one."""
    one = Served(latency=0.2)
    one.start()
    yield one
    one.end()


@pytest.fixture
def keys(served: Served) -> list[str]:
    return list(served.tenant.keys)


@pytest.fixture
def settings(served: Served, tmp_path: Path) -> Settings:
    return served.settings(tmp_path / "run")
