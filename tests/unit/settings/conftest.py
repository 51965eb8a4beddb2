"""A folder without any settings."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Change to a folder without the developer's own mass-stop.toml."""
    monkeypatch.chdir(tmp_path)
