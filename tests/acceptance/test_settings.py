"""Settings as they arrive in practice: addresses in any spelling, values with line endings, quotes and marks."""

from collections.abc import Callable

import pytest

from tests.acceptance.support import MassStop, Tenant, outcomes

SPELLINGS: dict[str, Callable[[str], str]] = {
    "upper case": lambda address: address.replace("http", "HTTP"),
    "trailing slashes": lambda address: f"{address}//",
    "version": lambda address: f"{address}/v1",
    "version and slash": lambda address: f"{address}/v1/",
    "line ending": lambda address: f"{address}\r",
    "quotes": lambda address: f'"{address}"',
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_the_tenant_is_reached_in_every_spelling_of_its_address(
    mass_stop: MassStop, tenant: Tenant, spelling: str
) -> None:
    address = tenant.environment["ZUORA_BASE_URL"]
    typed = {"ZUORA_BASE_URL": SPELLINGS[spelling](address)}
    checked = mass_stop("check", tenant=tenant, env=typed)
    assert (checked.status, f"{address} (" in checked.err) == (0, True), checked
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys[:2]), "--no-results", env=typed)
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys[:2], "stopped")
    assert ended.report["run"]["tenant"]["base_url"] == address


def test_a_run_is_resumed_in_another_spelling_of_its_address(mass_stop: MassStop, tenant: Tenant) -> None:
    address = tenant.environment["ZUORA_BASE_URL"]
    mass_stop.run(tenant, mass_stop.keys(tenant.keys[:2]), "--no-results", "--base-url", f"{address}/")
    ended = mass_stop("resume", "run", "--base-url", f"{address}/v1/", tenant=tenant)
    assert ended.status == 0, ended


def test_values_with_line_endings_are_used_without_them(mass_stop: MassStop, tenant: Tenant) -> None:
    """As a shell reads them from a file with CRLF."""
    surrounded = {name: f"{value}\r" for name, value in tenant.environment.items()}
    surrounded |= {
        "MASS_STOP_OUT": "runs/tonight\r",
        "MASS_STOP_NO_RESULTS": "true\r",
        "MASS_STOP_TIMEOUT": "\r",
    }
    ended = mass_stop("run", "--yes", mass_stop.keys(tenant.keys[:2]), env=surrounded)
    assert ended.status == 0, ended
    assert (mass_stop.home / "runs" / "tonight" / "report.json").exists()


def test_values_in_quotes_are_used_without_them(mass_stop: MassStop, tenant: Tenant) -> None:
    """As ``docker run --env-file`` hands them over."""
    quoted = {name: f'"{value}"' for name, value in tenant.environment.items()} | {
        "MASS_STOP_OUT": "'tonight'"
    }
    ended = mass_stop("run", "--yes", "--no-results", mass_stop.keys(tenant.keys[:2]), env=quoted)
    assert ended.status == 0, ended
    assert (mass_stop.home / "tonight" / "report.json").exists()


def test_a_configuration_file_that_begins_with_a_byte_order_mark_is_read(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    (mass_stop.home / "ours.toml").write_text('\ufeffout = "tonight"\r\nno-results = true\r\n', "utf-8")
    keys = mass_stop.keys(tenant.keys[:2])
    ended = mass_stop(
        "run", "--yes", keys, "--config", "ours.toml", tenant=tenant, env={"MASS_STOP_CONFIG": ""}
    )
    assert ended.status == 0, ended
    assert (mass_stop.home / "tonight" / "report.json").exists()


@pytest.mark.parametrize("actions", ["3\r", '"3"', "\ufeff3"])
def test_variables_that_are_not_settings_are_cleaned_as_well(mass_stop: MassStop, actions: str) -> None:
    ended = mass_stop("drill", "--out", "run", "--no-results", env={"MASS_STOP_ACTIONS": actions})
    assert (ended.status, ended.report["summary"]["keys"]) == (0, 3), ended
