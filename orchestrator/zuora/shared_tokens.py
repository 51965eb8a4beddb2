"""One token for all entities that one OAuth client works for."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable

from orchestrator.clock import Clock

FetchToken = Callable[[], Awaitable[tuple[str, float]]]
"""Asks the tenant for a token; gives it with its lifetime in seconds."""


class _Issued:
    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.token: str | None = None
        self.expires_at = 0.0


class SharedTokens:
    """Tokens by whom they were issued to. Several clients of one owner ask the tenant once between them.

    Each still has its own judgement of its token (:class:`~orchestrator.zuora.token.OAuthToken`): an entity that
    refuses every token gives up by itself, and takes none from the others.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._issued: defaultdict[Hashable, _Issued] = defaultdict(_Issued)

    def of(self, owner: Hashable, fetch: FetchToken) -> FetchToken:
        """``fetch`` for one client of ``owner``: it gives what another has fetched, unless this one had that already.

        Whoever asks twice for a token was refused the first, or sees it near its end.
        """
        issued = self._issued[owner]
        had: str | None = None

        async def fetch_or_share() -> tuple[str, float]:
            nonlocal had
            async with issued.lock:
                now = self._clock.now()
                if issued.token is None or issued.token == had or now >= issued.expires_at:
                    issued.token, lifetime = await fetch()
                    issued.expires_at = self._clock.now() + lifetime
                had = issued.token
                return issued.token, issued.expires_at - self._clock.now()

        return fetch_or_share
