"""verify_all: a finished run is compared with what its tenant says now."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator import (
    CredentialsRefused,
    Secret,
    Settings,
    UsageError,
    plan_all,
    read_report,
    stop_all,
    verify_all,
)
from tests.unit.embedding.served import ACTIONS


@pytest.mark.asyncio
async def test_a_stop_that_holds_is_verified(settings: Settings, keys: list[str], tmp_path: Path):
    await stop_all(keys, settings)
    found = await verify_all(tmp_path / "run", settings)
    assert (found.held, found.keys, found.over, found.findings) == (True, ACTIONS, ACTIONS, [])


@pytest.mark.asyncio
async def test_a_verification_is_in_the_report(settings: Settings, keys: list[str], tmp_path: Path):
    await stop_all(keys, settings)
    await verify_all(tmp_path / "run", settings)
    verifications = read_report(tmp_path / "run").run.verifications or []
    assert [one.over for one in verifications] == [ACTIONS]


@pytest.mark.asyncio
async def test_a_plan_cannot_be_verified(settings: Settings, keys: list[str], tmp_path: Path):
    await plan_all(keys, settings)
    with pytest.raises(UsageError, match="is a plan"):
        await verify_all(tmp_path / "run", settings)


@pytest.mark.asyncio
async def test_a_verification_with_wrong_credentials_raises_their_error(
    settings: Settings, keys: list[str], tmp_path: Path
):
    await stop_all(keys, settings)
    with pytest.raises(CredentialsRefused):
        await verify_all(tmp_path / "run", replace(settings, client_secret=Secret("wrong")))
