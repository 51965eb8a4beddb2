"""A tenant with scripted responses, and its client."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from orchestrator.clock import Clock
from orchestrator.model import Answered
from orchestrator.zuora.client import ZuoraClient
from tests.aioresponses_compat import aioresponses
from tests.unit.client.scripted import settings


@pytest.fixture
def tenant():
    with aioresponses() as mocked:
        yield mocked


@pytest.fixture
def answers() -> list[Answered]:
    """The responses that the client reported."""
    return []


@pytest_asyncio.fixture
async def client(answers: list[Answered]) -> AsyncIterator[ZuoraClient]:
    async with ZuoraClient(settings(), Clock(), answers.append) as opened:
        yield opened
