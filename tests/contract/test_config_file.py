"""``config/mass-stop.toml`` says what the code does: every setting, once, with its help, its names and its default."""

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from orchestrator.settings import SETTINGS, Setting, Settings, resolve
from orchestrator.settings.layers import OF_ONE_TENANT

FILE = Path(__file__).resolve().parents[2] / "config" / "mass-stop.toml"
CERTIFICATE = Path(__file__).resolve().parents[1] / "unit" / "tls" / "good.pem"
TEXT = FILE.read_text("utf-8")

SETTING_LINE = re.compile(r"^# ([a-z][a-z-]*) = (.+)$", re.M)
UNCOMMENTED = SETTING_LINE.sub(r"\1 = \2", TEXT)

every_setting = pytest.mark.parametrize("setting", SETTINGS.values(), ids=lambda setting: setting.name)


def has_default(setting: Setting) -> bool:
    return setting.default not in (None, ())


def entry_of(setting: Setting) -> list[str]:
    """The three lines of ``setting``: help, names, value."""
    lines = TEXT.splitlines()
    (at,) = [place for place, line in enumerate(lines) if line.startswith(f"# {key_of(setting)} = ")]
    return lines[at - 2 : at + 1]


def key_of(setting: Setting) -> str:
    return setting.name.replace("_", "-")


@pytest.fixture
def resolved(setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of the file with every line uncommented; its example secrets exist.

    Settings of one tenant are ignored with several tenants. They are therefore tried with one.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("client-secret.txt", "token.txt"):
        secret = tmp_path / name
        secret.write_text("made-up")
        secret.chmod(0o600)
    shutil.copy(CERTIFICATE, tmp_path / "certificates.pem")
    config = tmp_path / "all.toml"
    of_one = setting.name in OF_ONE_TENANT
    config.write_text(re.sub(r"(?m)^tenants? = .*$", "", UNCOMMENTED) if of_one else UNCOMMENTED, "utf-8")
    return resolve({}, environment={}, config=str(config))


def test_the_file_as_delivered_changes_nothing():
    assert tomllib.loads(TEXT) == {}


def test_the_file_names_every_setting_once_and_nothing_else():
    named = [key.replace("-", "_") for key, _ in SETTING_LINE.findall(TEXT)]
    assert sorted(named) == sorted(SETTINGS)


def test_every_line_uncommented_is_valid_toml():
    assert len(tomllib.loads(UNCOMMENTED)) == len(SETTINGS)


@every_setting
def test_a_setting_follows_its_help(setting: Setting):
    text = setting.help
    assert entry_of(setting)[0] == f"# {text[0].upper()}{text[1:]}."


@every_setting
def test_a_setting_follows_its_option_and_environment_name(setting: Setting):
    without = "" if has_default(setting) else "; no default"
    assert entry_of(setting)[1] == f"# {setting.option}, {setting.variable}{without}"


@every_setting
def test_a_setting_is_shown_at_its_default_or_with_an_example(setting: Setting, resolved: Settings):
    value: Any = getattr(resolved, setting.name)
    if has_default(setting):
        assert value == setting.default
    else:
        assert value not in (None, ())


def test_no_secret_can_be_set_in_the_file():
    assert not {"client-secret", "token"} & {key for key, _ in SETTING_LINE.findall(TEXT)}
