"""Connections of aiohttp, bounded responses, and the translation of aiohttp's exceptions into CallError."""

import asyncio
import errno
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from math import inf
from time import monotonic
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from aiohttp.tracing import Trace

from orchestrator.errors import CallError, Kind
from orchestrator.settings.network import DIRECT, Proxy, Route
from orchestrator.zuora.reasons import (
    PROXY_CREDENTIALS_REQUIRED,
    NoTunnel,
    connect_failure,
    requires_client_certificate,
    tls_failure,
)
from orchestrator.zuora.redaction import Redact

BEFORE_SENDING = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    aiohttp.ServerFingerprintMismatch,
    NoTunnel,
)
"""aiohttp's exceptions before a byte of the request is sent. The tenant cannot have acted on the request."""

FAILURES = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
"""aiohttp's exceptions for a call without a readable response."""

LARGEST_HEAD = 256 << 10
"""Most bytes in all headers of a response together."""

LONGEST_HEADER = 64 << 10
MOST_HEADERS = 200
"""Most bytes in one header, and most headers in one response. Gateways add many headers, and long ones."""

MOST_INTERIM = 100
"""Most interim responses (HTTP 1xx) that are skipped before a response. A slow gateway may send them as keep-alives."""


SUSPICIOUS = 0.4
"""Seconds without a response on a reused connection. After that, connections that were idle before it are closed."""

LONGEST_RESOLVED = 1
"""Seconds for which the addresses of a host name are cached. After an outage a tenant may have other addresses."""


class Connector(aiohttp.TCPConnector):
    """Opens a connection for every call that has none. The gate limits the calls, so there is no second queue here.

    A firewall or a router may drop idle connections without closing them. While a call hangs on a reused connection,
    the connections that were idle before it are closed. The next call opens a new connection.

    ``tls`` verifies the server.
    """

    def __init__(self, tls: ssl.SSLContext | bool = True) -> None:
        super().__init__(limit=0, keepalive_timeout=30, ttl_dns_cache=LONGEST_RESOLVED, ssl=tls)
        self._unanswered: dict[ResponseHandler, float] = {}  # time of each reuse, oldest first
        connection: Callable[..., ResponseHandler] = _Connection  # aiohttp has no public option for it
        self._factory = partial(connection, asyncio.get_running_loop(), self._unanswered)

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        now = monotonic()
        since = next(iter(self._unanswered.values()), inf)
        if now - since >= SUSPICIOUS and (idle := self._conns.get(key)):
            while idle and idle[0][1] <= since:
                idle.popleft()[0].close()
        reused = await super()._get(key, traces)
        if reused is not None and reused.protocol is not None:
            self._unanswered[reused.protocol] = now
        return reused

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        try:
            return await super()._create_connection(req, traces, timeout)
        except BEFORE_SENDING:
            raise
        except (
            aiohttp.ClientError,
            ValueError,
        ) as error:  # the proxy's response to CONNECT is not HTTP: no request was sent
            raise NoTunnel(str(error)) from error


class _Connection(ResponseHandler):
    """The client's end of a connection. It closes if the headers or the interim responses exceed their limits.

    aiohttp limits each header and skips interim responses, but only after it has parsed and queued everything in the
    socket. That takes forty times as much memory, on every connection at once, until the call ends.
    """

    _answered: object = None  # the parser of the latest response with complete headers
    _head = 0
    _interim = 0

    def __init__(self, loop: asyncio.AbstractEventLoop, unanswered: dict[ResponseHandler, float]) -> None:
        super().__init__(loop)
        self._unanswered = unanswered

    def data_received(self, data: bytes) -> None:
        """Receive the next bytes of a response."""
        self._unanswered.pop(self, None)
        ResponseHandler.data_received(self, data)
        if self._parser is not self._answered:  # aiohttp creates a parser for each response
            self._head += len(data)
            if self._head > LARGEST_HEAD:
                self._refuse("headers without end")

    def feed_data(self, data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
        """Receive the headers of a response, and the reader of its body."""
        if data[0].code < 200:
            self._interim += 1
        else:
            self._answered, self._head, self._interim = self._parser, 0, 0
        if self._interim <= MOST_INTERIM:
            ResponseHandler.feed_data(self, data, size)
        else:
            self._refuse("interim answers without end")

    def connection_lost(self, exc: BaseException | None) -> None:
        """Release the parser, which refers to this connection."""
        ResponseHandler.connection_lost(self, exc)
        self._unanswered.pop(self, None)
        self._answered = None

    def _refuse(self, why: str) -> None:
        if self.transport is not None:
            self.abort()
            self.set_exception(HttpProcessingError(message=why))


class Request(aiohttp.ClientRequest):
    """A request. A PUT without a body gets no content type."""

    POST_METHODS = aiohttp.ClientRequest.POST_METHODS - {"PUT"}


def open_session(
    tls: ssl.SSLContext | bool, headers: Mapping[str, str], connect: float
) -> aiohttp.ClientSession:
    """Return a session that sends ``headers`` with each call. ``connect`` is the timeout of a connection in seconds.

    The caller applies the timeout of a call, so the session sets none of its own timers. A reused connection starts no
    timer either.
    """
    session = aiohttp.ClientSession(
        connector=Connector(tls),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, connect=connect),
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        request_class=Request,
        max_field_size=LONGEST_HEADER,
        max_headers=MOST_HEADERS,
    )
    # aiohttp resends a PUT or GET when a kept-alive connection drops. A second request would bypass pacing, journal and
    # counts. There is no public option against it.
    session._retry_connection = False  # noqa: SLF001
    return session


def as_call_error(error: BaseException, route: Route = DIRECT, redact: Redact = str) -> CallError:
    """Translate an exception of aiohttp in a call by ``route`` into a :class:`CallError`."""
    if isinstance(error, BEFORE_SENDING):
        message = redact(connect_failure(error, route))
        return CallError(Kind.CONNECT_FAILED, message, wrong_address=_may_be_a_wrong_address(error))
    if isinstance(error, TimeoutError):
        return CallError(Kind.TIMEOUT, "No answer from the tenant in time.", may_have_worked=True)
    if isinstance(error, (aiohttp.ClientPayloadError, aiohttp.ClientResponseError, ValueError)):
        return CallError(
            Kind.MALFORMED_ANSWER,
            "The tenant's answer was cut short or is not HTTP as it should be.",
            may_have_worked=True,
        )
    if requires_client_certificate(error):
        return CallError(Kind.CONNECT_FAILED, tls_failure(error, "The tenant's host"))
    return CallError(
        Kind.CONNECTION_LOST,
        "The connection to the tenant was lost before an answer came.",
        may_have_worked=True,
    )


def _may_be_a_wrong_address(error: BaseException) -> bool:
    """Return whether the name does not resolve, the connection or tunnel is refused, or the server has no TLS."""
    if isinstance(
        error,
        aiohttp.ClientConnectorDNSError
        | aiohttp.ClientConnectorSSLError
        | aiohttp.ClientHttpProxyError
        | NoTunnel,
    ):
        return True
    return isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno == errno.ECONNREFUSED


def refuses_proxy_credentials(error: BaseException) -> bool:
    """Return whether the proxy responded to CONNECT with 407. Only other credentials can help then."""
    return isinstance(error, aiohttp.ClientHttpProxyError) and error.status == PROXY_CREDENTIALS_REQUIRED


def rejects_certificate(error: BaseException) -> bool:
    """Return whether client or server rejected the other's certificate, or the client has none."""
    return isinstance(error, ssl.SSLCertVerificationError) or requires_client_certificate(error)


async def read_bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Return the body, decompressed. Raises CallError if it is larger than ``most`` bytes.

    Afterwards the connection is free. After an error it is closed.
    """
    body = b""
    try:
        # Testing at_eof() first saves a second, empty read: nearly every response arrives in one piece.
        while not response.content.at_eof():
            body += await response.content.readany()
            if len(body) > most:
                raise CallError(
                    Kind.MALFORMED_ANSWER,
                    f"The tenant's answer is larger than {most} bytes.",
                    http_status=response.status,
                    may_have_worked=True,
                )
        if (error := response.content.exception()) is not None:
            raise error
    except BaseException:
        response.close()
        raise
    return body


def through(proxy: Proxy | None) -> dict[str, Any]:
    """Return aiohttp's arguments for a call through ``proxy``. Only the proxy gets its credentials, with CONNECT."""
    if proxy is None:
        return {}
    if proxy.credentials is None:
        return {"proxy": proxy.url}
    user, _, password = proxy.credentials.reveal().partition(":")
    return {
        "proxy": proxy.url,
        "proxy_headers": {"Proxy-Authorization": aiohttp.encode_basic_auth(user, password)},
    }


def secrets_of(proxy: Proxy | None) -> tuple[str, ...]:
    """Return the secret texts of the credentials for ``proxy``."""
    if proxy is None or proxy.credentials is None:
        return ()
    user, _, password = proxy.credentials.reveal().partition(":")
    return (password, aiohttp.encode_basic_auth(user, password).removeprefix("Basic "))
