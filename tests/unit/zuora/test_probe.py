"""Whether a tenant can be reached, step by step, against real sockets on this machine."""

import asyncio
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import TenantUnreachable
from orchestrator.settings.network import DIRECT
from orchestrator.zuora.probe import reach
from orchestrator.zuora.tls import context_for

PAIRS = Path(__file__).parents[1] / "tls"
"""Certificates for localhost, made for these tests and good for nothing else: one until 2126, one that has ended."""


class Server(socketserver.ThreadingTCPServer):
    """Closes each connection; after the TLS handshake, if it has a certificate."""

    context: ssl.SSLContext | None = None

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        with suppress(OSError), request:
            if self.context is not None:
                self.context.wrap_socket(request, server_side=True).close()


@contextmanager
def serving(pair: str | None) -> Iterator[int]:
    """A server with the certificate ``pair``, or without TLS. Gives its port."""
    with Server(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        if pair is not None:
            server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.context.load_cert_chain(PAIRS / f"{pair}.pem", PAIRS / f"{pair}-key.pem")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


async def cannot_be_reached(address: str, why: str, seconds: float) -> None:
    with pytest.raises(TenantUnreachable, match=why):
        await reach(address, seconds, DIRECT, context_for(address, None))


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """This machine trusts the certificates of the tests, and those only."""
    together = tmp_path / "trusted.pem"
    together.write_text("".join((PAIRS / f"{name}.pem").read_text() for name in ("good", "ended")))
    monkeypatch.setenv("SSL_CERT_FILE", str(together))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


@pytest.mark.asyncio
async def test_a_plain_address_is_reached_without_tls():
    with serving(None) as port:
        reached = await reach(f"http://127.0.0.1:{port}", 5.0, DIRECT, True)
    assert (reached.address, reached.tls) == ("127.0.0.1", None)


@pytest.mark.asyncio
@pytest.mark.usefixtures("trusted")
async def test_tls_is_reported_with_its_certificate():
    with serving("good") as port:
        address = f"https://localhost:{port}"
        tls = (await reach(address, 5.0, DIRECT, context_for(address, None))).tls
    assert tls is not None
    assert (tls.version, tls.subject, tls.issuer) == ("TLSv1.3", "localhost", "Test Authority")
    assert datetime.fromtimestamp(tls.ends_at, UTC).year == 2126


@pytest.mark.asyncio
@pytest.mark.usefixtures("trusted")
async def test_an_expired_certificate_is_named():
    with serving("ended") as port:
        await cannot_be_reached(
            f"https://localhost:{port}", r"The certificate of localhost has expired\.", 5.0
        )


@pytest.mark.asyncio
@pytest.mark.usefixtures("trusted")
async def test_a_certificate_for_another_name_is_named():
    with serving("good") as port:
        await cannot_be_reached(
            f"https://127.0.0.1:{port}", r"not for the name 127\.0\.0\.1 \(IP address mismatch", 5.0
        )


@pytest.mark.asyncio
async def test_an_untrusted_certificate_is_named():
    with serving("good") as port:
        await cannot_be_reached(
            f"https://localhost:{port}", r"unknown issuer \(self.signed certificate\).* --ca-file", 5.0
        )


@pytest.mark.asyncio
async def test_a_server_without_tls_is_named():
    with serving(None) as port:
        await cannot_be_reached(f"https://127.0.0.1:{port}", r"TLS with 127\.0\.0\.1 failed", 5.0)


@pytest.mark.asyncio
async def test_a_closed_port_is_named():
    with serving(None) as port:
        pass
    with pytest.raises(TenantUnreachable, match=rf"Could not connect to 127\.0\.0\.1 port {port}: .*refused"):
        await reach(f"http://127.0.0.1:{port}", 5.0, DIRECT, True)


@pytest.mark.asyncio
async def test_an_unknown_host_name_is_named(monkeypatch):
    async def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    await cannot_be_reached(
        "https://no-tenant.invalid", r"The name no-tenant\.invalid does not resolve: Name or", 5.0
    )


@pytest.mark.asyncio
async def test_a_silent_server_ends_the_probe_after_a_time():
    with socket.create_server(("127.0.0.1", 0)) as never:
        port = never.getsockname()[1]
        await cannot_be_reached(
            f"https://127.0.0.1:{port}", r"TLS with 127\.0\.0\.1 failed: nothing came in 1 s\.", 1.0
        )
