"""Several simulated tenants in one run, with the file that describes them."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.acceptance.support import Ended, Tenant, lies


class Tenants:
    """Simulated tenants by name, with their file and the environment with their secrets."""

    def __init__(
        self,
        home: Path,
        tenants: Mapping[str, Tenant],
        more: Mapping[str, str] | None = None,
        *,
        in_files: bool = False,
    ) -> None:
        """``more`` has additional TOML lines by tenant name. With ``in_files``, the secrets are in files."""
        self.home = home
        self.in_files = in_files
        self.named = dict(tenants)
        self.more = more or {}
        self.environment: dict[str, str] = {}
        self.file = home / "tenants.toml"
        self.write()

    def write(self) -> None:
        tables = []
        for name, tenant in self.named.items():
            environment = tenant.environment
            place = f'client_secret_env = "{name.upper()}_SECRET"'
            if self.in_files:
                secret = self.home / f"{name}.secret"
                secret.touch(0o600)
                secret.write_text(environment["ZUORA_CLIENT_SECRET"])
                place = f'client_secret_file = "{secret.name}"'
            else:
                self.environment[f"{name.upper()}_SECRET"] = environment["ZUORA_CLIENT_SECRET"]
            tables.append(
                f'[tenants.{name}]\nbase_url = "{environment["ZUORA_BASE_URL"]}"\n'
                f'client_id = "{environment["ZUORA_CLIENT_ID"]}"\n'
                f"{place}\n{self.more.get(name, '')}\n"
            )
        self.file.write_text("\n".join(tables))

    def keys(self, rows: Iterable[tuple[str, str]] | None = None, name: str = "keys.csv") -> Path:
        """Write a table of keys and tenants: ``rows``, or every key of every tenant in turn. Return its path."""
        if rows is None:
            rows = [
                (key, name)
                for keys in zip(*(tenant.keys for tenant in self.named.values()), strict=True)
                for name, key in zip(self.named, keys, strict=True)
            ]
        path = self.home / name
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("bulk_key", "tenant"), *rows])
        return path

    def lies(self, report: dict[str, Any]) -> list[str]:
        """Return the differences between the report and the true state of any tenant."""
        found = []
        for name, tenant in self.named.items():
            own = [action for action in report["actions"] if action["tenant"] == name]
            found += [f"{name}: {lie}" for lie in lies({"actions": own}, tenant)]
        return found

    def outcomes(self, report: dict[str, Any]) -> dict[str, set[str]]:
        """Return the outcomes of each tenant's actions."""
        return {
            name: {action["outcome"] for action in report["actions"] if action["tenant"] == name}
            for name in self.named
        }


def report_of(ended: Ended) -> dict[str, Any]:
    return json.loads((ended.directory / "report.json").read_text())


def is_true(tenants: Tenants, ended: Ended) -> None:
    """Assert that the report has every row once, with the true status."""
    report = report_of(ended)
    rows = [(action["tenant"], action["bulk_key"]) for action in report["actions"]]
    assert sorted(rows) == sorted((name, key) for name, one in tenants.named.items() for key in one.keys)
    lies = tenants.lies(report)
    assert not lies, lies


def all_stopped(tenants: Tenants, ended: Ended) -> bool:
    return set().union(*tenants.outcomes(report_of(ended)).values()) == {"stopped"}
