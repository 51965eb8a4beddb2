"""Request tokens with ``POST /oauth/token``, and explain why the tenant issues none."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

import aiohttp
import msgspec

from orchestrator.clock import Clock
from orchestrator.errors import CallError, CredentialsRefused, Kind
from orchestrator.model import Grant
from orchestrator.settings import Settings
from orchestrator.zuora.headers import read_retry_after
from orchestrator.zuora.redaction import Redaction
from orchestrator.zuora.responses import Answer, TokenAnswer, failure, shortened, understood
from orchestrator.zuora.token import Token

REQUEST_EVERY = (1.0, 2.0)
"""Seconds until another request is sent if the previous ones hang: a random value between these two."""

MOST_REQUESTS = 40
"""Most requests of one fetch that may be in flight at a time."""

ALLOW_LIST = "Check that the tenant's allow list contains this machine's address, or that of its proxy."
OUTAGE = "Check the address and the network. https://trust.zuora.com shows Zuora's outages and maintenance."

Post = Callable[[str, Mapping[str, str]], Awaitable[tuple[aiohttp.ClientResponse, bytes]]]
"""Posts a form to an address. Returns the response and its body. Raises CallError or TenantUnreachable."""

_ANSWER = msgspec.json.Decoder(Answer)
_TOKEN = msgspec.json.Decoder(TokenAnswer)


class TokenEndpoint:
    """The token endpoint of one tenant, for the OAuth client in ``settings``.

    Args:
        settings: address and credentials.
        post: sends one form.
            redact: removes secrets from the tenant's texts. Every new token is added to it.
        clock: for ``Retry-After`` dates.
        on_request: called before each request.
        span: entered around each request.

    ``granted`` has the details of the token issued last.
    """

    def __init__(
        self,
        settings: Settings,
        post: Post,
        redact: Redaction,
        clock: Clock,
        on_request: Callable[[], None],
        span: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        assert settings.client_secret is not None
        self.granted: Grant | None = None
        self._base = settings.address
        self._form = {
            "client_id": settings.client_id or "",
            "client_secret": settings.client_secret.reveal(),
            "grant_type": "client_credentials",
        }
        self._post = post
        self._redact = redact
        self._clock = clock
        self._on_request = on_request
        self._span = span

    async def fetch(self) -> Token:
        """Request a token. If a response is slow, send more requests. The first response counts.

        Raises:
            CredentialsRefused: the tenant refuses the credentials.
            TenantUnreachable: no call can succeed.
            CallError: no token came. A later request may succeed.
        """
        requests: set[asyncio.Task[Token]] = set()
        try:
            while True:
                if len(requests) < MOST_REQUESTS:
                    requests.add(asyncio.create_task(self._request()))
                done, _ = await asyncio.wait(
                    requests, timeout=random.uniform(*REQUEST_EVERY), return_when=asyncio.FIRST_COMPLETED
                )
                if done:
                    return min(done, key=lambda request: request.exception() is not None).result()
        except CallError as error:
            advice = ALLOW_LIST if error.http_status == 403 else OUTAGE
            error.message = f"No token from {self._base}/oauth/token: {error.message} {advice}"
            error.args = (error.message,)
            error.may_have_worked = error.by_api = False  # no stop or poll was sent
            raise
        finally:
            for request in requests:
                request.cancel()
            await asyncio.gather(*requests, return_exceptions=True)

    async def _request(self) -> Token:
        with self._span():
            self._on_request()
            response, body = await self._post(f"{self._base}/oauth/token", self._form)
            return self._token_of(response, body)

    def _token_of(self, response: aiohttp.ClientResponse, body: bytes) -> Token:
        said = understood(body, _ANSWER)
        if response.status in (400, 401, 403) and said is not None and said.text:
            raise CredentialsRefused(
                f"{self._base} refused the OAuth client's credentials (HTTP {response.status}): "
                f"{shortened(self._redact(said.text))} "
                "Check the client id, the secret, and that they belong to this tenant."
            )
        answer = understood(body, _TOKEN) if response.status // 100 == 2 else None  # any 2xx is accepted
        if answer is None:
            wait = read_retry_after(response.headers, self._clock.wall())
            error = failure(response.status, said, None, wait, self._redact, page=body)
            if error.kind is Kind.UNAUTHENTICATED:  # a 401 without a reason comes from a gateway
                error.kind = Kind.GATEWAY
            error.wrong_address = said is None and response.status < 500 and error.kind is not Kind.THROTTLED
            raise error
        self._redact.add_token(answer.access_token)
        self.granted = answer.grant(self._redact)
        return Token(answer.access_token, self.granted)
