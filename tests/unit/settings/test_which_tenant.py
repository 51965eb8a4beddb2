"""Which tenant is named, in which form, and which addresses are safe."""

import pytest

from orchestrator.errors import SettingError, UsageError
from orchestrator.settings import ENVIRONMENTS, same_address
from orchestrator.settings.addresses import is_loopback, normal_address
from tests.unit.settings.resolved import SECRET, resolved


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_has_its_address(name):
    assert resolved({"env": name}).address == ENVIRONMENTS[name]


def test_a_named_environment_overrides_an_address_further_away():
    settings = resolved({"env": "eu-prod"}, {"ZUORA_BASE_URL": "https://rest.zuora.com"})
    assert settings.address == ENVIRONMENTS["eu-prod"]


def test_an_address_overrides_an_environment_further_away():
    settings = resolved({"base_url": "https://rest.zuora.com"}, {"MASS_STOP_ENV": "eu-prod"})
    assert settings.address == "https://rest.zuora.com"


def test_an_unknown_option_is_refused_and_the_likely_one_is_named():
    with pytest.raises(UsageError, match="headrom, which is no setting; did you mean headroom"):
        resolved({"headrom": "20"})


def test_an_overridden_name_is_dropped():
    settings = resolved(
        {"base_url": "https://rest.zuora.com"}, {"MASS_STOP_ENV": "eu-prod"}, "env = 'ap-prod'"
    )
    assert settings.env is None


def test_a_name_and_an_address_that_contradict_each_other_are_refused():
    with pytest.raises(UsageError, match="name different tenants"):
        resolved({"env": "eu-prod", "base_url": "https://rest.zuora.com"})


def test_a_name_and_an_address_that_agree_are_accepted():
    assert (
        resolved({"env": "us2-prod", "base_url": "https://rest.zuora.com/"}).address
        == "https://rest.zuora.com"
    )


def test_without_a_tenant_the_message_says_how_to_name_one():
    with pytest.raises(UsageError, match="--env NAME or --base-url URL"):
        _ = resolved().address


def test_keeping_files_that_are_not_fetched_is_refused():
    with pytest.raises(UsageError, match="leave one out"):
        resolved({"no_results": "true"}, {"MASS_STOP_SAVE_RESPONSES": "true"})


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("https://rest.zuora.com", "https://rest.zuora.com"),
        (" https://rest.zuora.com// ", "https://rest.zuora.com"),
        ("HTTPS://rest.zuora.com", "https://rest.zuora.com"),
        ("https://REST.Zuora.com", "https://rest.zuora.com"),
        ("https://rest.zuora.com.", "https://rest.zuora.com"),
        ("https://rest.zuora.com:443", "https://rest.zuora.com"),
        ("https://rest.zuora.com:/", "https://rest.zuora.com"),
        ("https://rest.zuora.com/v1", "https://rest.zuora.com"),
        ("https://rest.zuora.com/v1/", "https://rest.zuora.com"),
        ("https://rest.zuora.com//v1//", "https://rest.zuora.com"),
        ("https://rest.zuora.com/./", "https://rest.zuora.com"),
        ("https://rest.zuora.com:8443/proxy", "https://rest.zuora.com:8443/proxy"),
        ("https://Gateway.example.com/Zuora/v1/", "https://gateway.example.com/Zuora"),
        ("https://gateway.example.com//a//b/", "https://gateway.example.com/a/b"),
        ("https://gateway.example.com/v1/zuora", "https://gateway.example.com/v1/zuora"),
        ("https://rest.zuora.com/v11", "https://rest.zuora.com/v11"),
        ("https://zuora_gateway:8443", "https://zuora_gateway:8443"),
        ("https://[2001:DB8:0::1]:443/", "https://[2001:db8::1]"),
        ("http://localhost:80", "http://localhost"),
        ("http://LOCALHOST:443", "http://localhost:443"),
        ("http://[0:0::1]:8080", "http://[::1]:8080"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.8.9.10", "http://127.8.9.10"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_https_is_accepted_and_plain_http_on_this_machine(written, address):
    assert resolved({"base_url": written}).address == address


@pytest.mark.parametrize(
    "typed", ["HTTPS://rest.zuora.com", "https://rest.zuora.com/v1", "https://rest.zuora.com:443/"]
)
def test_the_address_of_an_earlier_run_gets_its_normal_form(typed):
    assert resolved(earlier={"base_url": typed}).address == "https://rest.zuora.com"


@pytest.mark.parametrize("typed", ["https://REST.zuora.com/v1", "https://rest.zuora.com:443"])
def test_a_name_agrees_with_every_spelling_of_its_address(typed):
    assert resolved({"env": "us2-prod", "base_url": typed}).address == "https://rest.zuora.com"


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_known_addresses_are_in_normal_form(name):
    assert normal_address(ENVIRONMENTS[name]) == ENVIRONMENTS[name]


def test_two_spellings_of_one_tenant_are_the_same_address():
    assert same_address("https://REST.zuora.com:443/v1/", "https://rest.zuora.com")
    assert not same_address("https://rest.zuora.com/a", "https://rest.zuora.com/b")
    assert not same_address("https://rest.zuora.com:8443", "https://rest.zuora.com")


@pytest.mark.parametrize(
    "written",
    [
        "http://rest.zuora.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://0.0.0.0",
        "http://192.168.0.1",
        "http://[::2]",
        "ftp://localhost",
        "rest.zuora.com",
        "//rest.zuora.com",
        "https://",
        "https://:443",
        "https://rest.zuora.com:99999",
        "https://rest.zuora.com:0",
        "https://rest.zuora.com:port",
        "https://[rest.zuora.com",
        "https://rest.zuora.com?x=1",
        "https://rest.zuora.com?",
        "https://rest.zuora.com#x",
        "https://rest.zuora.com#",
        "https://rest.zuora .com",
        "https://rest.zuo\nra.com",
        "https://rest.zuora.com\\@example.com",
        "https://rest.zuora.com/a/../b",
        "https://rest%2ezuora.com",
        "https://rest..zuora.com",
        "https://[::1%25eth0]",
        "https://[::g]",
        "",
    ],
)
def test_an_unsafe_address_is_refused(written):
    with pytest.raises(SettingError, match="expected an https:// address"):
        resolved({"base_url": written})


@pytest.mark.parametrize("user", ["jane:{}", ":{}", "{}"])
def test_an_address_with_a_user_is_refused_and_not_repeated(user):
    with pytest.raises(SettingError) as caught:
        resolved({"base_url": f"https://{user.format(SECRET)}@rest.zuora.com"})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("host", [None, "", "example.com", "127.0.0.1.example.com", "localhost."])
def test_no_other_host_is_loopback(host):
    assert not is_loopback(host)
