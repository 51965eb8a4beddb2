"""Fixtures of the acceptance tests: the command, called as a user calls it, and tenants to call."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.acceptance.support import PROCESSING, MassStop, Tenant, publish_schema


@pytest.fixture
def mass_stop(mass_stop_command: Path, tmp_path: Path) -> Iterator[MassStop]:
    """The installed command; its working directory is empty."""
    publish_schema(mass_stop_command)
    command = MassStop(mass_stop_command, tmp_path)
    yield command
    command.close()


@pytest.fixture
def make_tenant() -> Iterator[Callable[..., Tenant]]:
    """Makes a tenant that serves until the test ends."""
    with ExitStack() as stack:
        yield lambda **changes: stack.enter_context(Tenant(**changes))


@pytest.fixture
def tenant(make_tenant: Callable[..., Tenant]) -> Tenant:
    """A tenant with twelve actions, each at work for minutes to come."""
    return make_tenant(**PROCESSING, actions=12)
