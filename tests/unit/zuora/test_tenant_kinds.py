"""Nobody stops production by mistake: what an address is taken for."""

import pytest

from orchestrator.cli.tenants import kind_of_tenant
from orchestrator.settings import ENVIRONMENTS


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_known_data_centre_is_production_by_its_name(name: str):
    kind = kind_of_tenant(ENVIRONMENTS[name])
    assert kind.production is name.endswith("-prod")
    assert name in kind.text


@pytest.mark.parametrize(
    "address", ["https://REST.zuora.com", "https://rest.zuora.com:443", "https://rest.zuora.com/"]
)
def test_production_is_known_however_its_address_is_spelled(address: str):
    kind = kind_of_tenant(address)
    assert (kind.production, kind.text) == (True, "us2-prod")


@pytest.mark.parametrize("address", ["https://zuora.example.com", "https://rest.zuora.com.example.com"])
def test_an_address_that_nobody_knows_is_taken_for_production(address: str):
    assert kind_of_tenant(address).production


@pytest.mark.parametrize("address", ["http://127.0.0.1:8480", "http://localhost", "http://[::1]:1"])
def test_this_machine_is_no_production(address: str):
    assert not kind_of_tenant(address).production
