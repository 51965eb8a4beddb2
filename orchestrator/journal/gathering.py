"""Gather the items of an asynchronous iterable into lists."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable
from typing import TypeVar

T = TypeVar("T")


async def gathered(items: AsyncIterable[T], most: int) -> AsyncGenerator[list[T]]:
    """Yield the items in lists: those that come while the caller works on the list before, at most ``most``.

    An error of ``items`` is raised after the items before it.
    """
    waiting: list[T] = []
    changed = asyncio.Event()
    room = asyncio.Event()

    async def fill() -> None:
        async for item in items:
            waiting.append(item)
            changed.set()
            if len(waiting) >= most:
                room.clear()
                await room.wait()

    filling = asyncio.get_running_loop().create_task(fill())
    filling.add_done_callback(lambda _: changed.set())
    try:
        while not filling.done() or waiting:
            await changed.wait()
            changed.clear()
            batch, waiting[:] = list(waiting), []
            room.set()
            if batch:
                yield batch
        await filling
    finally:
        filling.cancel()
        await asyncio.wait([filling])
