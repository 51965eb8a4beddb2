"""A tenant that says what a test tells it to, and a client of it."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from orchestrator.clock import Clock
from orchestrator.model import Answered
from orchestrator.zuora import token_endpoint
from orchestrator.zuora.client import ZuoraClient
from tests.aioresponses_compat import aioresponses
from tests.unit.client.scripted import settings


@pytest.fixture
def tenant():
    with aioresponses() as mocked:
        yield mocked


@pytest.fixture
def answers() -> list[Answered]:
    """What the client showed of each answer."""
    return []


@pytest_asyncio.fixture
async def client(answers: list[Answered]) -> AsyncIterator[ZuoraClient]:
    async with ZuoraClient(settings(), Clock(), answers.append) as opened:
        yield opened


@pytest.fixture
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """The token's call is the one that the client tries again by itself; its waits are not what is tested."""
    monkeypatch.setattr(token_endpoint, "TOKEN_BACKOFF", 0.0)
