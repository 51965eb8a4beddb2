"""``POST /oauth/token``: one OAuth client's tokens, and why the tenant issues none."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
import msgspec

from orchestrator.backoff import full_jitter
from orchestrator.clock import Clock
from orchestrator.errors import CallError, CredentialsRefused, TenantUnreachable
from orchestrator.model import Grant
from orchestrator.settings import Settings
from orchestrator.zuora.headers import read_retry_after
from orchestrator.zuora.redaction import Redaction
from orchestrator.zuora.responses import Answer, TokenAnswer, failure, shortened, understood
from orchestrator.zuora.token import Token

TOKEN_TRIES = 5
TOKEN_BACKOFF = 0.5
TOKEN_CAP = 30.0
"""Attempts for the first token, and the seconds between attempts: the first, and the most. Once the tenant has issued a
token, the credentials are good: each later token gets as many attempts as any call."""

ALLOW_LIST = "Check that the tenant's allow list contains this machine's address, or that of its proxy."
OUTAGE = "Check the address and the network. https://trust.zuora.com shows Zuora's outages and maintenance."

Post = Callable[[str, Mapping[str, str]], Awaitable[tuple[aiohttp.ClientResponse, bytes]]]
"""Posts a form to an address; returns the response and its body. Raises CallError or TenantUnreachable."""

_ANSWER = msgspec.json.Decoder(Answer)
_TOKEN = msgspec.json.Decoder(TokenAnswer)


class TokenEndpoint:
    """The token endpoint of one tenant, for the OAuth client in ``settings``.

    Args:
        settings: address, credentials and the number of attempts.
        post: sends one form.
        redact: learns every token, and removes secrets from what the tenant says.
        clock: for ``Retry-After`` dates.
        on_request: called before each request.

    ``granted`` describes the token issued last.
    """

    def __init__(
        self, settings: Settings, post: Post, redact: Redaction, clock: Clock, on_request: Callable[[], None]
    ) -> None:
        assert settings.client_secret is not None
        self.granted: Grant | None = None
        self._base = settings.address
        self._form = {
            "client_id": settings.client_id or "",
            "client_secret": settings.client_secret.reveal(),
            "grant_type": "client_credentials",
        }
        self._max_attempts = settings.max_attempts
        self._post = post
        self._redact = redact
        self._clock = clock
        self._on_request = on_request

    async def fetch(self) -> Token:
        """Request a token, a few times if need be. Raises CredentialsRefused or TenantUnreachable."""
        attempts = self._max_attempts if self.granted else min(TOKEN_TRIES, self._max_attempts)
        for attempt in range(1, attempts + 1):
            try:
                return await self._request()
            except CallError as error:
                if attempt == attempts:
                    advice = ALLOW_LIST if error.http_status == 403 else OUTAGE
                    raise TenantUnreachable(
                        f"No token from {self._base}/oauth/token after {attempt} tries: {error.message} {advice}"
                    ) from error
                jitter = full_jitter(attempt, TOKEN_BACKOFF, TOKEN_CAP, random.uniform)
                wait = max(jitter, min(error.retry_after or 0.0, TOKEN_CAP))
            await asyncio.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    async def _request(self) -> Token:
        self._on_request()
        response, body = await self._post(f"{self._base}/oauth/token", self._form)
        said = understood(body, _ANSWER)
        if response.status in (400, 401, 403) and (said is not None or not body.strip()):
            reason = said.text if said is not None else None
            raise CredentialsRefused(
                f"{self._base} refused the OAuth client's credentials (HTTP {response.status})"
                f"{f': {shortened(self._redact(reason))}' if reason else '.'} "
                "Check the client id, the secret, and that they belong to this tenant."
            )
        answer = understood(body, _TOKEN) if response.status // 100 == 2 else None  # good under any success
        if answer is None:
            wait = read_retry_after(response.headers, self._clock.wall())
            raise failure(response.status, said, None, wait, self._redact, page=body)
        self._redact.add_token(answer.access_token)
        self.granted = answer.grant(self._redact)
        return Token(answer.access_token, self.granted)
