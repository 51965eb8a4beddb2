"""Fixtures for the examples of documents: a simulated tenant, and a folder with its keys."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.acceptance.support import NO_AUTHORITIES
from tests.contract.examples import LONGEST, without_others


@pytest.fixture(scope="session")
def tenant(mass_stop_command: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """A simulated tenant's environment. The variable ``KEYS`` has the path of its keys."""
    keys = tmp_path_factory.mktemp("tenant") / "keys.csv"
    process = subprocess.Popen(
        [mass_stop_command, "simulate", "--actions", "12", "--latency", "0.005", "--keys", keys],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    environment = dict(process.stdout.readline().strip().split("=", 1) for _ in range(3))
    yield {**environment, "KEYS": str(keys)}
    process.terminate()
    process.wait(LONGEST)
    process.stdout.close()


@pytest.fixture(scope="session")
def operator(tenant: Mapping[str, str], mass_stop_command: Path) -> dict[str, str]:
    """An operator's environment, with consent because there is no terminal, and with short waits."""
    own = without_others()
    path = f"{mass_stop_command.parent}{os.pathsep}{own.get('PATH', os.defpath)}"
    return {
        **own,
        **NO_AUTHORITIES,
        **tenant,
        "PATH": path,
        "MASS_STOP_YES": "true",
        "MASS_STOP_TIMEOUT": "3s",
    }


@pytest.fixture
def environment(operator: dict[str, str]) -> dict[str, str]:
    """The same for one test, which may change it."""
    return dict(operator)


@pytest.fixture
def folder(tenant: Mapping[str, str], tmp_path: Path) -> Path:
    """A folder for one test, with keys and tenant."""
    return furnish(tmp_path, tenant)


def furnish(folder: Path, tenant: Mapping[str, str]) -> Path:
    """Write the keys and the tenant's settings into ``folder``, with the file names of the examples. Return it."""
    table = Path(tenant["KEYS"]).read_text()
    (folder / "keys.csv").write_text(table)
    keys = [row.split(",")[0] for row in table.splitlines()[1:]]
    (folder / "keys.txt").write_text("".join(f"{key}\n" for key in keys))
    (folder / "all-keys.csv").write_text("bulk_key,tenant\n" + "".join(f"{key},north\n" for key in keys))
    (folder / "tenants.toml").write_text(
        f'[tenants.north]\nbase_url = "{tenant["ZUORA_BASE_URL"]}"\nclient_id_env = "ZUORA_CLIENT_ID"\n'
        'client_secret_env = "ZUORA_CLIENT_SECRET"\n'
    )
    (folder / "tenant.env").write_text("".join(f"{name}={value}\n" for name, value in tenant.items()))
    return folder
