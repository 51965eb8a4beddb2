"""Settings resolved from the four layers."""

from pathlib import Path

from orchestrator.settings import (
    Settings,
    resolve,
)

SECRET = "S3cret/Value+42=="


def resolved(
    options: dict[str, object] | None = None,
    environment: dict[str, str] | None = None,
    file: str | None = None,
    earlier: dict[str, object] | None = None,
) -> Settings:
    """Return settings from the four layers. ``file`` is the text of a configuration file."""
    config = None
    if file is not None:
        Path("settings.toml").write_text(file, "utf-8")
        config = "settings.toml"
    return resolve(options or {}, environment or {}, config, earlier)


def private(name: str, text: str) -> str:
    """Write a file of mode 0600 in the working directory, and return its name."""
    path = Path(name)
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    return name
