"""The bearer token: all calls share one, and one request at a time renews it."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from msgspec import Struct

from orchestrator.backoff import half_jitter
from orchestrator.clock import Clock
from orchestrator.errors import CallError, CredentialsRefused, TenantError
from orchestrator.model import Grant

AHEAD = 120.0
"""Seconds before its expiry at which a token is renewed. Calls use the old token meanwhile."""

PAUSE = 20.0
"""Seconds between a failed renewal and the next one, while the old token is valid. Without the pause, every call would
start a renewal. The tenant allows 100 a minute."""

FRESH_TOKENS = 5
REFUSED_FOR = 60.0
"""The credentials are refused if ``FRESH_TOKENS`` tokens in a row get HTTP 401, over at least ``REFUSED_FOR`` seconds.
During an outage a tenant may refuse valid tokens too. A run that ends because of that would leave actions running."""

REFUSED_AT_ONCE = 5.0
"""The same limit in seconds for a bearer token from the settings, before its first successful call."""

PAUSE_AFTER_REFUSAL, LONGEST_PAUSE = 0.25, 2.0
"""Seconds before the next call after a second refusal in a row. The pause doubles with each further refusal."""


class Token(Struct, frozen=True):
    """A bearer token and its details."""

    text: str
    grant: Grant


FetchToken = Callable[[], Awaitable[Token]]
"""Requests a token. Raises TenantError if none is possible, and CallError if a later request may succeed."""


class ReadyToken:
    """A bearer token from the settings. It cannot be renewed, so the same token is tried again after a refusal.

    The methods have the same meaning as in :class:`OAuthToken`.
    """

    def __init__(self, token: str, clock: Clock) -> None:
        self._token = token
        self._clock = clock
        self._worked = False
        self._final = False
        self._refusals = 0
        self._refused_at = 0.0
        self._try_at = 0.0

    def current(self) -> str | None:
        return None if self._final or self._clock.now() < self._try_at else self._token

    async def bearer(self) -> str:
        await asyncio.sleep(max(0.0, self._try_at - self._clock.now()))
        if self._final:
            why = "has expired" if self._worked else "was refused by the tenant"
            raise CredentialsRefused(
                f"The bearer token {why}; give a fresh one (ZUORA_TOKEN or --token-file)."
            )
        return self._token

    def accepted(self, _: str) -> None:
        self._worked = True
        self._refusals, self._try_at = 0, 0.0

    def refused(self, _: str) -> None:
        now = self._clock.now()
        if self._refusals and now < self._try_at:
            return  # this call was sent before the pause
        self._refused_at = self._refused_at if self._refusals else now
        self._refusals += 1
        ends = self._refused_at + (REFUSED_FOR if self._worked else REFUSED_AT_ONCE)
        self._final = now >= ends
        self._try_at = min(ends, now + _pause(self._refusals + 1))


class OAuthToken:
    """A token by OAuth client credentials.

    ``fetch`` requests a token from the tenant. It runs once at a time, and all callers that need a token meanwhile wait
    for its result.
    """

    def __init__(self, fetch: FetchToken, clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._token: str | None = None
        self._refused_in_a_row = 0
        self._refused_at = 0.0
        self._final = False
        self._fetch_at = 0.0
        self._expires_at = 0.0
        self._renew_at = 0.0
        self._renewal: asyncio.Task[None] | None = None

    def current(self) -> str | None:
        """Return the token if it is believed valid, otherwise None: then :meth:`bearer` waits for another."""
        now = self._clock.now()
        if self._token is None or now >= self._expires_at or self._final:
            return None
        if now >= self._renew_at:
            _ = self._renew()
        return self._token

    async def bearer(self) -> str:
        """Wait for a valid token. Raises TenantError if none is possible, CallError if a later attempt may succeed."""
        if self._final:
            raise CredentialsRefused(
                "The tenant refuses the very tokens it has just issued (HTTP 401). Check that the OAuth client's "
                "user may use the API, and --entity-id."
            )
        token = self.current()
        if token is not None:
            return token
        # Shielded: a cancelled caller must not cancel the renewal for the others.
        await asyncio.shield(self._renew())
        return self._token or await self.bearer()

    def accepted(self, _: str) -> None:
        """Record that the tenant accepted a token."""
        # An older token counts as well: the count is about the credentials.
        self._refused_in_a_row = 0

    def refused(self, token: str) -> None:
        """Record that the tenant refused ``token`` with 401. If no other token is possible, ``bearer`` raises."""
        if token != self._token:
            return
        now = self._clock.now()
        self._token = None
        self._refused_at = self._refused_at if self._refused_in_a_row else now
        self._refused_in_a_row += 1
        self._final = self._refused_in_a_row >= FRESH_TOKENS and now >= self._refused_at + REFUSED_FOR
        self._fetch_at = now + _pause(self._refused_in_a_row)

    async def close(self) -> None:
        if self._renewal is not None and not self._renewal.done():
            self._renewal.cancel()
            await asyncio.wait([self._renewal])

    def _renew(self) -> "asyncio.Task[None]":
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.get_running_loop().create_task(self._replace())
            self._renewal.add_done_callback(_retrieve)
        return self._renewal

    async def _replace(self) -> None:
        if self._token is None:
            await asyncio.sleep(max(0.0, self._fetch_at - self._clock.now()))
        try:
            token = await self._fetch()
        except (TenantError, CallError):
            self._renew_at = self._clock.now() + PAUSE
            raise
        now = self._clock.now()
        self._token = token.text
        self._expires_at = now + token.grant.seconds
        self._renew_at = self._expires_at - min(AHEAD, token.grant.seconds / 4)


def _pause(refusals: int) -> float:
    """Return the seconds to wait after ``refusals`` refusals in a row."""
    if refusals < 2:
        return 0.0
    return half_jitter(refusals - 1, PAUSE_AFTER_REFUSAL, LONGEST_PAUSE, random.uniform)


def _retrieve(renewal: "asyncio.Task[None]") -> None:
    """Retrieve the exception of a renewal, since perhaps no call waits for it. The next renewal raises its own."""
    if not renewal.cancelled():
        renewal.exception()
