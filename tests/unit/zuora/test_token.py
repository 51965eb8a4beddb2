"""The bearer token: one request for all callers, renewal before its end, and the effect of refusals."""

import asyncio

import pytest

from orchestrator.clock import Clock
from orchestrator.errors import CredentialsRefused, TenantError, TenantUnreachable
from orchestrator.model import Grant
from orchestrator.zuora.token import (
    AHEAD,
    FRESH_TOKENS,
    LONGEST_PAUSE,
    PAUSE,
    PAUSE_AFTER_REFUSAL,
    REFUSED_AT_ONCE,
    REFUSED_FOR,
    FetchToken,
    OAuthToken,
    ReadyToken,
    Token,
)
from tests.simulation.virtual import now, virtually

LIFETIME = 3600.0


class HandClock:
    """A clock that the test moves, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.clock = Clock(lambda: self.now, wall=0.0)

    def forward(self, seconds: float) -> None:
        self.now += seconds


class Office:
    """Issues ``token-1``, ``token-2``, … once ``open`` is set; while ``failing`` it raises."""

    def __init__(self, lifetime: float = LIFETIME) -> None:
        self.calls = 0
        self.lifetime = lifetime
        self.open = asyncio.Event()
        self.open.set()
        self.failing: TenantError | None = None

    async def __call__(self) -> Token:
        self.calls += 1
        number = self.calls
        await self.open.wait()
        if self.failing is not None:
            raise self.failing
        return Token(f"token-{number}", Grant(self.lifetime))


async def settle() -> None:
    """Runs every ready task; no time passes."""
    for _ in range(10):
        await asyncio.sleep(0)


def source(office: FetchToken, time: HandClock) -> OAuthToken:
    return OAuthToken(office, time.clock)


@pytest.mark.asyncio
async def test_one_token_serves_every_call():
    office = Office()
    token = source(office, HandClock())
    assert [await token.bearer() for _ in range(5)] == ["token-1"] * 5
    assert office.calls == 1


@pytest.mark.asyncio
async def test_forty_workers_that_start_together_fetch_one_token():
    office = Office()
    token = source(office, HandClock())
    assert await asyncio.gather(*(token.bearer() for _ in range(40))) == ["token-1"] * 40
    assert office.calls == 1


@pytest.mark.asyncio
async def test_forty_refusals_of_one_token_fetch_one_new_token():
    office = Office()
    token = source(office, HandClock())

    async def worker() -> str:
        held = await token.bearer()
        await asyncio.sleep(0)  # all forty are under way with the same token
        token.refused(held)
        return await token.bearer()

    assert await asyncio.gather(*(worker() for _ in range(40))) == ["token-2"] * 40
    assert office.calls == 2


@pytest.mark.asyncio
async def test_a_late_refusal_of_an_old_token_leaves_the_new_one_alone():
    office = Office()
    token = source(office, HandClock())
    old = await token.bearer()
    token.refused(old)
    new = await token.bearer()
    token.refused(old)
    assert await token.bearer() == new


@pytest.mark.asyncio
async def test_a_token_is_renewed_ahead_of_its_end_while_calls_go_on():
    office, time = Office(), HandClock()
    token = source(office, time)
    await token.bearer()
    office.open.clear()
    time.forward(LIFETIME - AHEAD)
    assert [await token.bearer() for _ in range(3)] == ["token-1"] * 3
    office.open.set()
    await settle()
    assert (await token.bearer(), office.calls) == ("token-2", 2)


@pytest.mark.asyncio
async def test_a_token_is_not_renewed_before_its_time():
    office, time = Office(), HandClock()
    token = source(office, time)
    await token.bearer()
    time.forward(LIFETIME - AHEAD - 1)
    await token.bearer()
    await settle()
    assert office.calls == 1


@pytest.mark.asyncio
async def test_a_short_lived_token_is_used_for_most_of_its_life():
    """Renewing two minutes ahead of an end one minute away would renew without end."""
    office, time = Office(lifetime=60.0), HandClock()
    token = source(office, time)
    await token.bearer()
    time.forward(44.0)
    await token.bearer()
    await settle()
    assert office.calls == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("lifetime", [0.0, -5.0])
async def test_a_token_with_no_lifetime_serves_the_call_that_asked(lifetime):
    token = source(Office(lifetime), HandClock())
    assert await token.bearer() == "token-1"


@pytest.mark.asyncio
async def test_an_expired_token_is_not_handed_out():
    office, time = Office(), HandClock()
    token = source(office, time)
    await token.bearer()
    time.forward(LIFETIME)
    assert await token.bearer() == "token-2"


@pytest.mark.asyncio
async def test_an_early_renewal_that_fails_harms_no_call():
    office, time = Office(), HandClock()
    token = source(office, time)
    await token.bearer()
    office.failing = TenantUnreachable("no answer")
    time.forward(LIFETIME - AHEAD)
    await token.bearer()
    await settle()
    assert await token.bearer() == "token-1"


@pytest.mark.asyncio
async def test_a_failed_early_renewal_is_not_repeated_by_every_call():
    """The tenant gives a hundred tokens a minute; forty workers make more calls than that."""
    office, time = Office(), HandClock()
    token = source(office, time)
    await token.bearer()
    office.failing = CredentialsRefused("the secret was changed")
    time.forward(LIFETIME - AHEAD)
    for _ in range(200):
        await token.bearer()
        await settle()
    assert office.calls == 2


@pytest.mark.asyncio
async def test_a_failed_early_renewal_is_retried_before_the_end():
    office, time = Office(), HandClock()
    token = source(office, time)
    await token.bearer()
    office.failing = TenantUnreachable("no answer")
    time.forward(LIFETIME - AHEAD)
    await token.bearer()
    await settle()
    office.failing = None
    time.forward(PAUSE)
    await token.bearer()
    await settle()
    assert await token.bearer() == "token-3"


@pytest.mark.asyncio
async def test_a_failed_renewal_raises_for_every_waiter():
    office = Office()
    office.failing = CredentialsRefused("wrong secret")
    token = source(office, HandClock())
    results = await asyncio.gather(*(token.bearer() for _ in range(3)), return_exceptions=True)
    assert results == [office.failing] * 3


@pytest.mark.asyncio
async def test_after_a_failed_renewal_the_next_call_asks_again():
    office = Office()
    office.failing = TenantUnreachable("no answer")
    token = source(office, HandClock())
    with pytest.raises(TenantUnreachable):
        await token.bearer()
    office.failing = None
    assert await token.bearer() == "token-2"


async def refused_until_final(token: ReadyToken | OAuthToken, every: float = 0.0) -> float:
    """Refuse each token until the source raises. Return the seconds that took, in virtual time."""
    started = now()
    while True:
        try:
            held = await token.bearer()
        except CredentialsRefused:
            return now() - started
        await asyncio.sleep(every)
        token.refused(held)


def test_fresh_tokens_refused_for_a_minute_put_the_credentials_at_fault():
    async def main() -> tuple[float, int]:
        office = Office()
        return await refused_until_final(OAuthToken(office, Clock(now)), every=0.08), office.calls

    seconds, calls = virtually(main())
    assert REFUSED_FOR <= seconds <= REFUSED_FOR + LONGEST_PAUSE + 1
    assert FRESH_TOKENS <= calls <= 100


def test_rarely_refused_tokens_are_at_fault_only_after_several():
    """While the token endpoint does not answer, no token is refused, so time alone says nothing."""

    async def main() -> float:
        return await refused_until_final(OAuthToken(Office(), Clock(now)), every=100.0)

    assert virtually(main()) >= FRESH_TOKENS * 100.0


def test_a_second_refused_token_is_replaced_after_a_pause_of_at_most_two_seconds():
    async def main() -> list[float]:
        token = OAuthToken(Office(), Clock(now))
        pauses = []
        for _ in range(20):
            token.refused(await token.bearer())
            before = now()
            await token.bearer()
            pauses.append(now() - before)
        return pauses

    pauses = virtually(main())
    assert pauses[0] == 0.0
    assert all(0 < pause <= LONGEST_PAUSE + 0.1 for pause in pauses[1:])
    assert pauses[1] < pauses[-1]


@pytest.mark.parametrize("order", ["accepted first", "refused first"])
def test_a_call_accepted_between_refusals_clears_the_credentials(order):
    """A token revoked every hour, or a tenant that refuses at random, is no wrong secret."""

    async def main() -> None:
        token = OAuthToken(Office(), Clock(now))
        for _ in range(200):
            held = await token.bearer()
            first, second = (token.accepted, token.refused)[:: 1 if order == "accepted first" else -1]
            first(held)
            second(held)
            await asyncio.sleep(1.0)

    virtually(main())


@pytest.mark.asyncio
async def test_forty_refusals_of_one_token_count_once():
    token = source(Office(), HandClock())
    held = await token.bearer()
    for _ in range(40):
        token.refused(held)
    assert await token.bearer() == "token-2"


@pytest.mark.asyncio
async def test_a_waiter_that_is_cancelled_leaves_the_renewal_to_the_others():
    office = Office()
    office.open.clear()
    token = source(office, HandClock())
    first, second = asyncio.create_task(token.bearer()), asyncio.create_task(token.bearer())
    await settle()
    first.cancel()
    await settle()
    office.open.set()
    assert (await second, office.calls, first.cancelled()) == ("token-1", 1, True)


@pytest.mark.asyncio
async def test_a_renewal_whose_only_waiter_is_cancelled_serves_the_next_call():
    office = Office()
    office.open.clear()
    token = source(office, HandClock())
    waiter = asyncio.create_task(token.bearer())
    await settle()
    waiter.cancel()
    await settle()
    office.open.set()
    assert (await token.bearer(), office.calls) == ("token-1", 1)


@pytest.mark.asyncio
async def test_closing_cancels_a_renewal():
    office, time = Office(), HandClock()
    token = source(office, time)
    await token.bearer()
    office.open.clear()
    time.forward(LIFETIME - AHEAD)
    await token.bearer()
    await settle()
    await token.close()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []


@pytest.mark.asyncio
async def test_closing_without_a_renewal_does_nothing():
    await source(Office(), HandClock()).close()


@pytest.mark.asyncio
async def test_a_ready_token_serves_every_call():
    token = ReadyToken("given", Clock())
    assert [await token.bearer() for _ in range(3)] == ["given"] * 3


@pytest.mark.parametrize(("worked", "seconds"), [(False, REFUSED_AT_ONCE), (True, REFUSED_FOR)])
def test_a_refused_ready_token_is_tried_again_for_a_while(worked, seconds):
    async def main() -> float:
        token = ReadyToken("given", Clock(now))
        if worked:
            token.accepted("given")
        return await refused_until_final(token)

    assert virtually(main()) == pytest.approx(seconds, abs=0.1)


def test_a_ready_token_that_is_accepted_again_gets_the_whole_minute():
    async def main() -> float:
        token = ReadyToken("given", Clock(now))
        token.accepted("given")
        while now() < 50:
            token.refused(await token.bearer())
        token.accepted(await token.bearer())
        return await refused_until_final(token)

    assert virtually(main()) == pytest.approx(REFUSED_FOR, abs=0.1)


def test_forty_refusals_of_a_ready_token_at_once_count_as_one():
    async def main() -> float:
        token = ReadyToken("given", Clock(now))
        for _ in range(40):
            token.refused("given")
        before = now()
        await token.bearer()
        return now() - before

    assert virtually(main()) <= PAUSE_AFTER_REFUSAL + 0.01


@pytest.mark.parametrize(("worked", "said"), [(False, "was refused by the tenant"), (True, "has expired")])
def test_the_error_for_a_refused_bearer_token_says_what_to_do(worked, said):
    async def main() -> str:
        token = ReadyToken("s3cret-t0ken", Clock(now))
        if worked:
            token.accepted("s3cret-t0ken")
        await refused_until_final(token)
        with pytest.raises(CredentialsRefused) as caught:
            await token.bearer()
        return str(caught.value)

    sentence = virtually(main())
    assert said in sentence
    assert "give a fresh one" in sentence
    assert "resume" not in sentence
    assert "s3cret" not in sentence
