"""Fixtures of the unit tests."""

import asyncio

import pytest

from tests.unit.journal_book import Book


@pytest.fixture
def book():
    with asyncio.Runner() as runner:
        yield Book(runner)
