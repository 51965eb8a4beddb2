"""Make one call to a tenant: with a token, within its timeout, and with one error type for every failure."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import msgspec
from yarl import URL

from orchestrator.clock import Clock
from orchestrator.errors import CallError, Kind, TenantUnreachable, UsageError
from orchestrator.model import Answered, Grant
from orchestrator.settings import Settings
from orchestrator.settings.network import route_to
from orchestrator.threads import in_thread
from orchestrator.version import VERSION
from orchestrator.zuora.deadlines import Deadlines
from orchestrator.zuora.headers import read_limits, read_request_id, read_retry_after
from orchestrator.zuora.redaction import Redact, Redaction
from orchestrator.zuora.responses import Answer, failure, understood
from orchestrator.zuora.shared_tokens import SharedTokens
from orchestrator.zuora.tls import context_for
from orchestrator.zuora.token import FetchToken, OAuthToken, ReadyToken
from orchestrator.zuora.token_endpoint import TokenEndpoint
from orchestrator.zuora.transport import (
    FAILURES,
    as_call_error,
    open_session,
    read_bounded,
    refuses_proxy_credentials,
    rejects_certificate,
    secrets_of,
    through,
)

A = TypeVar("A", bound=Answer)

LARGEST_ANSWER = 256 << 10
"""Largest JSON response in bytes, decompressed. Documented ones have a few hundred bytes. Forty may arrive at once."""

LONGEST_CONNECT = 10.0
"""Timeout of a connection attempt in seconds. Without a connection, the tenant cannot have carried out a stop."""


class Calls:
    """Makes single calls to one tenant.

    Args:
        settings: address, credentials, headers and the timeout of a call.
        clock: measures the lifetime of the token.
        on_answer: receives limits, status and duration of every response, before a call returns or raises.
        on_token: called before each request for a token.
        tokens: tokens shared with clients that have the same address and credentials.
        token_span: surrounds each request for a token.

    A call is sent once, and redirects are not followed. A response with the ``Zuora-Track-Id`` of another call of this
    run is refused.

    Attributes:
        redact: removes the credentials from a text. Every text of the tenant passes through it.
        route: the proxy of the calls, if there is one.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        on_answer: Callable[[Answered], None] = lambda _: None,
        on_token: Callable[[], None] = lambda: None,
        tokens: SharedTokens | None = None,
        token_span: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._settings = settings
        self._base = settings.address
        self._url = URL(self._base)
        prefix = self._url.raw_path.rstrip("/")
        self._bulk, self._files = f"{prefix}/v1/bulk", f"{prefix}/v1/files"
        self._clock = clock
        self._on_answer = on_answer
        self._on_token = on_token
        self._tokens = tokens
        self._token_span = token_span
        self._endpoint: TokenEndpoint | None = None
        self.route = route_to(settings)
        self._through = through(self.route.proxy)
        self._answered_before = False
        self.redact, self._token = self._credentials(settings)
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": f"mass-stop/{VERSION}",
            "Zuora-Entity-Ids": settings.entity_id,
            "Zuora-Org-Ids": ",".join(settings.org_ids) or None,
            "Zuora-Version": settings.zuora_version,
        }
        self._headers = {name: value for name, value in headers.items() if value is not None}

    def _credentials(self, settings: Settings) -> tuple[Redaction, ReadyToken | OAuthToken]:
        others = secrets_of(self.route.proxy)
        if settings.token is not None:
            return Redaction(settings.token.reveal(), *others), ReadyToken(
                settings.token.reveal(), self._clock
            )
        if settings.client_id is None or settings.client_secret is None:
            raise UsageError(
                "No credentials: set ZUORA_CLIENT_ID and ZUORA_CLIENT_SECRET (or --client-secret-file), "
                "or a bearer token in ZUORA_TOKEN (or --token-file)."
            )
        client_id, secret = settings.client_id, settings.client_secret.reveal()
        redact = Redaction.of_client(client_id, secret, *others)
        self._endpoint = TokenEndpoint(
            settings, self._post, redact, self._clock, self._on_token, self._token_span
        )
        fetch: FetchToken = self._endpoint.fetch
        if self._tokens is not None:
            fetch = self._tokens.of((self._base, client_id, secret), settings.entity_id, fetch)
        return redact, OAuthToken(fetch, self._clock)

    async def __aenter__(self) -> Self:
        self._deadlines = Deadlines(self._settings.timeout)
        # Loading the system's certificates takes 30 ms. The event loop of an embedding program runs meanwhile.
        trusted = await in_thread(partial(context_for, self._base, self._settings.ca_file))
        # The connection has a shorter timeout than the call: a call without a connection surely had no effect.
        connect = min(LONGEST_CONNECT, self._settings.timeout / 2)
        self._session = open_session(trusted, self._headers, connect)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(self._token, OAuthToken):
            await self._token.close()
        self._deadlines.close()
        await self._session.close()

    @property
    def granted(self) -> Grant | None:
        """The details of the token issued last. None before the first, and with a given bearer token."""
        return self._endpoint.granted if self._endpoint is not None else None

    @property
    def has_token(self) -> bool:
        """Whether the next call can start without waiting for a token."""
        return self._token.current() is not None

    async def authenticate(self) -> None:
        """Wait for a token. Raises TenantError if none is possible, and CallError if a later attempt may succeed."""
        if self._token.current() is None:
            await self._token.bearer()

    async def _call(
        self, method: str, path: str, track_id: str, decoder: msgspec.json.Decoder[A]
    ) -> tuple[A, Mapping[str, str]]:
        token = self._token.current() or await self._token.bearer()
        started = self._clock.now()
        url = self._url.with_path(path, encoded=True)  # costs half as much as parsing the address again
        try:
            with self._deadlines:
                # No `async with`: aiohttp releases the connection when a response has been read to its end.
                response = await self._request(method, url, track_id, token)
                refuse_anothers(response, track_id, self.redact)
                body = await read_bounded(response, LARGEST_ANSWER)
        except FAILURES as error:
            raise self._failure(error) from error
        self._answered_before = True
        answer = understood(body, decoder)
        if answer is not None and _says_yes(response.status, answer):
            if answer.by_api:
                self._token.accepted(token)
            self._on_answer(self._answered(response, None, started, by_api=answer.by_api))
            return answer, response.headers
        refusal = self._refusal(response, answer, body, token)
        self._on_answer(self._answered(response, refusal, started))
        raise refusal

    def _request(
        self, method: str, url: URL, track_id: str, token: str
    ) -> "aiohttp.client._RequestContextManager":
        self.redact.add_token(token)
        return self._session.request(
            method,
            url,
            headers={"Authorization": f"Bearer {token}", "Zuora-Track-Id": track_id},
            allow_redirects=False,
            **self._through,
        )

    def _failure(self, error: BaseException) -> CallError | TenantUnreachable:
        """Return the error for the exception ``error`` of aiohttp: this call failed, or no call can succeed."""
        failed = as_call_error(error, self.route, self.redact)
        if refuses_proxy_credentials(error) or (rejects_certificate(error) and not self._answered_before):
            return TenantUnreachable(failed.message)
        return failed

    def _refusal(
        self, response: aiohttp.ClientResponse, answer: Answer | None, body: bytes, token: str
    ) -> CallError:
        refusal = failure(
            response.status,
            answer,
            read_request_id(response.headers, self.redact),
            read_retry_after(response.headers, self._clock.wall()),
            self.redact,
            page=body,
        )
        if refusal.kind is Kind.UNAUTHENTICATED:
            self._token.refused(token)
        elif refusal.by_api:
            self._token.accepted(token)
        return refusal

    def _answered(
        self,
        response: aiohttp.ClientResponse,
        refusal: CallError | None,
        started: float,
        *,
        by_api: bool = True,
    ) -> Answered:
        limits = read_limits(response.headers)
        throttled = refusal is not None and refusal.kind is Kind.THROTTLED
        wait = refusal.retry_after if refusal is not None else None
        if refusal is not None and throttled and wait is None and not limits.remaining:
            wait = refusal.retry_after = limits.reset
        return Answered(
            limits=limits,
            http_status=response.status,
            throttled=throttled,
            retry_after=wait,
            seconds=self._clock.now() - started,
            date=response.headers.get("Date"),
            by_api=by_api if refusal is None else refusal.by_api or throttled,
        )

    async def _post(self, url: str, form: Mapping[str, str]) -> tuple[aiohttp.ClientResponse, bytes]:
        try:
            with self._deadlines:
                async with self._session.post(
                    url,
                    data=form,
                    allow_redirects=False,
                    headers={"Content-Type": "application/x-www-form-urlencoded"},
                    **self._through,
                ) as response:
                    body = await read_bounded(response, LARGEST_ANSWER)
        except FAILURES as error:
            raise self._failure(error) from error
        self._answered_before = True
        return response, body


def refuse_anothers(response: aiohttp.ClientResponse, track_id: str, redact: Redact) -> None:
    """Raise CallError if the ``Zuora-Track-Id`` of ``response`` belongs to another call of this run.

    A gateway may swap its connections or respond twice. The state of one action would then be recorded for another.
    Gateways also remove or change headers, so a missing or unknown track id is accepted.
    """
    echoed = response.headers.get("Zuora-Track-Id", track_id)
    if echoed == track_id:
        return
    ours, dash, _ = track_id.rpartition("-")
    if echoed.startswith(ours + dash) and echoed.removeprefix(ours + dash).isdigit():
        response.close()  # later responses on this connection belong to other calls as well
        raise not_understood(
            f"it belongs to another call ({echoed})", read_request_id(response.headers, redact)
        )


def _says_yes(http_status: int, answer: Answer) -> bool:
    """Return whether a response means success. Only 200 is documented, and may omit ``success``.

    Any other 2xx comes from a gateway, so it needs ``success: true``.
    """
    if http_status == 200:
        return answer.success is not False
    return 200 < http_status < 300 and answer.success is True


def not_understood(why: str, request_id: str | None, *, by_api: bool = False) -> CallError:
    """Return the error for a success that does not have the documented form. ``why`` completes its message."""
    return CallError(
        Kind.MALFORMED_ANSWER,
        f"The tenant's answer cannot be understood: {why}.",
        http_status=200,
        request_id=request_id,
        may_have_worked=True,
        by_api=by_api,
    )
