"""The file of tenants: its valid content, and the message for invalid content."""

import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from orchestrator.errors import UsageError
from orchestrator.settings import Rate, Settings, Threshold, resolve
from orchestrator.settings.tenants import Tenant, read_tenants, settings_of

TOKEN = 'token_env = "NORTH_TOKEN"'
ADDRESS = 'base_url = "https://north.example"'


def read(tmp_path: Path, text: str) -> dict[str, Tenant]:
    path = tmp_path / "tenants.toml"
    path.write_text(text, "utf-8")
    return read_tenants(str(path))


def north(tmp_path: Path, *lines: str) -> Tenant:
    return read(tmp_path, "\n".join(("[tenants.north]", *lines)))["north"]


def refusal(tmp_path: Path, *lines: str) -> str:
    with pytest.raises(UsageError) as caught:
        north(tmp_path, *lines)
    return str(caught.value)


def secret_file(tmp_path: Path, name: str = "secret.txt", mode: int = 0o600) -> Path:
    path = tmp_path / name
    path.write_text("kept-in-a-file\n")
    path.chmod(mode)
    return path


def resolved(tenant: Tenant, environment: dict[str, str] | None = None, **base: Any) -> Settings:
    with patch.dict(os.environ, environment or {"NORTH_TOKEN": "t"}):
        return settings_of("north", tenant, Settings(**base))


def test_tenants_are_read_in_the_order_of_the_file(tmp_path):
    text = "".join(f"[tenants.{name}]\n{ADDRESS}\n{TOKEN}\n" for name in ("south", "north", "east"))
    assert list(read(tmp_path, text)) == ["south", "north", "east"]


def test_an_environment_gives_its_address(tmp_path):
    assert north(tmp_path, 'env = "eu-prod"', TOKEN).address == "https://rest.eu.zuora.com"


def test_the_limits_of_a_tenant_are_its_own(tmp_path):
    lines = ("concurrency = 3", "headroom = 50", 'rate = "10/s"', 'max_failures = "5%"')
    settings = resolved(north(tmp_path, ADDRESS, TOKEN, *lines), concurrency=20, headroom=10.0)
    assert (settings.concurrency, settings.headroom, settings.rate, settings.max_failures) == (
        3,
        50.0,
        Rate(10, 1),
        Threshold(share=0.05),
    )


def test_a_tenant_inherits_the_settings_of_the_run(tmp_path):
    settings = resolved(north(tmp_path, ADDRESS, TOKEN), concurrency=20, timeout=5.0)
    assert (settings.concurrency, settings.timeout) == (20, 5.0)


def test_keys_may_be_written_as_in_the_configuration_file(tmp_path):
    tenant = north(tmp_path, 'base-url = "https://north.example"', 'token-env = "NORTH_TOKEN"')
    assert tenant == north(tmp_path, ADDRESS, TOKEN)


def test_entity_and_organisations_are_taken(tmp_path):
    tenant = north(tmp_path, ADDRESS, TOKEN, 'entity_id = "e-1"', 'org_ids = ["o-1", "o-2"]')
    assert (tenant.entity_id, tenant.org_ids) == ("e-1", ("o-1", "o-2"))


def test_a_client_is_read_from_the_environment(tmp_path):
    tenant = north(tmp_path, ADDRESS, 'client_id_env = "NORTH_ID"', 'client_secret_env = "NORTH_SECRET"')
    settings = resolved(tenant, {"NORTH_ID": "client", "NORTH_SECRET": "s3cret"})
    assert settings.client_secret is not None
    assert (settings.client_id, settings.client_secret.reveal()) == ("client", "s3cret")


def test_a_secret_path_is_relative_to_the_tenants_file(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    secret_file(tmp_path)
    tenant = north(tmp_path, ADDRESS, 'client_id = "client"', 'client_secret_file = "secret.txt"')
    secret = resolved(tenant).client_secret
    assert secret is not None
    assert secret.reveal() == "kept-in-a-file"


def test_a_secret_file_that_others_can_read_is_refused(tmp_path):
    secret_file(tmp_path, mode=0o644)
    tenant = north(tmp_path, ADDRESS, 'client_id = "client"', 'client_secret_file = "secret.txt"')
    with pytest.raises(UsageError, match=r"client_secret_file of tenant north.*chmod 600"):
        resolved(tenant)


def test_the_credentials_of_one_tenant_are_not_those_of_the_environment(tmp_path):
    tenant = north(tmp_path, ADDRESS, TOKEN)
    settings = resolved(tenant, {"NORTH_TOKEN": "north", "ZUORA_CLIENT_SECRET": "s", "ZUORA_TOKEN": "other"})
    assert settings.token is not None
    assert (settings.token.reveal(), settings.client_secret) == ("north", None)


def test_a_variable_that_is_not_set_is_named(tmp_path):
    with pytest.raises(UsageError, match="NORTH_TOKEN, which token_env of tenant north names, is not set"):
        resolved(north(tmp_path, ADDRESS, TOKEN), {"OTHER": "x"})


def test_a_secret_in_place_of_its_variable_name_is_not_shown(tmp_path):
    tenant = north(tmp_path, ADDRESS, 'client_id = "c"', 'client_secret_env = "a1b2c3d4e5f6"')
    with pytest.raises(UsageError, match="not set") as caught:
        resolved(tenant, {"OTHER": "x"})
    assert "a1b2c3" not in str(caught.value)


@pytest.mark.parametrize("key", ["client_secret", "client-secret", "token"])
def test_a_secret_in_the_file_is_refused_without_being_shown(tmp_path, key):
    said = refusal(tmp_path, ADDRESS, f'{key} = "hunter2"')
    assert "of tenant north in" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((ADDRESS, TOKEN, "concurrency = 0"), "concurrency of tenant north in"),
        ((ADDRESS, TOKEN, 'headroom = "all"'), "headroom of tenant north in"),
        ((ADDRESS, TOKEN, 'rate = "fast"'), "rate of tenant north in"),
        ((ADDRESS, TOKEN, 'max_failures = "some"'), "max_failures of tenant north in"),
        (('base_url = "ftp://x"', TOKEN), "base_url of tenant north in"),
        (('env = "nowhere"', TOKEN), "env of tenant north in"),
        ((ADDRESS, TOKEN, "timeout = 3"), "timeout of tenant north in"),
        ((ADDRESS, TOKEN, "concurency = 3"), "did you mean concurrency?"),
        ((TOKEN,), "it needs env or base_url"),
        (('env = "eu-prod"', ADDRESS, TOKEN), "name different tenants"),
        ((ADDRESS,), "it needs client_id"),
        ((ADDRESS, 'client_id = "c"'), "it needs client_id"),
        ((ADDRESS, TOKEN, 'client_id = "c"'), "both a token and a client"),
        ((ADDRESS, TOKEN, 'token_file = "t"'), "both token_env and token_file"),
        ((ADDRESS, 'token_env = "not a name"'), "token_env of tenant north in"),
    ],
)
def test_a_wrong_value_is_named_with_its_tenant_and_file(tmp_path, lines, expected):
    said = refusal(tmp_path, *lines)
    assert expected in said
    assert "tenants.toml" in said


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tenants = 3",
        "[tenants]",
        "[tenants]\nnorth = 3",
        f"[other]\n[tenants.north]\n{ADDRESS}\n{TOKEN}",
        '[tenants."a/b"]',
        '[tenants."../up"]',
        "[tenants.north",
        f"[tenants.north]\n{ADDRESS}\n{TOKEN}\n[tenants.North]\n{ADDRESS}\n{TOKEN}",
    ],
)
def test_a_file_of_another_form_is_refused_with_a_sentence(tmp_path, text):
    with pytest.raises(UsageError, match=r"tenants\.toml"):
        read(tmp_path, text)


def test_a_file_without_end_is_refused():
    with pytest.raises(UsageError, match="/dev/zero cannot be read: it has more than 16 MB"):
        read_tenants("/dev/zero")


def test_a_file_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match="cannot be read"):
        read_tenants("nowhere.toml")


@pytest.mark.parametrize("option", ["base_url", "env", "client_id", "entity_id", "org_ids", "token_file"])
def test_an_option_of_one_tenant_is_refused_with_a_tenants_file(option):
    value = {"base_url": "https://x.example", "env": "eu-prod"}.get(option, "x")
    with pytest.raises(UsageError, match="with --tenants, write it into"):
        resolve({"tenants": "tenants.toml", option: value}, {})


def test_variables_of_one_tenant_are_ignored_with_a_tenants_file():
    environment = {"ZUORA_BASE_URL": "https://x.example", "ZUORA_CLIENT_ID": "c", "ZUORA_CLIENT_SECRET": "s"}
    settings = resolve({"tenants": "tenants.toml"}, environment)
    assert (settings.base_url, settings.client_id, settings.client_secret) == (None, None, None)


def test_a_tenant_option_without_a_tenants_file_is_refused():
    with pytest.raises(UsageError, match="--tenant names one of several"):
        resolve({"tenant": "north"}, {})


def test_a_scheduler_without_its_engine_is_refused():
    with pytest.raises(UsageError, match="--engine dask"):
        resolve({"scheduler": "tcp://x:8786"}, {})


def test_a_scheduler_without_a_shared_folder_is_refused():
    with pytest.raises(UsageError, match="--shared-dir"):
        resolve({"scheduler": "tcp://x:8786", "engine": "dask"}, {})


def test_the_total_of_failures_is_the_limit_of_a_run_of_one_tenant():
    assert resolve({"max_failures_total": "3"}, {}).max_failures == Threshold(count=3)
