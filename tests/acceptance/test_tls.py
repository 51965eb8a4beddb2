"""A tenant over https: only trusted certificates get calls."""

import os
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from tests.acceptance.support import PROCESSING, MassStop, Tenant, lies, outcomes

MakeTenant = Callable[..., Tenant]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """The certificate authority of the tenant."""
    return trustme.CA()


@pytest.fixture
def secured(make_tenant: MakeTenant, authority: trustme.CA) -> Tenant:
    """A tenant with three actions and response files, under https://localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return make_tenant(**PROCESSING, actions=3, tls=context)


@pytest.fixture
def trusting(authority: trustme.CA, tmp_path: Path) -> dict[str, str]:
    """The environment of a user who trusts only ``authority``."""
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return {"SSL_CERT_FILE": str(path)}


def test_every_action_of_a_tenant_over_https_is_stopped_and_its_file_is_read(
    mass_stop: MassStop, secured: Tenant, trusting: dict[str, str]
) -> None:
    ended = mass_stop.run(secured, mass_stop.keys(secured.keys), env=trusting)
    assert ended.status == 0, ended
    assert set(outcomes(ended.report).values()) == {"stopped"}
    assert {action["records"]["source"] for action in ended.report["actions"]} == {"response_file"}
    assert lies(ended.report, secured) == []


def test_a_run_over_https_is_resumed_over_https(
    mass_stop: MassStop, secured: Tenant, trusting: dict[str, str]
) -> None:
    keys = mass_stop.keys(secured.keys)
    cut = mass_stop.run(secured, keys, "--deadline", "1ms", env=trusting)
    assert set(outcomes(cut.report).values()) == {"not_attempted"}, cut
    ended = mass_stop("resume", "run", tenant=secured, env=trusting)
    assert set(outcomes(ended.report).values()) == {"stopped"}, ended


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_tenant_with_an_untrusted_certificate_gets_no_call(
    mass_stop: MassStop, secured: Tenant, command: str
) -> None:
    more: list[str | Path] = ["--yes", mass_stop.keys(secured.keys)] if command == "run" else []
    ended = mass_stop(command, *more, tenant=secured)
    assert ended.status == 3, ended
    assert "certificate" in ended.err, ended
    assert "Traceback" not in ended.err
    assert secured.log == []


def test_plain_http_to_this_machine_reads_no_certificates(
    mass_stop: MassStop, tenant: Tenant, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.pem"
    os.mkfifo(bundle)  # a reader of it waits for ever
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), env={"SSL_CERT_FILE": str(bundle)})
    assert ended.status == 0, ended
