"""Fixtures of the acceptance tests: the command, called as a user calls it, and tenants."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.support import PROCESSING, Ended, MassStop, Tenant, publish_schema


@pytest.fixture
def tenants() -> list[Tenant]:
    """Every tenant that the test has created."""
    return []


@pytest.fixture
def started() -> bool:
    """Whether the command is started and not forked, for tests of its start or of its visible process."""
    return False


@pytest.fixture
def mass_stop(
    mass_stop_command: Path, tmp_path: Path, tenants: list[Tenant], started: bool
) -> Iterator[MassStop]:
    """The installed command in an empty working directory. After the test, no secret of a tenant may be visible."""
    publish_schema(mass_stop_command)
    command = MassStop(mass_stop_command, tmp_path, started=started)
    yield command
    command.close()
    assert command.leaks(secret for tenant in tenants for secret in tenant.secrets()) == []


@pytest.fixture(scope="session")
def one_run(mass_stop_command: Path, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """A finished run of twelve keys without results, made once. Tests must not change it."""
    publish_schema(mass_stop_command)
    command = MassStop(mass_stop_command, tmp_path_factory.mktemp("over"))
    with Tenant(**PROCESSING, actions=12) as tenant:
        ended = command.run(tenant, command.keys(tenant.keys), "--no-results")
        assert command.leaks(tenant.secrets()) == []
    command.close()
    assert ended.status == 0, ended
    return ended


@pytest.fixture
def over(one_run: Ended, mass_stop: MassStop) -> Ended:
    """A copy of that run for one test, in the directory ``run``. Its tenant no longer serves."""
    directory = shutil.copytree(one_run.directory, mass_stop.home / "run")
    return Ended(one_run.status, one_run.out, one_run.err, directory)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[MassStop]:
    """The command beside this Python, because the installed one does not have dask."""
    command = MassStop(Path(sys.executable).parent / "mass-stop", tmp_path)
    yield command
    command.close()


@pytest.fixture
def make_tenant(tenants: list[Tenant]) -> Iterator[Callable[..., Tenant]]:
    """Create tenants that serve until the test ends."""

    def make(**changes: Any) -> Tenant:
        tenants.append(stack.enter_context(Tenant(**changes)))
        return tenants[-1]

    with ExitStack() as stack:
        yield make


@pytest.fixture
def tenant(make_tenant: Callable[..., Tenant]) -> Tenant:
    """A tenant with twelve actions that run for minutes."""
    return make_tenant(**PROCESSING, actions=12)
