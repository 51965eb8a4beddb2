"""Settings from a program follow the same rules as those of an operator."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator import (
    Outcome,
    Rate,
    Secret,
    SettingError,
    Settings,
    Tenant,
    Threshold,
    UsageError,
    resume_all,
    stop_all,
    stop_each,
)
from tests.unit.embedding.served import ACTIONS, Served

WRONG: dict[str, Any] = {
    "env": "nowhere",
    "base_url": "http://rest.example.com",
    "entity_id": "a:b",
    "engine": "steam",
    "concurrency": 0,
    "headroom": 200,
    "rate": Rate(calls=0, seconds=60),
    "max_attempts": 2.5,
    "timeout": -1.0,
    "deadline": float("inf"),
    "settle": None,
    "max_failures": Threshold(count=3, share=0.5),
    "max_failures_total": Threshold(share=5.0),
    "any_key": "maybe",
}
"""Values that a setting refuses."""


def is_empty(path: Path) -> bool:
    return not any(path.iterdir())


def written(**values: Any) -> Settings:
    return Settings(**{"base_url": "https://tenant.invalid", "token": Secret("ready"), **values})


@pytest.mark.asyncio
@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_value_is_refused_before_a_file_is_created(name: str, tmp_path: Path):
    with pytest.raises(SettingError) as raised:
        await stop_all(["0" * 32], written(out=str(tmp_path / "run"), **{name: WRONG[name]}))
    assert (raised.value.name.replace("-", "_"), is_empty(tmp_path)) == (name, True)


@pytest.mark.asyncio
@pytest.mark.parametrize("name", ["base_url", "env", "headroom", "concurrency", "rate"])
async def test_a_wrong_value_of_one_of_several_tenants_is_refused(name: str, tmp_path: Path):
    tenant = Tenant(**{"base_url": "https://tenant.invalid", "token": Secret("ready"), name: WRONG[name]})
    with pytest.raises(SettingError, match=r"^tenant north: "):
        await stop_all([("north", "0" * 32)], Settings(out=str(tmp_path / "run")), {"north": tenant})
    assert is_empty(tmp_path)


@pytest.mark.asyncio
async def test_a_wrong_value_for_an_iterator_is_refused(tmp_path: Path):
    with pytest.raises(SettingError, match="headroom"):
        await anext(stop_each(["0" * 32], written(out=str(tmp_path / "run"), headroom=200)))


@pytest.mark.asyncio
@pytest.mark.parametrize("secret", ["S3cret+42==", Secret("S3cret+42==\n")])
async def test_an_invalid_secret_is_refused_without_showing_it(secret: Any, tmp_path: Path):
    with pytest.raises(UsageError, match="Settings: token ") as raised:
        await stop_all(["0" * 32], written(out=str(tmp_path / "run"), token=secret))
    assert "S3cret" not in str(raised.value)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "tenant", "why"),
    [
        ("../north", Tenant(base_url="https://t.invalid", token=Secret("t")), "is named"),
        ("north", Tenant(base_url="https://t.invalid"), "it needs client_id"),
        ("north", Tenant(token=Secret("t")), "it needs env or base_url"),
        ("north", Tenant(env="us-test", client_id="c", client_secret_env="S3cret+42=="), "client_secret_env"),
    ],
)
async def test_an_unusable_tenant_is_refused(name: str, tenant: Tenant, why: str, tmp_path: Path):
    with pytest.raises(UsageError, match=why) as raised:
        await stop_all([(name, "0" * 32)], Settings(out=str(tmp_path / "run")), {name: tenant})
    assert ("S3cret" in str(raised.value), is_empty(tmp_path)) == (False, True)


@pytest.mark.asyncio
async def test_a_program_can_name_a_data_centre(tmp_path: Path):
    # Its address is known from the name alone: only then are credentials missed.
    with pytest.raises(UsageError, match="credentials"):
        await stop_all(["0" * 32], Settings(out=str(tmp_path / "run"), env="us-test"))


@pytest.mark.asyncio
async def test_a_program_can_name_the_file_of_a_secret(served: Served, tmp_path: Path, keys: list[str]):
    config = served.tenant.config
    secret = tmp_path / "secret"
    secret.write_text(config.client_secret + "\n", "utf-8")
    secret.chmod(0o600)
    settings = Settings(
        base_url=served.tenant.base_url + "/",
        client_id=config.client_id,
        client_secret_file=str(secret),
        out=str(tmp_path / "run"),
        headroom=20,
        rate=Rate(calls=1000, seconds=7),
        max_failures=Threshold(share=0.5),
    )
    report = await stop_all(keys, settings)
    assert report.summary.outcomes == {Outcome.STOPPED: ACTIONS}


@pytest.mark.asyncio
async def test_a_limit_over_all_tenants_holds_for_the_only_one(served: Served, tmp_path: Path):
    unknown = [f"{number:032d}" for number in range(20)]
    settings = served.settings(tmp_path / "run", concurrency=1, max_failures_total=Threshold(count=2))
    report = await stop_all(unknown, settings)
    assert (report.run.exit_status, report.summary.outcomes[Outcome.NOT_ATTEMPTED] > 0) == (4, True)


@pytest.mark.asyncio
async def test_a_resumed_run_takes_the_secret_it_is_given_and_looks_for_no_file(
    served: Served, tmp_path: Path, keys: list[str]
):
    secret = tmp_path / "secret"
    secret.write_text(served.tenant.config.client_secret, "utf-8")
    secret.chmod(0o600)
    out = str(tmp_path / "run")
    first = Settings(
        base_url=served.tenant.base_url,
        client_id=served.tenant.config.client_id,
        client_secret_file=str(secret),
        out=out,
        deadline=0.001,
    )
    await stop_all(keys, first)
    secret.unlink()
    report = await resume_all(out, served.settings(tmp_path / "run"), keys)
    assert report.summary.outcomes == {Outcome.STOPPED: ACTIONS}


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (Settings(), "base_url"),
        (Settings(base_url="https://t.invalid"), "client_secret"),
        (Settings(base_url="https://t.invalid", token=Secret("t"), ca_file="nowhere.pem"), "ca_file"),
        (Settings(base_url="https://t.invalid", token_file="nowhere"), "token_file"),
        (Settings(env="us-test", base_url="https://t.invalid"), "env"),
        (Settings(engine="dask", scheduler="tls://t.invalid"), "shared_dir"),
    ],
)
async def test_an_error_names_arguments_and_no_options(
    settings: Settings, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=rf"\b{named}\b") as raised:
        await stop_all(["0" * 32], settings)
    assert "--" not in str(raised.value)
    assert "ZUORA_" not in str(raised.value)


@pytest.mark.asyncio
async def test_settings_of_another_class_are_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="settings must be a Settings, not dict"):
        await stop_all(["0" * 32], {"out": str(tmp_path)})  # type: ignore[arg-type]
