"""One token for several tenants of one OAuth client, where its scope covers the entities of both."""

import asyncio
from collections import defaultdict
from collections.abc import Hashable

from msgspec import Struct
from msgspec.structs import replace

from orchestrator.clock import Clock
from orchestrator.model import plain_entity
from orchestrator.zuora.token import FetchToken, Token

NO_ENTITY = ""
"""The entity of a tenant that names none: its calls go to the default entity of the OAuth client's user."""


class _Issued(Struct, frozen=True):
    """A token, the entity that it was requested for, and when it was issued and expires, on the run's clock."""

    token: Token
    entity: str
    at: float
    expires_at: float

    def covers(self, entity: str) -> bool:
        """Whether the token is good for ``entity``: it was requested for it, or its scope names both entities."""
        named = self.token.grant.entities
        return entity == self.entity or (entity in named and self.entity in named | {NO_ENTITY})


class _Owner:
    """The tokens of one OAuth client, the newest of each entity, and who may ask for another."""

    def __init__(self) -> None:
        self._issued: dict[str, _Issued] = {}
        self._named: frozenset[str] | None = None
        self._common = asyncio.Lock()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def lock(self, entity: str) -> asyncio.Lock:
        """One lock for entities that can share a token, which they may all do until the first scope is known."""
        shares = self._named is None or entity in self._named
        return self._common if shares else self._locks[entity]

    def find(self, entity: str, had: str | None, now: float) -> _Issued | None:
        """The newest token for ``entity``, unless its client ``had`` it already or it has expired."""
        covering = (issued for issued in self._issued.values() if issued.covers(entity))
        newest = max(covering, key=lambda issued: issued.at, default=None)
        return newest if newest and newest.token.text != had and now < newest.expires_at else None

    def keep(self, issued: _Issued) -> None:
        self._issued[issued.entity] = issued
        self._named = issued.token.grant.entities


class SharedTokens:
    """Tokens by the OAuth client that they were issued to. Tenants that can share a token ask for it once.

    Each tenant still judges its token by itself (:class:`~orchestrator.zuora.token.OAuthToken`): an entity that refuses
    every token gives up alone.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._owners: defaultdict[Hashable, _Owner] = defaultdict(_Owner)

    def of(self, client: Hashable, entity_id: str | None, fetch: FetchToken) -> FetchToken:
        """``fetch`` for one tenant of the OAuth client ``client``.

        It returns a token that another tenant has fetched, if the scope covers both entities and this tenant did not
        have it before. A tenant that asks twice was refused the first token, or the token is about to expire.
        """
        owner = self._owners[client]
        entity = plain_entity(entity_id or NO_ENTITY)
        had: str | None = None

        async def fetch_or_share() -> Token:
            nonlocal had
            while True:
                async with (lock := owner.lock(entity)):
                    if lock is not owner.lock(entity):
                        continue  # the scope became known meanwhile, and does not name this entity
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
