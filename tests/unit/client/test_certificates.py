"""Certificates that one side rejects: the sentence names the kind, the host and what to do."""

import asyncio
import datetime
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from orchestrator.clock import Clock
from orchestrator.errors import CallError, Kind, TenantUnreachable
from orchestrator.settings.network import DIRECT
from orchestrator.zuora import tls
from orchestrator.zuora.client import ZuoraClient
from orchestrator.zuora.probe import reach
from tests.unit.client.server import KEY, Server, ready, says

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def server_context(
    authority: trustme.CA, name: str, not_after: datetime.datetime = NOW + DAY
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_before=NOW - 9 * DAY, not_after=not_after).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@asynccontextmanager
async def serving(context: ssl.SSLContext, server: Server | None = None) -> AsyncIterator[str]:
    """An address of a tenant with the certificate in ``context``."""
    server = server or Server([says()])
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    yield f"https://localhost:{listener.sockets[0].getsockname()[1]}"
    listener.close()
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others, timeout=2)
    await asyncio.sleep(0.02)


async def ends_the_run(address: str, sentence: str, ca_file: str | None = None) -> None:
    """A call, and a step of ``check``, end with ``sentence``."""
    async with ZuoraClient(ready(address, ca_file=ca_file), Clock()) as client:
        with pytest.raises(TenantUnreachable, match=sentence):
            await client.stop(KEY, "track")
    with pytest.raises(TenantUnreachable, match=sentence):
        await reach(address, 60.0, DIRECT, tls.context_for(address, ca_file))


@pytest.mark.asyncio
async def test_a_certificate_of_the_ca_file_is_trusted(authority, ca_file):
    async with (
        serving(server_context(authority, "localhost")) as address,
        ZuoraClient(ready(address, ca_file=ca_file), Clock()) as client,
    ):
        await client.stop(KEY, "track")


@pytest.mark.asyncio
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_the_variables_of_openssl_are_honoured(authority, ca_file, monkeypatch, tmp_path, variable):
    folder = tmp_path / "certificates"
    folder.mkdir()
    path = folder / f"{_subject_hash(authority)}.0"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", "/dev/null")
    monkeypatch.setenv("SSL_CERT_DIR", "/dev/null")
    monkeypatch.setenv(variable, str(path if variable == "SSL_CERT_FILE" else folder))
    async with (
        serving(server_context(authority, "localhost")) as address,
        ZuoraClient(ready(address), Clock()) as client,
    ):
        await client.stop(KEY, "track")


def _subject_hash(authority: trustme.CA) -> str:
    """The name under which OpenSSL looks for a certificate in a folder."""
    import subprocess

    completed = subprocess.run(
        ["openssl", "x509", "-noout", "-subject_hash"], input=authority.cert_pem.bytes(), capture_output=True,
        check=True,
    )  # fmt: skip
    return completed.stdout.decode().strip()


@pytest.mark.asyncio
async def test_an_unknown_issuer_is_reported_with_the_option_to_trust_it(authority):
    async with serving(server_context(authority, "localhost")) as address:
        await ends_the_run(address, r"certificate of localhost comes from an unknown issuer .*--ca-file\.")


@pytest.mark.asyncio
async def test_an_unreadable_file_of_certificates_is_named_too(authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    async with serving(server_context(authority, "localhost")) as address:
        await ends_the_run(address, r"SSL_CERT_FILE names /nowhere/ca\.pem, which cannot be read\.")


@pytest.mark.asyncio
async def test_an_expired_certificate_is_reported(authority, ca_file):
    expired = server_context(authority, "localhost", NOW - DAY)
    async with serving(expired) as address:
        await ends_the_run(address, r"The certificate of localhost has expired\.", ca_file)


@pytest.mark.asyncio
async def test_a_certificate_for_another_name_is_reported(authority, ca_file):
    async with serving(server_context(authority, "other.test")) as address:
        await ends_the_run(address, r"The certificate is not for the name localhost \(", ca_file)


@pytest.mark.asyncio
async def test_a_certificate_that_newer_pythons_reject_is_reported_with_the_versions(tmp_path, monkeypatch):
    """Python 3.13 made OpenSSL's strict checks the default. Here they are switched on for every version."""
    create = ssl.create_default_context

    def strict(**more: str | None) -> ssl.SSLContext:
        context = create(**more)  # type: ignore[arg-type]
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", strict)
    context, ca_file = without_key_identifiers(tmp_path)
    async with serving(context) as address:
        await ends_the_run(
            address,
            r"localhost, or its issuer's, breaks RFC 5280 \(.*\)\. Python 3\.13 and later reject it; "
            r"Python 3\.12 and earlier accept it\.",
            ca_file,
        )


def without_key_identifiers(folder: Path) -> tuple[ssl.SSLContext, str]:
    """A server's context and its issuer's certificate, as many companies issue them: without key identifiers."""
    issuer_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Company CA")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])

    def certificate(
        name: x509.Name, public: ec.EllipticCurvePublicKey, extension: x509.ExtensionType
    ) -> bytes:
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + DAY)
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(issuer_key, hashes.SHA256())
        )
        return built.public_bytes(serialization.Encoding.PEM)

    ca_file, chain, key_file = folder / "company.pem", folder / "chain.pem", folder / "key.pem"
    ca_file.write_bytes(certificate(issuer, issuer_key.public_key(), x509.BasicConstraints(True, None)))
    names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
    chain.write_bytes(certificate(subject, key.public_key(), names))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key_file)
    return context, str(ca_file)


@contextmanager
def requiring_certificates(context: ssl.SSLContext) -> Iterator[str]:
    """The address of a server that requires a client certificate, and reads on after its alert as servers do."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with suppress(OSError), connection, context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=lingering, args=(connection,), daemon=True).start()

    def lingering(connection: socket.socket) -> None:
        answer(connection.dup())
        with suppress(OSError), connection:
            connection.settimeout(2)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):
                pass

    threading.Thread(target=serve, daemon=True).start()
    with listener:
        yield f"https://localhost:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


VERSIONS = [
    (ssl.TLSVersion.TLSv1_3, r"localhost requires a client certificate|host requires a client certificate"),
    (
        ssl.TLSVersion.TLSv1_2,
        r"localhost refused TLS \(handshake failure\)\. It may require a client certificate",
    ),
]


@pytest.mark.asyncio
@pytest.mark.parametrize(("version", "sentence"), VERSIONS, ids=str)
async def test_a_server_that_requires_a_client_certificate_is_reported(authority, ca_file, version, sentence):
    context = server_context(authority, "localhost")
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    with requiring_certificates(context) as address:
        trusted = tls.context_for(address, ca_file)
        with pytest.raises(TenantUnreachable, match=sentence):
            await reach(address, 60.0, DIRECT, trusted)
        async with ZuoraClient(ready(address, ca_file=ca_file), Clock()) as client:
            with pytest.raises((TenantUnreachable, CallError), match=sentence):
                await client.stop(KEY, "track")


@pytest.mark.asyncio
async def test_a_rejected_certificate_after_an_answer_is_an_outage(authority, ca_file):
    """Behind one name there may be several hosts: one bad certificate must not end a run that stops actions."""
    context = server_context(authority, "localhost")
    server = Server([says(Connection="close")])
    async with (
        serving(context, server) as address,
        ZuoraClient(ready(address, ca_file=ca_file), Clock()) as client,
    ):
        await client.stop(KEY, "track-1")
        trustme.CA().issue_cert("localhost").configure_cert(context)
        with pytest.raises(CallError) as caught:
            await client.stop(KEY, "track-2")
    assert (caught.value.kind, caught.value.may_have_worked) == (Kind.CONNECT_FAILED, False)
    assert "unknown issuer" in caught.value.message


def test_contexts_are_read_once_for_the_same_certificates(ca_file, monkeypatch):
    address = "https://rest.zuora.com"
    assert tls.context_for(address, ca_file) is tls.context_for(address, ca_file)
    first: Callable[[], object] = lambda: tls.context_for(address, None)  # noqa: E731
    before = first()
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    assert first() is not before
