"""The command behind an HTTP proxy, with a tenant over TLS whose host name only the proxy resolves."""

import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.acceptance.support import PROCESSING, Ended, MassStop, Tenant, lies, outcomes
from tests.acceptance.tenants import Tenants
from tests.recording_proxy import RecordingProxy

MakeTenant = Callable[..., Tenant]

HOST = "tenant.mass-stop.test"
USER, PASSWORD = "operator", "correct horse/battery"
WRITTEN = "operator:correct%20horse%2Fbattery"
"""The credentials as an address must write them."""


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


class Behind:
    """A tenant behind the proxy: its address, and the environment that trusts its certificate."""

    def __init__(self, tenant: Tenant, authority: trustme.CA, home: Path) -> None:
        self.tenant = tenant
        self.port = int(tenant.environment["ZUORA_BASE_URL"].rpartition(":")[2])
        self.ca_file = home / "authority.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        self.environment = {
            "ZUORA_BASE_URL": f"https://{HOST}:{self.port}", "MASS_STOP_CA_FILE": str(self.ca_file),
        }  # fmt: skip

    @property
    def ports(self) -> dict[str, int]:
        return {HOST: self.port}


@pytest.fixture
def behind(make_tenant: MakeTenant, authority: trustme.CA, tmp_path: Path) -> Behind:
    return Behind(
        make_tenant(**PROCESSING, actions=4, tls=server_context(authority, HOST)), authority, tmp_path
    )


@pytest.fixture
def proxy(behind: Behind) -> Iterator[RecordingProxy]:
    with RecordingProxy(behind.ports) as serving:
        yield serving


def run(mass_stop: MassStop, behind: Behind, *arguments: str, **env: str) -> Ended:
    keys = mass_stop.keys(behind.tenant.keys)
    env = {"MASS_STOP_WAIT_FOR_TENANT": "1s", **env}
    return mass_stop.run(behind.tenant, keys, *arguments, env=behind.environment | env)


def check(mass_stop: MassStop, behind: Behind, *arguments: str, **env: str) -> Ended:
    return mass_stop("check", *arguments, tenant=behind.tenant, env=behind.environment | env)


def text(ended: Ended) -> str:
    """The output in one line."""
    return " ".join(ended.err.split())


def is_absent(secret: str, mass_stop: MassStop, ended: Ended) -> bool:
    files = [path for path in (mass_stop.home / "run").rglob("*") if path.is_file()]
    kept = [ended.out, ended.err.encode(), *(path.read_bytes() for path in files)]
    return not any(secret.encode() in data for data in kept)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "MASS_STOP_PROXY"])
def test_every_action_is_stopped_and_the_proxy_sees_neither_token_nor_key(
    mass_stop: MassStop, behind: Behind, proxy: RecordingProxy, variable: str
) -> None:
    ended = run(mass_stop, behind, **{variable: proxy.url})
    assert ended.status == 0, ended
    assert lies(ended.report, behind.tenant) == []
    assert {action["records"]["source"] for action in ended.report["actions"]} == {"response_file"}
    assert set(proxy.targets) == {f"CONNECT {HOST}:{behind.port}"}
    secrets = [*behind.tenant.secrets(), *map(str.encode, behind.tenant.keys), b"Bearer", b"/v1/bulk"]
    assert len(secrets) > 6
    assert [secret for secret in secrets if secret in proxy.seen] == []


def test_the_option_takes_precedence_over_both_variables(
    mass_stop: MassStop, behind: Behind, proxy: RecordingProxy
) -> None:
    ended = run(
        mass_stop, behind, "--proxy", proxy.url, HTTPS_PROXY="http://127.0.0.1:9", NO_PROXY=f".{HOST}"
    )
    assert ended.status == 0, ended
    assert proxy.targets


def test_a_resumed_run_uses_the_proxy_and_the_certificates_of_the_first(
    mass_stop: MassStop, behind: Behind, proxy: RecordingProxy
) -> None:
    address = {"ZUORA_BASE_URL": behind.environment["ZUORA_BASE_URL"]}
    cut = mass_stop.run(
        behind.tenant, mass_stop.keys(behind.tenant.keys), "--deadline", "1ms", "--proxy", proxy.url,
        "--ca-file", behind.ca_file.name, env=address,
    )  # fmt: skip
    assert set(outcomes(cut.report).values()) == {"not_attempted"}, cut
    ended = mass_stop("resume", "run", tenant=behind.tenant, env=address)
    assert set(outcomes(ended.report).values()) == {"stopped"}, ended


def test_an_https_proxy_is_used_by_tls_inside_tls(
    mass_stop: MassStop, behind: Behind, authority: trustme.CA
) -> None:
    with RecordingProxy(behind.ports, tls=server_context(authority, "localhost")) as proxy:
        ended = run(mass_stop, behind, HTTPS_PROXY=proxy.url)
    assert ended.status == 0, ended
    assert [secret for secret in behind.tenant.secrets() if secret in proxy.seen] == []


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "MASS_STOP_PROXY"])
def test_credentials_of_the_proxy_are_sent_only_to_the_proxy_and_never_shown(
    mass_stop: MassStop, behind: Behind, variable: str
) -> None:
    with RecordingProxy(behind.ports, credentials=f"{USER}:{PASSWORD}") as proxy:
        env = {variable: proxy.url_with(WRITTEN)}
        checked = check(mass_stop, behind, **env)
        ended = run(mass_stop, behind, "--log-level", "debug", "--report", "-", **env)
    assert (checked.status, ended.status) == (0, 0), (checked, ended)
    basic = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    for secret in (PASSWORD, "correct%20horse", basic):
        assert is_absent(secret, mass_stop, ended), secret
        assert secret not in checked.err
    assert f"proxy {proxy.url}, with credentials" in text(checked)


def test_a_password_on_the_command_line_works_with_a_warning_and_is_not_repeated(
    mass_stop: MassStop, behind: Behind
) -> None:
    with RecordingProxy(behind.ports, credentials=f"{USER}:{PASSWORD}") as proxy:
        ended = run(mass_stop, behind, "--proxy", proxy.url_with(WRITTEN))
    assert ended.status == 0, ended
    assert "can see the password in --proxy; set MASS_STOP_PROXY instead" in ended.err
    assert is_absent("correct%20horse", mass_stop, ended)


def test_a_407_ends_the_run_at_once_and_the_message_says_how_to_give_credentials(
    mass_stop: MassStop, behind: Behind
) -> None:
    with RecordingProxy(behind.ports, credentials=f"{USER}:{PASSWORD}") as proxy:
        ended = run(mass_stop, behind, HTTPS_PROXY=proxy.url)
        requests = len(proxy.heads)
    assert (ended.status, behind.tenant.log) == (3, []), ended
    assert requests <= 2  # a second key may ask before the run has ended
    assert "requires credentials (HTTP 407). Set HTTPS_PROXY to an address with them" in text(ended)


def test_refused_credentials_of_the_proxy_end_the_run_at_once(mass_stop: MassStop, behind: Behind) -> None:
    with RecordingProxy(behind.ports, credentials=f"{USER}:{PASSWORD}") as proxy:
        ended = run(mass_stop, behind, MASS_STOP_PROXY=proxy.url_with("operator:wrong-password"))
        requests = len(proxy.heads)
    assert ended.status == 3, ended
    assert requests <= 2
    assert "refused the credentials in MASS_STOP_PROXY (HTTP 407)" in text(ended)
    assert is_absent("wrong-password", mass_stop, ended)


FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (FORBIDDEN, f"does not allow connections to {HOST} (HTTP 403, Forbidden)"),
        (
            b"HTTP/1.1 503 Service Unavailable\r\nX-Squid-Error: ERR_CONNECT_FAIL 111\r\n\r\n",
            f"could not connect to {HOST} (HTTP 503, Service Unavailable, ERR_CONNECT_FAIL 111)",
        ),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "did not answer CONNECT as an HTTP proxy does. Check HTTPS_PROXY."),
        (None, "through the proxy"),
    ],
    ids=["forbidden", "unavailable", "no HTTP", "silent"],
)
def test_a_proxy_that_opens_no_tunnel_is_named_with_its_reason(
    mass_stop: MassStop, behind: Behind, answer: bytes | None, sentence: str, command: str
) -> None:
    with RecordingProxy(behind.ports, answer=answer) as proxy:
        env = {"HTTPS_PROXY": proxy.url, "MASS_STOP_TIMEOUT": "1s"}
        ended = (run if command == "run" else check)(mass_stop, behind, **env)
    assert ended.status == 3, ended
    assert sentence in text(ended), ended
    assert proxy.url in text(ended)


@pytest.mark.parametrize("command", ["run", "check"])
def test_a_proxy_that_is_down_is_named(mass_stop: MassStop, behind: Behind, command: str) -> None:
    env = {"HTTPS_PROXY": "http://127.0.0.1:9"}
    ended = (run if command == "run" else check)(mass_stop, behind, **env)
    assert ended.status == 3, ended
    assert "Could not connect to the proxy http://127.0.0.1:9: Connection refused." in text(ended)


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ({"HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "mass-stop.test"}, f"NO_PROXY excludes {HOST}"),
        ({"https_proxy": "http://127.0.0.1:9", "no_proxy": f"a.test, {HOST}"}, f"NO_PROXY excludes {HOST}"),
        ({"HTTP_PROXY": "http://127.0.0.1:9"}, "HTTP_PROXY is not used for https:// addresses"),
        ({"ALL_PROXY": "http://127.0.0.1:9"}, "ALL_PROXY is not used for https:// addresses"),
    ],
    ids=["NO_PROXY", "no_proxy", "HTTP_PROXY", "ALL_PROXY"],
)
def test_the_error_for_an_unresolved_name_says_why_no_proxy_was_used(
    mass_stop: MassStop, behind: Behind, env: dict[str, str], reason: str, command: str
) -> None:
    ended = (run if command == "run" else check)(mass_stop, behind, **env)
    assert ended.status == 3, ended
    assert f"The name {HOST} does not resolve" in text(ended), ended
    assert reason in text(ended)


def test_check_names_the_proxy_in_use(mass_stop: MassStop, behind: Behind, proxy: RecordingProxy) -> None:
    ended = check(mass_stop, behind, HTTPS_PROXY=proxy.url)
    assert ended.status == 0, ended
    assert f"proxy {proxy.url} (from HTTPS_PROXY)" in text(ended)


@pytest.mark.parametrize("where", ["option", "variable"])
def test_a_socks_proxy_is_refused_with_one_sentence(mass_stop: MassStop, behind: Behind, where: str) -> None:
    address = "socks5h://proxy.example.com:1080"
    if where == "option":
        ended = run(mass_stop, behind, "--proxy", address)
    else:
        ended = run(mass_stop, behind, HTTPS_PROXY=address)
    assert (ended.status, behind.tenant.log) == (2, []), ended
    (sentence,) = ended.sentences
    assert "SOCKS is not supported" in sentence
    assert not (mass_stop.home / "run").exists()


def test_a_socks_proxy_is_refused_for_several_tenants_too(mass_stop: MassStop, behind: Behind) -> None:
    tenants = Tenants(mass_stop.home, {"north": behind.tenant, "south": behind.tenant})
    file = tenants.file.read_text().replace(
        behind.tenant.environment["ZUORA_BASE_URL"], behind.environment["ZUORA_BASE_URL"]
    )
    tenants.file.write_text(file)
    ended = mass_stop.run(
        None, tenants.keys(), "--tenants", str(tenants.file),
        env=tenants.environment | {"HTTPS_PROXY": "socks5://proxy.example.com:1080"},
    )  # fmt: skip
    assert (ended.status, behind.tenant.log) == (2, []), ended
    assert "SOCKS is not supported" in text(ended)
    assert "Traceback" not in ended.err


def test_no_proxy_is_used_for_a_loopback_address(
    mass_stop: MassStop, tenant: Tenant, proxy: RecordingProxy
) -> None:
    env = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"), proxy.url)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--proxy", proxy.url, env=env)
    assert ended.status == 0, ended
    assert proxy.heads == []


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "MASS_STOP_PROXY"])
def test_dask_workers_use_the_proxy_and_the_certificates(
    here: MassStop, behind: Behind, variable: str
) -> None:
    with RecordingProxy(behind.ports, credentials=f"{USER}:{PASSWORD}") as proxy:
        ended = here.run(
            behind.tenant, here.keys(behind.tenant.keys), "--engine", "dask",
            env=behind.environment | {variable: proxy.url_with(WRITTEN)},
        )  # fmt: skip
    assert ended.status == 0, ended
    assert set(outcomes(ended.report).values()) == {"stopped"}
    assert set(proxy.targets) == {f"CONNECT {HOST}:{behind.port}"}
    assert is_absent(PASSWORD, here, ended)
