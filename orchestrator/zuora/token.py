"""The bearer token: one for all workers, renewed by one call however many ask."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from msgspec import Struct

from orchestrator.backoff import half_jitter
from orchestrator.clock import Clock
from orchestrator.errors import CallError, CredentialsRefused, TenantError
from orchestrator.model import Grant

AHEAD = 120.0
"""Seconds before its expiry at which a token is renewed, while calls use the old token."""

PAUSE = 20.0
"""Seconds from a renewal ahead of time that failed to the next; else every call would start one, and the tenant gives
100 a minute."""

FRESH_TOKENS = 5
REFUSED_FOR = 60.0
"""The credentials are at fault once this many tokens in a row were refused (HTTP 401), for at least so many seconds.
A tenant in trouble refuses good tokens too, and a run that ends for it leaves actions running."""

REFUSED_AT_ONCE = 5.0
"""The same in seconds for a token that was handed over, if no call has succeeded with it."""

PAUSE_AFTER_REFUSAL, LONGEST_PAUSE = 0.25, 2.0
"""Seconds until calls continue after a second refusal in a row. The pause doubles with each further refusal."""


class Token(Struct, frozen=True):
    """A bearer token, with what came with it."""

    text: str
    grant: Grant


FetchToken = Callable[[], Awaitable[Token]]
"""Requests a token. Raises TenantError if there can be none, and CallError if a later request may succeed."""


class ReadyToken:
    """A bearer token that was handed over. After a refusal there is no other, so the same token is tried again.

    The methods do what those of :class:`OAuthToken` do.
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
            return  # this call left before the pause
        self._refused_at = self._refused_at if self._refusals else now
        self._refusals += 1
        ends = self._refused_at + (REFUSED_FOR if self._worked else REFUSED_AT_ONCE)
        self._final = now >= ends
        self._try_at = min(ends, now + _pause(self._refusals + 1))


class OAuthToken:
    """A token by OAuth client credentials.

    ``fetch`` asks the tenant for a token. It runs once at a time: callers that need a token meanwhile wait for the same
    answer.
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
        """The token believed good; None where :meth:`bearer` has to see to one."""
        now = self._clock.now()
        if self._token is None or now >= self._expires_at or self._final:
            return None
        if now >= self._renew_at:
            _ = self._renew()
        return self._token

    async def bearer(self) -> str:
        """A token believed good. Raises TenantError if there can be none, and CallError if there is none now."""
        if self._final:
            raise CredentialsRefused(
                "The tenant refuses the very tokens it has just issued (HTTP 401). Check that the OAuth client's "
                "user may use the API, and --entity-id."
            )
        token = self.current()
        if token is not None:
            return token
        # A caller that is cancelled must not take the renewal from the others with it.
        await asyncio.shield(self._renew())
        return self._token or await self.bearer()

    def accepted(self, _: str) -> None:
        """The tenant took a token."""
        # Any token will do, the one before too: what is in doubt are the credentials.
        self._refused_in_a_row = 0

    def refused(self, token: str) -> None:
        """The tenant answered 401 to ``token``: that call failed. Where no other can come, ``bearer`` raises."""
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
    """Seconds between a refused token and the next attempt, after so many refusals in a row."""
    if refusals < 2:
        return 0.0
    return half_jitter(refusals - 1, PAUSE_AFTER_REFUSAL, LONGEST_PAUSE, random.uniform)


def _retrieve(renewal: "asyncio.Task[None]") -> None:
    """No call waits for a renewal ahead of time: its failure shows when the old token ends."""
    if not renewal.cancelled():
        renewal.exception()
