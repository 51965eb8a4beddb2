"""Share one token among tenants of one OAuth client if its scope contains their entities."""

import asyncio
from collections import defaultdict
from collections.abc import Hashable

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.clock import Clock
from orchestrator.model import plain_entity
from orchestrator.zuora.token import FetchToken, Token

NO_ENTITY = ""
"""The entity of a tenant without an entity id. Its calls use the default entity of the OAuth client's user."""


class _Issued(Struct, frozen=True):
    """A token with its requested entity, and its times of issue and expiry on the run's clock."""

    token: Token
    entity: str
    at: float
    expires_at: float

    def covers(self, entity: str) -> bool:
        """Return whether the token is valid for ``entity``: the requested one, or one whose scope has both."""
        named = self.token.grant.entities
        return entity == self.entity or (entity in named and self.entity in named | {NO_ENTITY})


class _Owner:
    """The tokens of one OAuth client: the newest of each entity, and the locks for requesting another."""

    def __init__(self) -> None:
        self._issued: dict[str, _Issued] = {}
        self._named: frozenset[str] | None = None
        self._common = asyncio.Lock()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def lock(self, entity: str) -> asyncio.Lock:
        """Return the lock for requests of ``entity``. Entities that can share a token have one lock.

        All entities share a lock until the first scope is known.
        """
        shares = self._named is None or entity in self._named
        return self._common if shares else self._locks[entity]

    def find(self, entity: str, had: str | None, now: float) -> _Issued | None:
        """Return the newest token for ``entity``. None if it has expired or is the caller's previous token ``had``."""
        covering = (issued for issued in self._issued.values() if issued.covers(entity))
        newest = max(covering, key=lambda issued: issued.at, default=None)
        return newest if newest and newest.token.text != had and now < newest.expires_at else None

    def keep(self, issued: _Issued) -> None:
        self._issued[issued.entity] = issued
        self._named = issued.token.grant.entities


class SharedTokens:
    """The tokens of each OAuth client. Tenants that can share a token request it once.

    Each tenant still counts its own refusals (:class:`~orchestrator.zuora.token.OAuthToken`). If an entity refuses
    every token, only its tenant ends.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._owners: defaultdict[Hashable, _Owner] = defaultdict(_Owner)

    def of(self, client: Hashable, entity_id: str | None, fetch: FetchToken) -> FetchToken:
        """Wrap ``fetch`` for one tenant of the OAuth client ``client``.

        The result returns a token that another tenant has fetched, if its scope contains both entities. It does not
        return the tenant's previous token: a second call means that this one was refused or is about to expire.
        """
        owner = self._owners[client]
        entity = plain_entity(entity_id or NO_ENTITY)
        had: str | None = None

        async def fetch_or_share() -> Token:
            nonlocal had
            while True:
                async with (lock := owner.lock(entity)):
                    if lock is not owner.lock(entity):
                        continue  # meanwhile the scope became known, and this entity is not in it
                    issued = owner.find(entity, had, self._clock.now())
                    if issued is None:
                        token = await fetch()
                        now = self._clock.now()
                        issued = _Issued(token, entity, now, now + token.grant.seconds)
                        owner.keep(issued)
                    had = issued.token.text
                    left = issued.expires_at - self._clock.now()
                    return Token(issued.token.text, replace(issued.token.grant, seconds=left))

        return fetch_or_share
