"""A folder without any settings."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No mass-stop.toml of the developer's own, and nothing of the environment."""
    monkeypatch.chdir(tmp_path)
