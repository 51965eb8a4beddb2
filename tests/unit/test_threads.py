"""The thread that belongs to one kind of work."""

import asyncio
import threading

import pytest

from orchestrator.errors import StorageError
from orchestrator.threads import OwnThread, run_sync


@pytest.mark.asyncio
async def test_all_work_of_an_own_thread_runs_in_the_same_thread():
    own = OwnThread()
    threads = set()
    for _ in range(3):
        threads.add(await own.run(threading.get_ident))
        await run_sync(int)
    assert (len(threads), threading.get_ident() in threads) == (1, False)


@pytest.mark.asyncio
async def test_work_that_got_no_thread_is_never_run(monkeypatch):
    own, done = OwnThread(), []

    def refuse(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(StorageError, match="no more threads"):
            await own.run(lambda: done.append("first"))
    await own.run(lambda: done.append("second"))
    assert done == ["second"]


@pytest.mark.asyncio
async def test_an_own_thread_passes_on_what_the_work_raises():
    def fail():
        raise RuntimeError("No.")

    with pytest.raises(RuntimeError, match=r"^No\.$"):
        await OwnThread().run(fail)


@pytest.mark.asyncio
async def test_cancelling_waits_for_the_work_that_runs():
    own, started, ready, done = OwnThread(), threading.Event(), threading.Event(), []

    def work():
        started.set()
        ready.wait()
        done.append(1)

    running = asyncio.create_task(own.run(work))
    await run_sync(started.wait)
    running.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    waits = not running.done()
    ready.set()  # before any assertion: the thread would keep the process alive
    await asyncio.wait([running])
    assert waits
    assert done == [1]
