"""How aiohttp's failures are told as ours, and the guards around one request."""

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable
from functools import partial

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpProcessingError, RawResponseMessage

from orchestrator.errors import CallError, Kind

BEFORE_SENDING = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    aiohttp.ServerFingerprintMismatch,
)
"""What aiohttp raises before a byte of the request is sent: the tenant cannot have carried it out."""

FAILURES = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
"""What aiohttp raises when a call does not come to a readable answer."""

MOST_INTERIM = 100
"""Interim answers (HTTP 1xx) that are read over before the answer itself; a patient gateway sends one now and then."""


class Connector(aiohttp.TCPConnector):
    """Opens as many connections as are asked for: the slots bound them, and a queue here would be an unseen one.

    ``tls`` is what the other side is verified with.
    """

    def __init__(self, tls: ssl.SSLContext | bool = True) -> None:
        super().__init__(limit=0, keepalive_timeout=30, ssl=tls)
        connection: type[ResponseHandler] = _Connection  # there is no public way to one's own
        self._factory = partial(connection, loop=asyncio.get_running_loop())


class _Connection(ResponseHandler):
    """The client's end of a connection, hung up where interim answers come without end.

    aiohttp reads over them, but only once it has taken apart, and queued, all that the socket held: forty times as
    much memory, on each connection at once, for as long as the call has time.
    """

    _interim = 0

    def feed_data(self, data: tuple[RawResponseMessage, aiohttp.StreamReader], size: int = 0) -> None:
        self._interim = self._interim + 1 if data[0].code < 200 else 0
        if self._interim <= MOST_INTERIM:
            super().feed_data(data, size)
        elif self.transport is not None:
            self.abort()
            self.set_exception(HttpProcessingError(message="interim answers without end"))


class SendOnce:
    """A client middleware that lets one request leave, and no second one.

    aiohttp sends a PUT or GET again by itself when a kept-alive connection drops. Such a send would be neither paced
    nor journalled nor counted, so it is refused here and the call goes back to its lane. One instance for each call.
    """

    __slots__ = ("_sent",)

    def __init__(self) -> None:
        self._sent = False

    def __call__(
        self, request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
    ) -> Awaitable[aiohttp.ClientResponse]:
        if self._sent:
            raise aiohttp.ServerDisconnectedError("the connection dropped before an answer came")
        self._sent = True
        return send(request)


def as_call_error(error: BaseException) -> CallError:
    """The one table from what aiohttp raises to a :class:`CallError`."""
    if isinstance(error, BEFORE_SENDING):
        return CallError(Kind.CONNECT_FAILED, f"No connection to the tenant: {_reason(error)}.")
    if isinstance(error, TimeoutError):
        return CallError(Kind.TIMEOUT, "No answer from the tenant in time.", may_have_worked=True)
    if isinstance(error, (aiohttp.ClientPayloadError, aiohttp.ClientResponseError, ValueError)):
        return CallError(
            Kind.MALFORMED_ANSWER,
            "The tenant's answer was cut short or is not HTTP as it should be.",
            may_have_worked=True,
        )
    return CallError(
        Kind.CONNECTION_LOST,
        "The connection to the tenant was lost before an answer came.",
        may_have_worked=True,
    )


def _reason(error: BaseException) -> str:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    # asyncio puts its own words in the place of the system's; those of TLS and of name look-up have other numbers.
    if isinstance(cause, OSError) and cause.errno and not isinstance(cause, (ssl.SSLError, socket.gaierror)):
        return os.strerror(cause.errno)
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__


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
