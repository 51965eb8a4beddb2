"""Which addresses are production: no one should stop actions there by mistake."""

import pytest

from orchestrator.settings import ENVIRONMENTS, kind_of_tenant


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_known_data_centre_is_production_by_its_name(name: str):
    kind = kind_of_tenant(ENVIRONMENTS[name])
    assert kind.production is name.endswith("-prod")
    assert name in kind.text


@pytest.mark.parametrize(
    "address",
    [
        "https://REST.zuora.com",
        "HTTPS://rest.zuora.com",
        "https://rest.zuora.com:443",
        "https://rest.zuora.com/",
        "https://rest.zuora.com/v1/",
        "https://rest.zuora.com./v1",
        "https://rest.zuora.com/prefix",
    ],
)
def test_production_is_known_however_its_address_is_spelled(address: str):
    kind = kind_of_tenant(address)
    assert (kind.production, kind.text) == (True, "us2-prod")


@pytest.mark.parametrize("address", ["https://zuora.example.com", "https://rest.zuora.com.example.com"])
def test_an_unknown_address_is_treated_as_production(address: str):
    kind = kind_of_tenant(address)
    assert (kind.production, kind.label) == (True, "treated as production")


def test_a_report_labels_a_data_centre_with_its_name():
    assert kind_of_tenant("https://REST.zuora.com/v1").label == "us2-prod, production"
    assert kind_of_tenant("https://rest.test.zuora.com:443").label == "us-test"
    assert kind_of_tenant("http://127.0.0.1:8480").label is None


@pytest.mark.parametrize("address", ["http://127.0.0.1:8480", "http://localhost", "http://[::1]:1"])
def test_this_machine_is_not_production(address: str):
    assert not kind_of_tenant(address).production
