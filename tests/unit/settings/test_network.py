"""The way to the tenant: which proxy, from where, and which certificates."""

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.errors import SettingError, UsageError
from orchestrator.settings import Settings, programs, resolve
from orchestrator.settings.network import Route, route_to, split_proxy

TENANT = "https://rest.zuora.com"
PROXY = "http://proxy.test:3128"
CERTIFICATE = Path(__file__).parents[1] / "tls" / "good.pem"

VARIABLES = ("MASS_STOP_PROXY", *(f"{name}_PROXY" for name in ("HTTPS", "HTTP", "ALL", "NO")))


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of this machine names a proxy."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def route(address: str = TENANT, **changes: object) -> Route:
    return route_to(Settings(base_url=address, **changes))  # type: ignore[arg-type]


def url(found: Route) -> str | None:
    return found.proxy.url if found.proxy else None


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_the_variable_is_read_in_upper_and_lower_case(monkeypatch, name):
    monkeypatch.setenv(name, PROXY)
    assert url(route()) == PROXY


def test_the_lower_case_variable_takes_precedence(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://other.test")
    monkeypatch.setenv("https_proxy", PROXY)
    assert url(route()) == PROXY


@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize(
    ("value", "address", "used"),
    [
        ("rest.zuora.com", TENANT, False),
        ("zuora.com", TENANT, False),
        (".zuora.com", TENANT, False),
        ("*", TENANT, False),
        ("a.test, REST.ZUORA.COM ,b.test", TENANT, False),
        ("rest.zuora.com:443", TENANT, False),
        ("rest.zuora.com:8443", TENANT + ":8443", False),
        ("rest.zuora.com:8443", TENANT, True),
        ("rest.zuora.com", TENANT + ":8443", False),
        ("uora.com", TENANT, True),
        ("other.test", TENANT, True),
        ("", TENANT, True),
    ],
)
def test_no_proxy_excludes_hosts_as_other_tools_read_it(monkeypatch, name, value, address, used):
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv(name, value)
    found = route(address)
    assert (found.proxy is not None, found.unused is None) == (used, used)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_another_variable_is_not_used_and_named(monkeypatch, name):
    monkeypatch.setenv(name, PROXY)
    assert route().proxy is None
    assert f"{name.upper()} is not used for https:// addresses" in str(route().unused)


@pytest.mark.parametrize("value", ["", '""', "  ''"])
def test_an_empty_variable_names_no_proxy(monkeypatch, value):
    monkeypatch.setenv("HTTPS_PROXY", value.strip())
    assert route().proxy is None


@pytest.mark.parametrize("address", ["https://localhost:8443", "https://127.0.0.1", "https://[::1]:8443"])
def test_a_loopback_address_never_uses_a_proxy(monkeypatch, address):
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    assert route(address).proxy is None
    assert route(address, proxy=PROXY).proxy is None


def test_the_setting_takes_precedence_over_both_variables(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://other.test")
    monkeypatch.setenv("NO_PROXY", "*")
    assert url(route(proxy=PROXY)) == PROXY


@pytest.mark.parametrize(
    ("written", "normal", "credentials"),
    [
        ("proxy.test:3128", PROXY, None),
        ("HTTP://Proxy.Test:3128/", PROXY, None),
        (" http://proxy.test:3128\r\n", PROXY, None),
        ("https://proxy.test", "https://proxy.test", None),
        ("http://[2001:DB8::1]:3128", "http://[2001:db8::1]:3128", None),
        ("http://user:secret@proxy.test:3128", PROXY, "user:secret"),
        ("user:secret@proxy.test:3128", PROXY, "user:secret"),
        ("http://user@proxy.test:3128", PROXY, "user:"),
        ("http://us%40er:p%3A%2F%40%C3%A9@proxy.test:3128", PROXY, "us@er:p:/@é"),
        ("http://user:a:b@proxy.test:3128", PROXY, "user:a:b"),
    ],
)
@pytest.mark.parametrize("where", ["variable", "setting"])
def test_an_address_has_one_normal_form_without_its_credentials(
    monkeypatch, where, written, normal, credentials
):
    if where == "variable":
        monkeypatch.setenv("HTTPS_PROXY", written)
        proxy = route().proxy
    else:
        proxy = route_to(resolve({"proxy": written, "base_url": TENANT}, {})).proxy
    assert proxy is not None
    assert (proxy.url, proxy.credentials and proxy.credentials.reveal()) == (normal, credentials)


@pytest.mark.parametrize(
    "wrong",
    ["socks5://proxy.test:1080", "socks4a://user:secret@proxy.test", "ftp://proxy.test", "http://", "http://proxy.test:0",
     "http://proxy.test:many", "http://proxy.test/path", "http://proxy.test?q", "http://us%3Aer:secret@proxy.test",
     "http://user:sec/ret@proxy.test:3128", "user:sec#ret@proxy.test", "http://user:secret@", "http://proxy test"],
)  # fmt: skip
@pytest.mark.parametrize("where", ["variable", "option", "program"])
def test_an_address_that_cannot_be_used_is_refused_without_its_password(monkeypatch, where, wrong):
    monkeypatch.setenv("HTTPS_PROXY", wrong)
    read: dict[str, Callable[[], object]] = {
        "variable": route,
        "option": lambda: resolve({"proxy": wrong}, {}),
        "program": lambda: programs.checked(programs.Settings(proxy=wrong), several=False),
    }
    with pytest.raises(SettingError) as caught:
        read[where]()
    assert "SOCKS is not supported" in str(caught.value)
    assert "sec" not in str(caught.value)
    assert "http://" in caught.value.expected


def test_credentials_are_read_from_the_variable_where_the_settings_have_none(monkeypatch):
    """A resumed run and a dask worker are given the address alone."""
    monkeypatch.setenv("MASS_STOP_PROXY", "http://user:secret@proxy.test:3128")
    proxy = route(proxy=PROXY).proxy
    assert proxy is not None
    assert proxy.credentials is not None
    assert proxy.credentials.reveal() == "user:secret"


def test_credentials_for_another_proxy_are_not_used(monkeypatch):
    monkeypatch.setenv("MASS_STOP_PROXY", "http://user:secret@other.test:3128")
    proxy = route(proxy=PROXY).proxy
    assert proxy is not None
    assert proxy.credentials is None


def test_settings_never_show_the_credentials():
    settings = resolve({"proxy": "http://user:secret@proxy.test:3128"}, {})
    assert settings.proxy == PROXY
    assert "secret" not in repr(settings).replace("client_secret", "")


def test_settings_from_a_program_keep_their_credentials():
    given = programs.resolve({"proxy": "http://user%40:se%3Acret@proxy.test:3128"}, {})
    settings = programs.checked(given, several=False)
    assert "user%40" not in repr(given)
    assert settings.proxy_credentials is not None
    assert settings.proxy_credentials.reveal() == "user@:se:cret"


def test_an_address_without_credentials_is_split_too():
    assert split_proxy(PROXY) == (PROXY, None)


def test_a_ca_file_is_kept_with_its_full_path(monkeypatch, tmp_path):
    (tmp_path / "ca.pem").write_bytes(CERTIFICATE.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert resolve({"ca_file": "ca.pem"}, {}).ca_file == str(tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "cannot be read: No such file or directory."),
        (b"", "contains no certificate in PEM form."),
        (b"certificates, please", "contains no certificate in PEM form."),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "contains no certificate in PEM form.",
        ),
        (b"\x30\x82\x01\x0a\x02", "contains no certificate in PEM form."),
    ],
)
def test_a_ca_file_that_cannot_be_used_is_refused_with_one_sentence(tmp_path, content, why):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        resolve({"ca_file": str(path)}, {})
    assert str(caught.value) == f"--ca-file: {path} {why}"


def test_a_folder_is_no_ca_file(tmp_path):
    with pytest.raises(UsageError, match="Is a directory"):
        resolve({"ca_file": str(tmp_path)}, {})
