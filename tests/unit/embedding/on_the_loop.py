"""Stop the actions of a tenant, and print every blocking call in the thread of the event loop.

``python on_the_loop.py BASE_URL CLIENT_ID OUT KEY…``, with the client's secret in the environment. It needs its own
process, because an audit hook cannot be removed.
"""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

from orchestrator import Secret, Settings, resume_all, stop_all, stop_each

IN_THE_LOOP = threading.get_ident()
EVENTS = ("open", "sqlite3.", "os.", "shutil.", "fcntl.")
found: set[str] = set()


def watch(
    name: str, method: Callable[..., Any], counts: Callable[..., bool] = lambda *_: True
) -> Callable[..., Any]:
    @wraps(method)
    def watched(*arguments: Any, **named: Any) -> Any:
        if _blocks() and counts(*arguments):
            found.add(name)
        return method(*arguments, **named)

    return watched


def _blocks() -> bool:
    return threading.get_ident() == IN_THE_LOOP and asyncio._get_running_loop() is not None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    place = str(arguments[:1])
    # A part of a response file is written on arrival, into the page cache only.
    if event.startswith(EVENTS) and _blocks() and out in place and ".responses" not in place:
        found.add(f"{event} {place}")


async def main() -> None:
    settings = Settings(
        base_url=base_url, client_id=client_id, client_secret=Secret(os.environ["SECRET"]), out=f"{out}/each"
    )
    async with aclosing(stop_each(keys, settings)) as actions:
        assert len([action async for action in actions]) == len(keys)
    await resume_all(f"{out}/each", settings)
    await stop_all(keys, replace(settings, out=f"{out}/all"))


if __name__ == "__main__":
    base_url, client_id, out, *keys = sys.argv[1:]
    out = str(Path(out).resolve())
    sys.addaudithook(_audit)
    os.fsync = watch("fsync", os.fsync)
    threading.Thread.join = watch("join", threading.Thread.join)  # type: ignore[method-assign]
    Future.result = watch("result", Future.result, lambda future, *_: not future.done())  # type: ignore[method-assign]
    asyncio.run(main())
    print("\n".join(sorted(found)), end="")
