"""Test the connection to the tenant step by step: name, connection, proxy, TLS. No request is sent to the tenant."""

import asyncio
import socket
import ssl
import time
from contextlib import suppress
from typing import Any, NoReturn

import aiohttp
from msgspec import Struct
from yarl import URL

from orchestrator.errors import TenantUnreachable
from orchestrator.settings.network import Route
from orchestrator.zuora.reasons import (
    connect_failure,
    requires_client_certificate,
    system_reason,
    tls_failure,
)
from orchestrator.zuora.transport import BEFORE_SENDING, Connector, through

ALERT = 0.3
"""Seconds to wait for a TLS alert. With TLS 1.3, a server asks for a client certificate after the handshake."""


class Tls(Struct, frozen=True):
    """A TLS connection: version, subject and issuer of the certificate, and its expiry in seconds since the epoch."""

    version: str
    subject: str
    issuer: str
    ends_at: float


class Reached(Struct, frozen=True):
    """A connection: its address (the proxy's, if there is one) and its connect time. ``tls`` is None for plain http."""

    address: str
    seconds: float
    tls: Tls | None = None


class _ConnectedError(Exception):
    """Aborts the call once its connection is established."""


async def reach(base_url: str, timeout: float, route: Route, context: ssl.SSLContext | bool) -> Reached:
    """Connect to ``base_url`` by ``route``, verify its certificate with ``context`` and close the connection.

    Raises TenantUnreachable, which names the failed step and a possible cause. ``timeout`` is in seconds and covers all
    steps.
    """
    url = URL(base_url)
    hop = url if route.proxy is None else URL(route.proxy.url)
    host, port = hop.host or "", hop.port or 0
    place = f"{host} port {port}" if route.proxy is None else f"the proxy {route.proxy.url}"
    step = f"The name {host} does not resolve"
    try:
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            step = f"Could not connect to {place}"
            started = time.monotonic()
            _, writer = await asyncio.open_connection(host, port)
            address, seconds = writer.get_extra_info("peername")[0], time.monotonic() - started
            writer.close()
            if url.scheme != "https":
                return Reached(address, seconds)
            step = f"TLS with {url.host} failed" if route.proxy is None else f"No tunnel through {place}"
            return Reached(address, seconds, await _established(url, route, context))
    except TimeoutError:
        raise TenantUnreachable(f"{step}: nothing came in {timeout:g} s. {_advice(route)}") from None
    except BEFORE_SENDING as error:
        if type(error) is aiohttp.ClientConnectorError:  # the first connection worked, this one was closed
            raise TenantUnreachable(f"{step}: {system_reason(error.os_error)}. {_advice(route)}") from error
        raise TenantUnreachable(connect_failure(error, route)) from error
    except OSError as error:
        raise TenantUnreachable(f"{step}: {system_reason(error)}. {_advice(route)}") from error


def _advice(route: Route) -> str:
    if route.proxy is not None:
        return f"Check {route.proxy.origin}, and this machine's DNS, firewall or VPN."
    return route.unused or (
        "Check the address, and this machine's DNS, firewall or VPN. --proxy or HTTPS_PROXY names a proxy."
    )


async def _established(url: URL, route: Route, context: ssl.SSLContext | bool) -> Tls:
    """Return the TLS connection that a call to ``url`` would use. The request is prepared and not sent."""
    found: list[Tls] = []

    async def connect_only(request: aiohttp.ClientRequest, _: aiohttp.ClientHandlerType) -> NoReturn:
        connection = await connector.connect(request, [], aiohttp.ClientTimeout())
        try:
            assert connection.transport is not None
            assert connection.protocol is not None
            found.append(_tls(connection.transport.get_extra_info("ssl_object")))
            if (closed := connection.protocol.closed) is not None:
                await asyncio.wait([closed], timeout=ALERT)
                if closed.done() and (error := closed.exception()) and requires_client_certificate(error):
                    raise TenantUnreachable(tls_failure(error, url.host or ""))
        finally:
            connection.close()
        raise _ConnectedError

    async with aiohttp.ClientSession(connector=(connector := Connector(context))) as session:
        with suppress(_ConnectedError):
            await session.get(url, middlewares=(connect_only,), **through(route.proxy))
    return found[0]


def _tls(secured: ssl.SSLObject) -> Tls:
    certificate: dict[str, Any] = secured.getpeercert() or {}
    return Tls(
        version=secured.version() or "unknown",
        subject=_name(certificate.get("subject", ()), "commonName"),
        issuer=_name(certificate.get("issuer", ()), "organizationName", "commonName"),
        ends_at=float(ssl.cert_time_to_seconds(certificate["notAfter"])),
    )


def _name(names: Any, *wanted: str) -> str:
    """Return the first of the attributes ``wanted`` in a name from ``getpeercert``."""
    known = {name: value for part in names for name, value in part}
    return next((known[name] for name in wanted if name in known), "unnamed")
