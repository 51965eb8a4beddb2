"""Turns aiohttp's failures into errors of this product, and bounds one request."""

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
"""The errors of aiohttp before a byte of the request is sent: the tenant cannot have acted on it."""

FAILURES = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
"""The errors of aiohttp when a call gets no readable answer."""

LARGEST_HEAD = 256 << 10
"""Bytes of a response's headers together."""

LONGEST_HEADER = 64 << 10
MOST_HEADERS = 200
"""Bytes of one header, and headers of one response, that are accepted: gateways add many, and long ones."""

MOST_INTERIM = 100
"""Interim answers (HTTP 1xx) that are read over before the answer itself; a patient gateway sends one now and then."""


SUSPICIOUS = 0.4
"""Seconds without an answer on a reused connection, after which older idle connections are not reused."""

LONGEST_RESOLVED = 1
"""Seconds for which the addresses of a host name are used: a tenant that comes back may have moved."""


class Connector(aiohttp.TCPConnector):
    """Opens as many connections as are asked for: the slots bound them, and a queue here would be an unseen one.

    A firewall or a router may forget connections without a word. So while a call hangs on a reused connection, those
    that were idle before it are closed, and the next call opens a new one.

    ``tls`` is what the other side is verified with.
    """

    def __init__(self, tls: ssl.SSLContext | bool = True) -> None:
        super().__init__(limit=0, keepalive_timeout=30, ttl_dns_cache=LONGEST_RESOLVED, ssl=tls)
        self._unanswered: dict[ResponseHandler, float] = {}  # since when they are reused, the oldest first
        connection: Callable[..., ResponseHandler] = _Connection  # there is no public way to one's own
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
        ) as error:  # of a proxy, in answer to CONNECT: no request has left
            raise NoTunnel(str(error)) from error


class _Connection(ResponseHandler):
    """The client's end of a connection. It is closed if a response never ends its headers or its interim responses.

    aiohttp bounds each header, and reads over interim responses. But it does so after it has parsed and queued
    everything in the socket. That is forty times as much memory, on each connection at once, as long as the call
    takes.
    """

    _answered: object = None  # the parser of the latest response whose headers are complete
    _head = 0
    _interim = 0

    def __init__(self, loop: asyncio.AbstractEventLoop, unanswered: dict[ResponseHandler, float]) -> None:
        super().__init__(loop)
        self._unanswered = unanswered

    def data_received(self, data: bytes) -> None:
        """Receive a piece of a response."""
        self._unanswered.pop(self, None)
        ResponseHandler.data_received(self, data)
        if self._parser is not self._answered:  # aiohttp makes a parser for each response
            self._head += len(data)
            if self._head > LARGEST_HEAD:
                self._refuse("headers without end")

    def feed_data(self, data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
        """Receive the head of a response, and the reader of its body."""
        if data[0].code < 200:
            self._interim += 1
        else:
            self._answered, self._head, self._interim = self._parser, 0, 0
        if self._interim <= MOST_INTERIM:
            ResponseHandler.feed_data(self, data, size)
        else:
            self._refuse("interim answers without end")

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let go of the parser, which refers to this connection."""
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
    """A session that sends ``headers`` with each call. A connection takes at most ``connect`` seconds.

    The time of a call is bounded around it, so the session's own timers would only cost. A reused connection starts no
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
    # aiohttp sends a PUT or GET again by itself when a kept-alive connection drops. Such a call would be neither paced
    # nor journalled nor counted. There is no public way to prevent it.
    session._retry_connection = False  # noqa: SLF001
    return session


def as_call_error(error: BaseException, route: Route = DIRECT, redact: Redact = str) -> CallError:
    """The one table from what aiohttp raises, on the way ``route``, to a :class:`CallError`."""
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
    """Whether the name does not resolve, the connection or the tunnel is refused, or TLS is not understood."""
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
    """Whether the proxy answered CONNECT with 407: only other credentials can help."""
    return isinstance(error, aiohttp.ClientHttpProxyError) and error.status == PROXY_CREDENTIALS_REQUIRED


def rejects_certificate(error: BaseException) -> bool:
    """Whether one side rejected the other's certificate, or the lack of it."""
    return isinstance(error, ssl.SSLCertVerificationError) or requires_client_certificate(error)


async def read_bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    """The body, decompressed; raises CallError where it is larger than ``most`` bytes.

    The connection is free again then, or was closed with the error.
    """
    body = b""
    try:
        # By the end, not by a reading that gives nothing: nearly every answer is one piece, and is read once like this.
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
    """aiohttp's arguments for a call through ``proxy``. Its credentials go to the proxy alone, with CONNECT."""
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
    """The texts that must not be shown of the credentials for ``proxy``."""
    if proxy is None or proxy.credentials is None:
        return ()
    user, _, password = proxy.credentials.reveal().partition(":")
    return (password, aiohttp.encode_basic_auth(user, password).removeprefix("Basic "))
