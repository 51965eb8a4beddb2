"""Scripts to compare with mass-stop: ``contenders.py bare|gather|first KEYS.csv UVLOOP``."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from itertools import count
from pathlib import Path
from typing import Any


def _session(limit: int, token: str) -> Any:
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=limit),
        headers={
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": "bench",
        },
    )


async def bare(keys: list[str]) -> None:
    """Stop all keys, then read their statuses, with forty workers. No journal, no log, no retry, no parsing."""
    base, numbers = os.environ["ZUORA_BASE_URL"], count(1)
    async with _session(40, os.environ["BENCH_TOKEN"]) as session:

        async def call(method: str, url: str) -> None:
            track = {"Zuora-Track-Id": f"bench-{os.getpid()}-{next(numbers)}"}
            async with session.request(method, url, headers=track) as response:
                response.raise_for_status()
                await response.read()

        async def worker(left: list[str], method: str, tail: str) -> None:
            while left:
                await call(method, f"{base}/v1/bulk/{left.pop()}{tail}")

        for method, tail in (("PUT", "/stop"), ("GET", "")):
            left = keys[::-1]
            await asyncio.gather(*(worker(left, method, tail) for _ in range(40)))


async def gather(keys: list[str]) -> None:
    """Stop all keys with gather and a semaphore, as a script written in five minutes does."""
    base, slots = os.environ["ZUORA_BASE_URL"], asyncio.Semaphore(40)
    async with _session(100, os.environ["BENCH_TOKEN"]) as session:

        async def stop(key: str) -> bool:
            async with slots, session.put(f"{base}/v1/bulk/{key}/stop") as response:
                return bool((await response.json())["success"])

        assert all(await asyncio.gather(*map(stop, keys)))


async def first(keys: list[str]) -> None:
    """Fetch a token and stop the first key: the smallest script that sends a stop with aiohttp."""
    import aiohttp

    base = os.environ["ZUORA_BASE_URL"]
    form = {
        "client_id": os.environ["ZUORA_CLIENT_ID"],
        "client_secret": os.environ["ZUORA_CLIENT_SECRET"],
        "grant_type": "client_credentials",
    }
    async with aiohttp.ClientSession() as session, session.post(f"{base}/oauth/token", data=form) as response:
        token = (await response.json())["access_token"]
    async with _session(1, token) as session, session.put(f"{base}/v1/bulk/{keys[0]}/stop") as response:
        await response.read()


def _run(work: Coroutine[Any, Any, None], uvloop_wanted: bool) -> None:
    if uvloop_wanted:
        import uvloop

        uvloop.run(work)
    else:
        asyncio.run(work)


if __name__ == "__main__":
    script, keys_file, wants_uvloop = sys.argv[1:]
    rows = Path(keys_file).read_text().split()[1:]  # without the header
    which = {"bare": bare, "gather": gather, "first": first}[script]
    _run(which(rows), wants_uvloop == "1")
