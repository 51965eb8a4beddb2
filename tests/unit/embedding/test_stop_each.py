"""stop_each: every key once, as it comes to its end."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from orchestrator import (
    Outcome,
    Settings,
    UsageError,
    stop_each,
)
from orchestrator.report import ActionEntry
from tests.unit.embedding.served import LONGEST, Served, other_tasks


async def collected(keys: Any, settings: Settings) -> list[ActionEntry]:
    async with aclosing(stop_each(keys, settings)) as actions:
        return [action async for action in actions]


@pytest.mark.asyncio
async def test_stop_each_yields_every_key_once(settings: Settings, keys: list[str]):
    yielded = Counter(action.bulk_key for action in await collected(keys, settings))
    assert yielded == Counter(keys)


@pytest.mark.asyncio
async def test_stop_each_yields_a_malformed_key_once(settings: Settings, keys: list[str]):
    yielded = await collected(["no key", *keys], settings)
    assert [action.bulk_key for action in yielded if action.outcome is Outcome.MALFORMED] == ["no key"]


@pytest.mark.asyncio
async def test_stop_each_yields_a_duplicate_once_with_its_rows(settings: Settings, keys: list[str]):
    yielded = await collected([keys[0], keys[0]], settings)
    assert [(action.row, action.duplicate_rows) for action in yielded] == [(1, [2])]


@pytest.mark.asyncio
async def test_stop_each_yields_a_key_before_the_next_is_there(settings: Settings, keys: list[str]):
    first_is_over = asyncio.Event()

    async def second_after_the_first_is_over() -> AsyncIterator[str]:
        yield keys[0]
        await first_is_over.wait()
        yield keys[1]

    yielded = []
    async with (
        asyncio.timeout(LONGEST),
        aclosing(stop_each(second_after_the_first_is_over(), settings)) as actions,
    ):
        async for action in actions:
            yielded.append(action.bulk_key)
            first_is_over.set()
    assert yielded == keys[:2]


@pytest.mark.asyncio
async def test_stop_each_yields_the_keys_that_a_deadline_left_over(slow: Served, tmp_path: Path):
    keys = slow.tenant.keys
    yielded = await collected(keys, slow.settings(tmp_path / "run", deadline=0.001))
    assert Counter(action.bulk_key for action in yielded) == Counter(keys)


@pytest.mark.asyncio
async def test_leaving_stop_each_early_leaves_no_task_behind(settings: Settings, keys: list[str]):
    async with aclosing(stop_each(keys, settings)) as actions:
        async for _ in actions:
            break
    assert other_tasks() == set()


@pytest.mark.asyncio
async def test_stop_each_raises_a_usage_error_without_a_key(settings: Settings):
    with pytest.raises(UsageError):
        await collected([], settings)


@pytest.mark.asyncio
async def test_two_stop_each_in_one_loop_are_independent(served: Served, keys: list[str], tmp_path: Path):
    one, other = await asyncio.gather(
        collected(keys[:6], served.settings(tmp_path / "one")),
        collected(keys[6:], served.settings(tmp_path / "other")),
    )
    assert ({a.bulk_key for a in one}, {a.bulk_key for a in other}) == (set(keys[:6]), set(keys[6:]))
