"""``mass-stop check KEY``: one action is read, and nothing is stopped."""

from collections.abc import Iterator

import pytest

from tests.acceptance.support import QUICK, MassStop, Tenant

UNKNOWN = "f" * 32


@pytest.fixture
def tenant(tenants: list[Tenant]) -> Iterator[Tenant]:
    with Tenant(seed=5, actions=3, **QUICK | {"mix": {"Processing": 1}}) as tenant:
        tenants.append(tenant)
        yield tenant


def test_check_with_a_key_reads_its_action_and_stops_nothing(mass_stop: MassStop, tenant: Tenant) -> None:
    key = tenant.keys[0]
    ended = mass_stop("check", key, tenant=tenant)
    assert ended.status == 0, ended
    assert f"{key}: Processing, {tenant.truth(key).action_type}; uploaded by " in ended.err
    assert "records processed" in ended.err
    assert tenant.sent("stop") == 0


def test_check_says_that_an_action_which_is_over_needs_no_stop(mass_stop: MassStop, tenants: list[Tenant]):
    with Tenant(seed=5, actions=1, **QUICK | {"mix": {"Completed": 1}}) as tenant:
        tenants.append(tenant)
        ended = mass_stop("check", tenant.keys[0], tenant=tenant)
    assert ended.status == 0
    assert f"{tenant.keys[0]}: Completed" in ended.err
    assert "-> it is over: run would stop nothing" in ended.err


def test_check_of_an_unknown_key_ends_in_1_and_names_the_reasons(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop("check", UNKNOWN, tenant=tenant)
    assert ended.status == 1, ended
    assert f"{UNKNOWN}: NOT read: " in ended.err
    assert "another tenant or entity, it is mistyped, or this user may not see the action" in ended.err
    assert "The tenant is ready, but the action could not be read" in ended.err


def test_check_of_a_key_with_a_refused_token_does_not_call_the_tenant_ready(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    env = {"ZUORA_TOKEN": "expired", "ZUORA_CLIENT_ID": "", "ZUORA_CLIENT_SECRET": ""}
    ended = mass_stop("check", tenant.keys[0], tenant=tenant, env=env)
    assert ended.status == 3, ended
    assert "NOT ready: see credentials." in ended.err
    assert "a bearer token was accepted" not in ended.err


def test_check_refuses_text_that_is_not_a_key_before_any_call(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop("check", "abc", tenant=tenant)
    assert (ended.status, tenant.nothing_sent()) == (2, True)
    assert "abc is no bulk key. The key has 3 characters" in ended.err


def test_check_reads_a_key_of_any_form_with_any_key(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop("check", "--any-key", "abc-1", tenant=tenant)
    assert ended.status == 1
    assert "abc-1: NOT read: " in ended.err


def test_check_of_a_key_with_several_tenants_needs_the_tenant(mass_stop: MassStop, tenant: Tenant) -> None:
    (mass_stop.home / "tenants.toml").write_text(
        f'[tenants.one]\nbase_url = "{tenant.environment["ZUORA_BASE_URL"]}"\n'
        'client_id_env = "ZUORA_CLIENT_ID"\nclient_secret_env = "ZUORA_CLIENT_SECRET"\n'
    )
    check = ("check", tenant.keys[0], "--tenants", "tenants.toml")
    without, named = mass_stop(*check, tenant=tenant), mass_stop(*check, "--tenant", "one", tenant=tenant)
    assert (without.status, named.status) == (2, 0), (without, named)
    assert "add --tenant NAME" in without.err
