"""One token for several clients of one owner."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from orchestrator.clock import Clock
from orchestrator.errors import TenantUnreachable
from orchestrator.model import Grant
from orchestrator.zuora.responses import entities_of
from orchestrator.zuora.shared_tokens import SharedTokens
from orchestrator.zuora.token import Token


class Issuer:
    """Issues tokens 1, 2, 3, each good for an hour and for ``entities``; the ``failing`` first requests fail."""

    def __init__(self, failing: int = 0) -> None:
        self.issued = 0
        self.failing = failing
        self.entities: frozenset[str] = frozenset()

    async def fetch(self) -> Token:
        await asyncio.sleep(0)
        if self.failing:
            self.failing -= 1
            raise TenantUnreachable("no")
        self.issued += 1
        return Token(f"token {self.issued}", Grant(3600.0, entities=self.entities))


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.now)


def run(main: Callable[[SharedTokens, Issuer, Time], Coroutine[Any, Any, None]], failing: int = 0) -> None:
    async def body() -> None:
        time = Time()
        await main(SharedTokens(time.clock), Issuer(failing), time)

    asyncio.run(body())


def test_clients_of_one_owner_share_one_token_request():
    async def main(tokens: SharedTokens, issuer: Issuer, _: Time) -> None:
        fetches = [tokens.of("owner", None, issuer.fetch) for _ in range(5)]
        got = await asyncio.gather(*(fetch() for fetch in fetches))
        assert [token.text for token in got] == ["token 1"] * 5

    run(main)


def test_clients_of_different_owners_share_nothing():
    async def main(tokens: SharedTokens, issuer: Issuer, _: Time) -> None:
        one, other = tokens.of("one", None, issuer.fetch), tokens.of("other", None, issuer.fetch)
        assert [(await one()).text, (await other()).text] == ["token 1", "token 2"]

    run(main)


def test_a_client_that_asks_again_gets_another_token():
    async def main(tokens: SharedTokens, issuer: Issuer, _: Time) -> None:
        fetch = tokens.of("owner", None, issuer.fetch)
        assert [(await fetch()).text, (await fetch()).text] == ["token 1", "token 2"]

    run(main)


def test_a_token_that_another_has_fetched_meanwhile_is_shared():
    async def main(tokens: SharedTokens, issuer: Issuer, _: Time) -> None:
        one, other = tokens.of("owner", None, issuer.fetch), tokens.of("owner", None, issuer.fetch)
        await one()
        await other()
        await one()
        assert ((await other()).text, issuer.issued) == ("token 2", 2)

    run(main)


def test_a_shared_token_lives_only_as_long_as_it_was_issued_for():
    async def main(tokens: SharedTokens, issuer: Issuer, time: Time) -> None:
        await tokens.of("owner", None, issuer.fetch)()
        time.now = 600.0
        token = await tokens.of("owner", None, issuer.fetch)()
        assert (token.text, round(token.grant.seconds, 3)) == ("token 1", 3000.0)

    run(main)


def test_a_token_that_has_ended_is_not_shared():
    async def main(tokens: SharedTokens, issuer: Issuer, time: Time) -> None:
        await tokens.of("owner", None, issuer.fetch)()
        time.now = 3600.0
        assert (await tokens.of("owner", None, issuer.fetch)()).text == "token 2"

    run(main)


def test_a_failure_goes_to_the_requesting_client_and_the_next_asks_again():
    async def main(tokens: SharedTokens, issuer: Issuer, _: Time) -> None:
        one, other = tokens.of("owner", None, issuer.fetch), tokens.of("owner", None, issuer.fetch)
        with pytest.raises(TenantUnreachable):
            await one()
        assert (await other()).text == "token 1"

    run(main, failing=1)


ONE, OTHER = "11e643f4-a3ee-8bad-b061-0025904c57d6", "2C92C0F9-0000-0000-0000-000000000000"


@pytest.mark.parametrize(
    ("scope", "entities", "shared"),
    [
        (f"entity.{ONE} platform.write entity.{OTHER}", (ONE, OTHER), True),
        (f"entity.{ONE} entity.{OTHER.lower().replace('-', '')}", (ONE, OTHER), True),
        (f"entity.{ONE} platform.write", (ONE, OTHER), False),
        (f"entity.{OTHER} platform.write", (ONE, OTHER), False),
        ("platform.write", (ONE, OTHER), False),
        ("", (ONE, OTHER), False),
        (f"entity.{ONE} entity.", (ONE, None), False),
        (f"entity.{ONE}", (None, ONE), True),
        ("platform.write", (None, ONE), False),
        ("platform.write", (ONE, ONE), True),
        ("platform.write", (None, None), True),
    ],
)
def test_tenants_share_a_token_only_if_its_scope_covers_both_entities(scope, entities, shared):
    async def main(tokens: SharedTokens, issuer: Issuer, _: Time) -> None:
        issuer.entities = entities_of(scope)
        got = [await tokens.of("client", entity, issuer.fetch)() for entity in entities]
        assert [token.text for token in got] == ["token 1", "token 1" if shared else "token 2"]

    run(main)


def test_each_entity_keeps_its_own_token_where_none_is_shared():
    async def main(tokens: SharedTokens, issuer: Issuer, _: Time) -> None:
        first = [await tokens.of("client", entity, issuer.fetch)() for entity in (ONE, OTHER)]
        again = [await tokens.of("client", entity, issuer.fetch)() for entity in (ONE, OTHER)]
        assert ([token.text for token in first], first == again) == (["token 1", "token 2"], True)

    run(main)


def test_entities_that_share_no_token_do_not_wait_for_each_other():
    class Slow(Issuer):
        at_once = most = 0

        async def fetch(self) -> Token:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            await asyncio.sleep(0.01)
            self.at_once -= 1
            return await super().fetch()

    async def main(tokens: SharedTokens, _: Issuer, __: Time) -> None:
        slow = Slow()
        fetches = [tokens.of("client", f"entity-{number}", slow.fetch) for number in range(20)]
        got = await asyncio.gather(*(fetch() for fetch in fetches))
        assert (len({token.text for token in got}), slow.most) == (20, 19)

    run(main)


def test_entities_that_share_a_token_renew_it_once():
    async def main(tokens: SharedTokens, issuer: Issuer, _: Time) -> None:
        issuer.entities = entities_of(f"entity.{ONE} entity.{OTHER}")
        fetches = [tokens.of("client", entity, issuer.fetch) for entity in (ONE, OTHER) for _ in range(5)]
        for number in (1, 2, 3):
            got = await asyncio.gather(*(fetch() for fetch in fetches))
            assert {token.text for token in got} == {f"token {number}"}

    run(main)
