"""Explain a failed connection to the operator: proxy, name, TLS, system error."""

import errno
import os
import re
import socket
import ssl

import aiohttp
from multidict import CIMultiDict, MultiMapping
from yarl import URL

from orchestrator.settings.network import Proxy, Route

PROXY_CREDENTIALS_REQUIRED = 407

_OUR_CERTIFICATE = re.compile(
    r"ALERT_(CERTIFICATE_(REQUIRED|REVOKED|EXPIRED|UNKNOWN)|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|UNKNOWN_CA|"
    r"ACCESS_DENIED)"
)
"""TLS alerts about a wrong or missing client certificate (RFC 8446, section 6.2)."""

_STRICT = range(80, 94)
"""OpenSSL's errors of strict checks (``X509_V_FLAG_X509_STRICT``), which Python 3.13 enables."""

_EXPIRED, _NOT_YET_VALID = 10, 9
_WRONG_NAME = (62, 64)
_UNKNOWN_ISSUER = (2, 18, 19, 20, 21)
"""OpenSSL's ``X509_V_ERR_…`` numbers."""


class NoTunnel(aiohttp.ClientConnectionError):
    """The proxy closed the connection, or its response to CONNECT is not HTTP."""


def connect_failure(error: BaseException, route: Route) -> str:
    """Return why the connection of a call by ``route`` failed. ``error`` is aiohttp's exception."""
    proxy = route.proxy
    unused = f" {route.unused}" if route.unused else ""
    match error:
        case aiohttp.ClientHttpProxyError() if proxy:
            return _tunnel_refused(proxy, route.host, error)
        case NoTunnel() if proxy:
            return (
                f"The proxy {proxy.url} did not answer CONNECT as an HTTP proxy does. Check {proxy.origin}."
            )
        case aiohttp.ConnectionTimeoutError():
            through = f" through the proxy {proxy.url}" if proxy else ""
            return f"Could not connect to the tenant{through} in time.{unused}"
        case aiohttp.ClientConnectorDNSError():
            hint = f" Check {proxy.origin}." if proxy else unused
            return f"The name {error.host} does not resolve: {system_reason(error.os_error)}.{hint}"
        case aiohttp.ClientConnectorCertificateError():
            return tls_failure(error.certificate_error, error.host)
        case aiohttp.ClientConnectorSSLError():
            return tls_failure(error.os_error, error.host)
        case aiohttp.ClientConnectorError():
            place = f"{error.host} port {error.port}"
            if proxy and (URL(proxy.url).host, URL(proxy.url).port) == (error.host, error.port):
                place, unused = f"the proxy {proxy.url}", f" Check {proxy.origin}."
            return f"Could not connect to {place}: {system_reason(error.os_error)}.{unused}"
    return f"Could not connect to the tenant: {str(error) or type(error).__name__}."


def _tunnel_refused(proxy: Proxy, host: str, error: aiohttp.ClientHttpProxyError) -> str:
    headers: MultiMapping[str] = error.headers or CIMultiDict()
    status, phrase = error.status, error.message
    if status == PROXY_CREDENTIALS_REQUIRED:
        return _credentials_refused(proxy, ", ".join(headers.getall("Proxy-Authenticate", ())))
    detail = ", ".join(text for text in (phrase.strip(), headers.get("X-Squid-Error", "").strip()) if text)
    said = f"HTTP {status}{f', {detail}' if detail else ''}"[:200]
    if status == 403:
        return f"The proxy {proxy.url} does not allow connections to {host} ({said}). Ask its operators to allow them."
    return f"The proxy {proxy.url} could not connect to {host} ({said})."


def _credentials_refused(proxy: Proxy, offered: str) -> str:
    schemes = re.findall(r"(?:^|,\s*)([A-Za-z][\w-]*)(?=\s|,|$)", offered)
    if schemes and not any(scheme.lower() == "basic" for scheme in schemes):
        return (
            f"The proxy {proxy.url} requires credentials (HTTP 407) by {', '.join(schemes)[:100]}. "
            "mass-stop can send them by Basic only."
        )
    if proxy.credentials is not None:
        return f"The proxy {proxy.url} refused the credentials in {proxy.variable} (HTTP 407)."
    return (
        f"The proxy {proxy.url} requires credentials (HTTP 407). "
        f"Set {proxy.variable} to an address with them: http://USER:PASSWORD@HOST:PORT."
    )


def requires_client_certificate(error: BaseException) -> bool:
    """Return whether ``error`` shows that the server requires a client certificate."""
    return _OUR_CERTIFICATE.search(str(error)) is not None


def tls_failure(error: BaseException, host: str) -> str:
    """Return why TLS with ``host`` failed, as a sentence."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate_rejected(error, host)
    if requires_client_certificate(error):
        return (
            f"{host} requires a client certificate, and mass-stop cannot send one. "
            "Use an address of the tenant that requires none."
        )
    reason = getattr(error, "reason", None) or ""
    if "ALERT_HANDSHAKE_FAILURE" in reason:
        return f"{host} refused TLS (handshake failure). It may require a client certificate or another TLS version."
    return f"TLS with {host} failed: {reason.replace('_', ' ').lower() or system_reason(error)}."


def _certificate_rejected(error: ssl.SSLCertVerificationError, host: str) -> str:
    code = getattr(error, "verify_code", None)
    said = getattr(error, "verify_message", str(error)).rstrip(".")
    if code == _EXPIRED:
        return f"The certificate of {host} has expired. Check this machine's clock; the host may have to renew it."
    if code == _NOT_YET_VALID:
        return f"The certificate of {host} is not valid yet. Check this machine's clock."
    if code in _WRONG_NAME:
        return f"The certificate is not for the name {host} ({said}). Check the address, and any proxy in between."
    if code in _UNKNOWN_ISSUER:
        return (
            f"The certificate of {host} comes from an unknown issuer ({said}). If you trust the issuer, for example a "
            f"proxy that inspects TLS, name its certificate with --ca-file.{_unreadable_store()}"
        )
    if code in _STRICT:
        return (
            f"The certificate of {host}, or its issuer's, breaks RFC 5280 ({said}). "
            "Python 3.13 and later reject it; Python 3.12 and earlier accept it. "
            "Have it issued again, or run mass-stop with Python 3.12."
        )
    return f"The certificate of {host} is rejected: {said}."


def _unreadable_store() -> str:
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        path = os.environ.get(variable)
        if path and not os.access(path, os.R_OK):
            return f" {variable} names {path}, which cannot be read."
    return ""


def system_reason(error: BaseException) -> str:
    """Return the operating system's text for ``error``."""
    # asyncio replaces the system's text by its own. The numbers of TLS and name look-up errors are no errno.
    if isinstance(error, OSError) and error.errno and not isinstance(error, (ssl.SSLError, socket.gaierror)):
        return os.strerror(error.errno)
    if isinstance(error, ConnectionResetError):
        return os.strerror(errno.ECONNRESET)
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
