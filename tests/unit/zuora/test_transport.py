"""Failures of aiohttp as known errors."""

import errno
import ssl
from collections.abc import Iterator
from unittest.mock import Mock

import aiohttp
import pytest
from aiohttp.client_exceptions import UnixClientConnectorError, UploadAbortedError
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from orchestrator.errors import Kind
from orchestrator.zuora.transport import BEFORE_SENDING, FAILURES, as_call_error

REFUSED = OSError(errno.ECONNREFUSED, "Connection refused")
KEY = ConnectionKey("rest.zuora.com", 443, True, True, None, None, None)
WRONG_NAME = ssl.SSLCertVerificationError("wrong name")

KINDS: dict[type[BaseException], Kind] = {
    aiohttp.ClientError: Kind.CONNECTION_LOST,
    aiohttp.ClientConnectionError: Kind.CONNECTION_LOST,
    aiohttp.ClientConnectionResetError: Kind.CONNECTION_LOST,
    aiohttp.ClientOSError: Kind.CONNECTION_LOST,
    aiohttp.ServerConnectionError: Kind.CONNECTION_LOST,
    aiohttp.ServerDisconnectedError: Kind.CONNECTION_LOST,
    UploadAbortedError: Kind.CONNECTION_LOST,
    aiohttp.RedirectClientError: Kind.CONNECTION_LOST,
    aiohttp.ClientConnectorError: Kind.CONNECT_FAILED,
    aiohttp.ClientConnectorDNSError: Kind.CONNECT_FAILED,
    aiohttp.ClientConnectorSSLError: Kind.CONNECT_FAILED,
    aiohttp.ClientConnectorCertificateError: Kind.CONNECT_FAILED,
    aiohttp.ClientProxyConnectionError: Kind.CONNECT_FAILED,
    aiohttp.ClientHttpProxyError: Kind.CONNECT_FAILED,
    aiohttp.ClientSSLError: Kind.CONNECT_FAILED,
    UnixClientConnectorError: Kind.CONNECT_FAILED,
    aiohttp.ServerFingerprintMismatch: Kind.CONNECT_FAILED,
    aiohttp.ConnectionTimeoutError: Kind.CONNECT_FAILED,
    aiohttp.InvalidURL: Kind.CONNECT_FAILED,
    aiohttp.InvalidUrlClientError: Kind.CONNECT_FAILED,
    aiohttp.InvalidUrlRedirectClientError: Kind.CONNECT_FAILED,
    aiohttp.NonHttpUrlClientError: Kind.CONNECT_FAILED,
    aiohttp.NonHttpUrlRedirectClientError: Kind.CONNECT_FAILED,
    aiohttp.ServerTimeoutError: Kind.TIMEOUT,
    aiohttp.SocketTimeoutError: Kind.TIMEOUT,
    aiohttp.ClientPayloadError: Kind.MALFORMED_ANSWER,
    aiohttp.ClientResponseError: Kind.MALFORMED_ANSWER,
    aiohttp.ContentTypeError: Kind.MALFORMED_ANSWER,
    aiohttp.TooManyRedirects: Kind.MALFORMED_ANSWER,
    aiohttp.WSServerHandshakeError: Kind.MALFORMED_ANSWER,
}
"""Every exception of aiohttp's client, and its error kind in the report."""


def subclasses(parent: type[BaseException]) -> Iterator[type[BaseException]]:
    for child in parent.__subclasses__():
        if child.__module__.startswith("aiohttp."):
            yield child
            yield from subclasses(child)


def raised(kind: type[BaseException]) -> BaseException:
    """One of ``kind``, as aiohttp makes it."""
    if issubclass(kind, UnixClientConnectorError):
        return kind("/run/socket", KEY, REFUSED)
    if issubclass(kind, aiohttp.ClientConnectorCertificateError):
        return kind(KEY, WRONG_NAME)
    if issubclass(kind, aiohttp.ClientConnectorError):
        return kind(KEY, REFUSED)
    if issubclass(kind, aiohttp.ClientResponseError):
        return kind(Mock(real_url=URL("https://rest.zuora.com")), ())
    if issubclass(kind, aiohttp.ServerFingerprintMismatch):
        return kind(b"expected", b"got", "rest.zuora.com", 443)
    if issubclass(kind, aiohttp.InvalidURL):
        return kind("https://")
    return kind()


def test_every_exception_of_the_client_is_in_the_table():
    """Fails when a new aiohttp adds an exception: decide its kind and add a line above."""
    assert {aiohttp.ClientError, *subclasses(aiohttp.ClientError)} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_exception_of_the_client_becomes_a_known_error(kind):
    assert as_call_error(raised(kind)).kind is KINDS[kind]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_exception_of_the_client_is_caught(kind):
    assert issubclass(kind, FAILURES)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_call_may_have_worked_unless_it_never_left(kind):
    assert as_call_error(raised(kind)).may_have_worked is not issubclass(kind, BEFORE_SENDING)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_failure_has_a_message(kind):
    assert as_call_error(raised(kind)).message.endswith(".")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), Kind.TIMEOUT),
        (ConnectionResetError(errno.ECONNRESET, "reset by peer"), Kind.CONNECTION_LOST),
        (BrokenPipeError(errno.EPIPE, "broken pipe"), Kind.CONNECTION_LOST),
        (OSError(errno.ENETDOWN, "network is down"), Kind.CONNECTION_LOST),
        (ssl.SSLError("bad record mac"), Kind.CONNECTION_LOST),
        (ValueError("cannot be decoded"), Kind.MALFORMED_ANSWER),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_of_python_becomes_a_known_error(error, kind):
    assert as_call_error(error).kind is kind


def test_a_refused_connection_has_the_message_of_the_system():
    error = as_call_error(aiohttp.ClientConnectorError(KEY, REFUSED))
    assert error.message == "Could not connect to rest.zuora.com port 443: Connection refused."
