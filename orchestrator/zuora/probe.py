"""Whether the tenant can be reached at all, step by step: its name, a connection, TLS. Sends no request."""

import asyncio
import os
import socket
import ssl
import time
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from orchestrator.errors import TenantUnreachable


class Tls(Struct, frozen=True):
    """A TLS connection: its version, whose certificate it is, who issued it, and its end in seconds since the epoch."""

    version: str
    subject: str
    issuer: str
    ends_at: float


class Reached(Struct, frozen=True):
    """A connection that came about: to which address, after how many seconds; ``tls`` where the address is https."""

    address: str
    seconds: float
    tls: Tls | None = None


async def reach(base_url: str, timeout: float) -> Reached:
    """Connects to ``base_url`` and hangs up, within ``timeout`` seconds.

    Raises TenantUnreachable, which names the step that failed and what may be wrong.
    """
    parts = urlsplit(base_url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    step, advice = (
        f"The name {host} could not be resolved",
        "Check the address, and this machine's DNS or VPN.",
    )
    try:
        async with asyncio.timeout(timeout):
            await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
            step = f"No connection to {host} port {port} came about"
            advice = "Check the address, a firewall or the VPN; mass-stop goes through no proxy."
            started = time.monotonic()
            address, tls = await _connect(host, port, None)
            seconds = time.monotonic() - started
            if secure:
                step = f"TLS with {host} failed"
                advice = "Is there a proxy in between that reads along? SSL_CERT_FILE names the certificates to trust."
                address, tls = await _connect(host, port, ssl.create_default_context())
            return Reached(address, seconds, tls)
    except TimeoutError:
        raise TenantUnreachable(f"{step}: nothing came in {timeout:g} s. {advice}") from None
    except OSError as error:
        raise TenantUnreachable(f"{step}: {_reason(error)}. {advice}") from error


def _reason(error: OSError) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return error.verify_message
        case ssl.SSLError():
            return (error.reason or str(error)).replace("_", " ").lower()
        case OSError(errno=int(number)) if not isinstance(error, socket.gaierror):
            return os.strerror(number)  # asyncio puts its own words in the place of the system's
        case _:
            return error.strerror or str(error)


async def _connect(host: str, port: int, context: ssl.SSLContext | None) -> tuple[str, Tls | None]:
    _, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        peer = writer.get_extra_info("peername") or ("",)
        secured = writer.get_extra_info("ssl_object")
        return peer[0], None if secured is None else _tls(secured)
    finally:
        writer.close()
        with suppress(OSError, TimeoutError):  # some hang up without a word, which is no matter here
            await asyncio.wait_for(writer.wait_closed(), 1.0)


def _tls(secured: ssl.SSLObject) -> Tls:
    certificate: dict[str, Any] = secured.getpeercert() or {}
    return Tls(
        version=secured.version() or "unknown",
        subject=_name(certificate.get("subject", ()), "commonName"),
        issuer=_name(certificate.get("issuer", ()), "organizationName", "commonName"),
        ends_at=float(ssl.cert_time_to_seconds(certificate["notAfter"])),
    )


def _name(names: Any, *wanted: str) -> str:
    """The first of ``wanted`` in a name as ``getpeercert`` gives it."""
    known = {name: value for part in names for name, value in part}
    return next((known[name] for name in wanted if name in known), "nobody named")
