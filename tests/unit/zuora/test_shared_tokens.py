"""One token for several clients of one owner."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from orchestrator.clock import Clock
from orchestrator.errors import TenantUnreachable
from orchestrator.zuora.shared_tokens import SharedTokens


class Issuer:
    """Gives tokens 1, 2, 3, each good for an hour; ``failing`` first answers are none."""

    def __init__(self, failing: int = 0) -> None:
        self.issued = 0
        self.failing = failing

    async def fetch(self) -> tuple[str, float]:
        await asyncio.sleep(0)
        if self.failing:
            self.failing -= 1
            raise TenantUnreachable("no")
        self.issued += 1
        return f"token {self.issued}", 3600.0


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


def test_clients_of_one_owner_ask_once_between_them():
    async def main(tokens: SharedTokens, issuer: Issuer, _: Time) -> None:
        fetches = [tokens.of("owner", issuer.fetch) for _ in range(5)]
        got = await asyncio.gather(*(fetch() for fetch in fetches))
        assert [token for token, _ in got] == ["token 1"] * 5

    run(main)


def test_clients_of_different_owners_share_nothing():
    async def main(tokens: SharedTokens, issuer: Issuer, _: Time) -> None:
        one, other = tokens.of("one", issuer.fetch), tokens.of("other", issuer.fetch)
        assert [(await one())[0], (await other())[0]] == ["token 1", "token 2"]

    run(main)


def test_a_client_that_asks_again_gets_another_token():
    async def main(tokens: SharedTokens, issuer: Issuer, _: Time) -> None:
        fetch = tokens.of("owner", issuer.fetch)
        assert [(await fetch())[0], (await fetch())[0]] == ["token 1", "token 2"]

    run(main)


def test_a_token_that_another_has_fetched_meanwhile_is_shared():
    async def main(tokens: SharedTokens, issuer: Issuer, _: Time) -> None:
        one, other = tokens.of("owner", issuer.fetch), tokens.of("owner", issuer.fetch)
        await one()
        await other()
        await one()
        assert ((await other())[0], issuer.issued) == ("token 2", 2)

    run(main)


def test_a_shared_token_lives_only_as_long_as_it_was_issued_for():
    async def main(tokens: SharedTokens, issuer: Issuer, time: Time) -> None:
        await tokens.of("owner", issuer.fetch)()
        time.now = 600.0
        token, lifetime = await tokens.of("owner", issuer.fetch)()
        assert (token, round(lifetime, 3)) == ("token 1", 3000.0)

    run(main)


def test_a_token_that_has_ended_is_not_shared():
    async def main(tokens: SharedTokens, issuer: Issuer, time: Time) -> None:
        await tokens.of("owner", issuer.fetch)()
        time.now = 3600.0
        assert (await tokens.of("owner", issuer.fetch)())[0] == "token 2"

    run(main)


def test_a_failure_is_told_to_the_client_that_asked_and_the_next_asks_anew():
    async def main(tokens: SharedTokens, issuer: Issuer, _: Time) -> None:
        one, other = tokens.of("owner", issuer.fetch), tokens.of("owner", issuer.fetch)
        with pytest.raises(TenantUnreachable):
            await one()
        assert (await other())[0] == "token 1"

    run(main, failing=1)
