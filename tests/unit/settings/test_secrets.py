"""Secrets: where they come from, and that nothing shows them."""

import os
import sys
from pathlib import Path

import pytest

from orchestrator.errors import UsageError
from orchestrator.settings import (
    SETTINGS,
    Secret,
    Settings,
)
from tests.unit.settings.resolved import SECRET, private, resolved

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="file modes are a matter of POSIX")
not_root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="nothing is forbidden to the superuser"
)


def with_secrets() -> Settings:
    return resolved({}, {"ZUORA_CLIENT_SECRET": SECRET, "ZUORA_TOKEN": SECRET})


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r}".format, "{0.token}".format, ascii])
def test_settings_do_not_show_their_secrets(show):
    assert SECRET not in show(with_secrets())


def test_a_secret_is_revealed_on_request():
    secrets = with_secrets()
    assert secrets.client_secret is not None
    assert secrets.client_secret.reveal() == SECRET


def test_a_secret_has_no_attributes_that_a_logger_might_list():
    assert not hasattr(Secret(SECRET), "__dict__")


@pytest.mark.parametrize("key", ["client_secret", "client-secret", "token"])
def test_a_secret_in_the_configuration_file_is_refused_and_not_repeated(key):
    with pytest.raises(UsageError, match="belongs in the environment or in a file of mode 0600") as caught:
        resolved(file=f'{key} = "{SECRET}"')
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("variable", ["ZUORA_CLIENT_SECRET", "ZUORA_TOKEN"])
@pytest.mark.parametrize("secret", ["two words", "line\nbreak", "tök", "nul\x00"])
def test_a_secret_that_no_header_can_carry_is_refused_and_not_repeated(variable, secret):
    with pytest.raises(UsageError, match="holds characters that no header can carry") as caught:
        resolved({}, {variable: secret})
    assert variable in str(caught.value)
    assert secret not in str(caught.value)


def test_spaces_around_a_secret_of_the_environment_are_dropped():
    settings = resolved({}, {"ZUORA_TOKEN": f" {SECRET}\n"})
    assert settings.token is not None
    assert settings.token.reveal() == SECRET


@pytest.mark.parametrize("name", ["client_secret", "token"])
def test_a_secret_is_read_from_a_file(name):
    settings = resolved({f"{name}_file": private("secret", SECRET + "\n")})
    assert getattr(settings, name).reveal() == SECRET


@pytest.mark.parametrize("name", ["client_secret", "token"])
def test_a_file_that_the_option_names_beats_the_environment(name):
    path = private("secret", "from-the-file")
    settings = resolved({f"{name}_file": path}, {f"ZUORA_{name.upper()}": "from-the-environment"})
    assert getattr(settings, name).reveal() == "from-the-file"


@pytest.mark.parametrize("name", ["client_secret", "token"])
def test_a_secret_of_the_environment_beats_a_file_that_the_configuration_names(name):
    """The file is not opened: it may no longer exist."""
    settings = resolved({}, {f"ZUORA_{name.upper()}": "from-the-environment"}, f'{name}_file = "gone"')
    assert getattr(settings, name).reveal() == "from-the-environment"


def test_the_credentials_named_by_an_option_beat_a_token_of_the_environment():
    settings = resolved(
        {"client_id": "id", "client_secret_file": private("secret", SECRET)},
        {"ZUORA_TOKEN": "stale", "ZUORA_CLIENT_ID": "other"},
    )
    assert (settings.client_id, settings.token) == ("id", None)
    assert settings.client_secret is not None


REMEDIES = (
    r"chmod 600 secret \(in a Kubernetes volume, set defaultMode: 0440; for a Docker secret, set mode: 0400\)"
)


SOMEONE = os.geteuid() or 65534
"""A user who is not root: the one who runs the tests, or another if that is root."""


def owned(mode: int, owner: int) -> str:
    """A secret file with this mode and owner; only root can give a file away."""
    path = private("secret", SECRET)
    if os.geteuid() == 0:
        os.chown(path, owner, 0)
    Path(path).chmod(mode)
    return path


@posix_only
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o601, 0o666, 0o444])
@pytest.mark.parametrize("owner", [0, SOMEONE])
def test_a_secret_that_others_can_read_is_refused(mode, owner):
    with pytest.raises(UsageError, match=f"can be read by others; run: {REMEDIES}"):
        resolved({"token_file": owned(mode, owner)})


@posix_only
@pytest.mark.parametrize("mode", [0o640, 0o620, 0o660, 0o440])
def test_a_users_own_secret_that_the_group_can_read_is_refused(mode, monkeypatch):
    path = owned(mode, SOMEONE)
    monkeypatch.setattr(os, "geteuid", lambda: SOMEONE)
    with pytest.raises(UsageError, match=f"can be read by its group; run: {REMEDIES}"):
        resolved({"token_file": path})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of root")
@pytest.mark.parametrize("mode", [0o440, 0o640])
@pytest.mark.parametrize("user", [0, 65534])
def test_a_secret_of_root_that_a_group_can_read_is_accepted(mode, user, monkeypatch):
    """Kubernetes mounts a secret as root:group with mode 0440."""
    path = owned(mode, 0)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert resolved({"token_file": path}).token is not None


@posix_only
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_secret_that_only_its_owner_can_read_is_accepted(mode):
    path = private("secret", SECRET)
    Path(path).chmod(mode)
    assert resolved({"token_file": path}).token is not None


@pytest.mark.parametrize(
    "text", [SECRET, f"\ufeff{SECRET}\r\n", f"  {SECRET}\n\n", f"Bearer {SECRET}", f"bearer  {SECRET}\r\n"]
)
@pytest.mark.parametrize("name", ["client_secret", "token"])
def test_whitespace_around_a_secret_in_a_file_is_removed(name, text):
    settings = resolved({f"{name}_file": private("secret", text)})
    assert getattr(settings, name).reveal() == SECRET


@pytest.mark.parametrize(
    "text",
    [
        f"{SECRET}\r",
        f"\ufeff{SECRET}",
        f'"{SECRET}"',
        f"'{SECRET}'\r",
        f'"Bearer {SECRET}"',
        f"Authorization: Bearer {SECRET}",
    ],
)
@pytest.mark.parametrize("name", ["client_secret", "token"])
def test_whitespace_around_a_secret_in_a_variable_is_removed(name, text):
    settings = resolved({}, {f"ZUORA_{name.upper()}": text})
    assert getattr(settings, name).reveal() == SECRET


@not_root
def test_a_secret_that_may_not_be_read_is_refused():
    path = private("secret", SECRET)
    Path(path).chmod(0o200)
    with pytest.raises(UsageError, match="secret cannot be read: Permission denied"):
        resolved({"token_file": path})


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "secret cannot be read: No such file or directory"),
        (lambda path: path.mkdir(), "secret cannot be read: Is a directory"),
        (lambda path: path.write_bytes(b""), "secret is empty"),
        (lambda path: path.write_bytes(b" \n"), "secret is empty"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "secret cannot be read: it is not text in UTF-8"),
        (lambda path: path.write_bytes(b"two words"), "characters that no header can carry"),
    ],
    ids=["missing", "directory", "empty", "blank", "binary", "spaces"],
)
@pytest.mark.parametrize("name", ["client_secret_file", "token_file"])
def test_a_file_without_a_usable_secret_is_refused(name, make, sentence):
    path = Path("secret")
    make(path)
    if path.is_file():
        path.chmod(0o600)
    with pytest.raises(UsageError) as caught:
        resolved({name: str(path)})
    assert str(caught.value).startswith(SETTINGS[name].option)
    assert sentence in str(caught.value)
