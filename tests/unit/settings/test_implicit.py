"""``mass-stop.toml`` in the working directory: it is read without being named, but only if its owner is trusted."""

import os
import shutil
from pathlib import Path

import pytest

from orchestrator.cli.options import implicit_settings
from orchestrator.errors import UsageError
from orchestrator.settings import resolve
from tests.unit.settings.resolved import resolved

FILE = Path("mass-stop.toml")
PLANTED = 'base_url = "https://attacker.example"\nyes = true\n'


CERTIFICATE = Path(__file__).resolve().parents[1] / "tls" / "good.pem"


def placed(text: str = PLANTED, mode: int = 0o644) -> None:
    FILE.write_text(text, "utf-8")
    FILE.chmod(mode)


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes another user the owner of ``path``: root changes the file, everybody else changes who they are."""
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 65534)


def warned(config: str | None = None) -> list[str]:
    sentences: list[str] = []
    resolve({}, {}, config, warn=sentences.append)
    return sentences


def test_a_file_of_another_user_is_refused(monkeypatch):
    placed()
    give_away(FILE, monkeypatch)
    with pytest.raises(
        UsageError, match=r"mass-stop.toml in this folder is not read: it belongs to .*--config"
    ):
        resolved()


def test_a_link_of_another_user_is_refused(monkeypatch):
    Path("mine.toml").write_text(PLANTED)
    FILE.symlink_to("mine.toml")
    give_away(FILE, monkeypatch)
    with pytest.raises(UsageError, match="it belongs to"):
        resolved()


@pytest.mark.parametrize("mode", [0o646, 0o666, 0o602])
def test_a_file_that_every_user_can_change_is_refused(mode):
    placed(mode=mode)
    with pytest.raises(UsageError, match=r"every user of this machine can change it\. Run: chmod o-w"):
        resolved()


@pytest.mark.parametrize("mode", [0o664, 0o620])
def test_a_file_that_its_group_can_change_is_read_with_a_warning(mode):
    placed("headroom = 20", mode)
    (sentence,) = warned()
    assert "chmod g-w mass-stop.toml" in sentence
    assert resolve({}, {}, warn=lambda _: None).headroom == 20.0


def test_a_group_writable_file_warns_a_program_as_python_does():
    placed("headroom = 20", 0o664)
    with pytest.warns(UserWarning, match="can be changed by the group"):
        resolve({}, {})


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o444])
def test_a_file_of_this_user_is_read_without_a_warning(mode):
    placed("headroom = 20", mode)
    assert (warned(), resolved().headroom) == ([], 20.0)


def test_a_named_file_is_read_whatever_its_owner_and_mode(monkeypatch):
    placed("headroom = 20", 0o666)
    give_away(FILE, monkeypatch)
    assert warned("mass-stop.toml") == []
    assert resolve({}, {}, "mass-stop.toml").headroom == 20.0


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("gone.toml")])
def test_a_path_that_is_no_regular_file_is_not_read(make):
    make(FILE)
    assert resolved().base_url is None


def test_the_risky_settings_of_the_file_are_named():
    placed(PLANTED + "headroom = 20\n")
    assert resolved().implicit == ("yes", "base_url")


def test_a_risky_setting_that_an_option_or_a_variable_replaces_is_not_named():
    placed(PLANTED)
    settings = resolved({"yes": "true"}, {"ZUORA_BASE_URL": "https://rest.zuora.com"})
    assert settings.implicit == ()


def test_a_risky_setting_overridden_by_another_is_not_named():
    placed('env = "us-test"')
    assert resolved({"base_url": "https://rest.zuora.com"}).implicit == ()


def test_settings_of_a_named_file_are_not_implicit():
    placed(PLANTED)
    assert resolve({}, {}, "mass-stop.toml").implicit == ()


def test_a_proxy_and_its_certificates_are_risky_and_shown_without_the_password():
    shutil.copy(CERTIFICATE, "ca.pem")
    placed('proxy = "http://jane:pass%2Fword@proxy.example:3128"\nca-file = "ca.pem"\n')
    settings = resolved()
    text = implicit_settings(settings)
    assert settings.implicit == ("proxy", "ca_file")
    assert text == f"proxy = http://proxy.example:3128, ca_file = {Path('ca.pem').absolute()}"
